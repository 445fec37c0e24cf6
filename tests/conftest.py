"""What every kind of test shares: nothing is left behind, and how to ask for a fresh namespace."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from devcluster import standing
from devcluster.cluster import Cluster
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.laying_out import fresh_namespace

# No property test asserts how long anything takes: another's work on the machine would fail it. The same code
# is tried with the same examples, so that a failure is that of a change; `make explore` looks for others.
settings.register_profile("agentid", deadline=None, derandomize="AGENTID_EXPLORE" not in os.environ)
settings.load_profile("agentid")


@pytest.fixture
def admin(cluster: Cluster) -> Kubectl:
    """kubectl as administrator."""
    return cluster.kubectl


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace, named after the test and labelled as a test's; it goes afterwards."""
    words = request.function.__name__.removeprefix("test_").replace("_", "-")[:40].strip("-").lower()
    name = f"{words}-{secrets.token_hex(3)}"
    with fresh_namespace(cluster.kubectl, name):
        yield name


@pytest.fixture
def kubectl(admin: Kubectl, namespace: str) -> Kubectl:
    """kubectl as administrator in the test's namespace."""
    return admin.in_namespace(namespace)


@pytest.fixture(scope="session")
def operator_of_session(cluster: Cluster) -> Iterator[OperatorProcess]:
    """The one operator of a session; tests ask for `operator`."""
    process = OperatorProcess(cluster)
    yield process
    if process.alive():
        process.terminate()


@pytest.fixture
def no_operator(operator_of_session: OperatorProcess) -> None:
    """Nobody writes a status but the test."""
    if operator_of_session.alive():
        operator_of_session.terminate()


@pytest.fixture
def operator(operator_of_session: OperatorProcess) -> OperatorProcess:
    """The running, ready operator; started again if the test before stopped it."""
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    return operator_of_session


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for `.run/`; the cluster that it names is ended afterwards."""
    monkeypatch.setattr(standing, "RUN_FOLDER", tmp_path)
    for name, file in (
        ("CLAIM", "cluster.json"),
        ("KUBECONFIG", "kubeconfig"),
        ("OPERATOR_LOG", "operator.log"),
    ):
        monkeypatch.setattr(standing, name, tmp_path / file)
    monkeypatch.delenv(standing.GIVEN, raising=False)
    yield tmp_path
    standing.down()
