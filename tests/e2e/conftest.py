"""A real cluster with a node, and on it the operator as users run it: chart, image, pods of its own."""

import secrets
from collections.abc import Iterator

import pytest

from devcluster import operator_image
from devcluster.cluster import Cluster
from devcluster.install import uninstall_chart
from devcluster.kubectl import Kubectl
from devcluster.operator_pod import OperatorPod
from devcluster.standing import GIVEN, begin, given_kubeconfig
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.laying_out import fresh_namespace, make_agent

NODE_OF_OURS = "node_of_ours"
"""Mark of a test that does to a node what only who is root there can."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", f"{NODE_OF_OURS}: does what takes root on the node")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, where a cluster was given, what can be done only to a node that was made here."""
    if given_kubeconfig() is None:
        return
    why = pytest.mark.skip(
        reason=f"takes root on a node, for its kubelet and containers; {GIVEN} names a cluster not made here"
    )
    for item in items:
        if item.get_closest_marker(NODE_OF_OURS):
            item.add_marker(why)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster on which pods run: one made for the session, or that of `AGENTID_KUBECONFIG`."""
    if given_kubeconfig() is None:
        operator_image.built()
    with begin(node=True) as started:
        yield started


@pytest.fixture(scope="session")
def operator_of_session(cluster: Cluster) -> Iterator[OperatorPod]:
    """Two operators in pods, as the chart installs them, its rules in force; tests ask for `operator`."""
    pods = OperatorPod(cluster)
    pods.start()
    wait_until_in_force(cluster.kubectl)
    wait_until_stamped(cluster.kubectl, "default")
    yield pods
    if pods.alive():
        pods.terminate()
    if given_kubeconfig():
        uninstall_chart(cluster)


@pytest.fixture
def team(kubectl: Kubectl, operator: OperatorPod) -> Kubectl:
    """The test's namespace with an Agent and its service account, and an operator that is ready."""
    assert operator.alive()
    make_agent(kubectl)
    return kubectl


@pytest.fixture(scope="module")
def shared_namespace(
    cluster: Cluster, operator_of_session: OperatorPod, request: pytest.FixtureRequest
) -> Iterator[Kubectl]:
    """A namespace for all tests of a module, whose pods so can start side by side, and a ready operator."""
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    words = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    with fresh_namespace(cluster.kubectl, f"{words}-{secrets.token_hex(3)}") as here:
        yield here


@pytest.fixture(scope="module")
def together(shared_namespace: Kubectl) -> Kubectl:
    """The module's namespace with an Agent and its service account."""
    make_agent(shared_namespace)
    return shared_namespace
