"""A real cluster with a node and the chart: one made for the session, or that of `AGENTID_KUBECONFIG`."""

import secrets
from collections.abc import Iterator

import pytest

from devcluster.cluster import Cluster
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.standing import begin
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import agent, service_account


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster on which pods run, with `charts/agentid` installed, its admission rules in force."""
    with begin(node=True) as started:
        install_chart(started)
        wait_until_in_force(started.kubectl)
        wait_until_stamped(started.kubectl, "default")
        yield started


@pytest.fixture
def team(kubectl: Kubectl, operator: OperatorProcess) -> Kubectl:
    """The test's namespace with an Agent and its service account, and an operator that is ready."""
    assert operator.alive()
    kubectl.create([service_account(), agent()])
    return kubectl


@pytest.fixture(scope="module")
def shared_namespace(
    cluster: Cluster, operator_of_session: OperatorProcess, request: pytest.FixtureRequest
) -> Iterator[Kubectl]:
    """A namespace for all tests of a module, whose pods so can start side by side, and a ready operator."""
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    words = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    here = cluster.kubectl.in_namespace(f"{words}-{secrets.token_hex(3)}")
    labels = {"agentid.dev/test": "true"}
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": here.namespace, "labels": labels}})
    yield here
    cluster.kubectl.delete("namespace", here.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def together(shared_namespace: Kubectl) -> Kubectl:
    """The module's namespace with an Agent and its service account."""
    shared_namespace.create([service_account(), agent()])
    return shared_namespace
