"""A real control plane with the chart, once a session, and a namespace in which an agent may work."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing
from tests.cluster.objects import NODE, agent, service_account


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with `charts/agentid` installed."""
    with ControlPlane.start() as control_plane:
        install_chart(control_plane)
        yield control_plane


@pytest.fixture(scope="session")
def node(cluster: ControlPlane) -> str:
    """A node to which pods are bound, and on which tests say what happens."""
    playing.make_node(cluster.kubectl)
    return NODE


@pytest.fixture
def place(kubectl: Kubectl, node: str) -> Iterator[Kubectl]:
    """The test's namespace with an Agent and its service account; nobody says that an operator runs."""
    assert node
    kubectl.create([service_account(), agent()])
    yield kubectl
    playing.clear(kubectl)


@pytest.fixture
def team(place: Kubectl, operator: OperatorProcess) -> Kubectl:
    """The test's namespace with an Agent and its service account, and an operator that is ready."""
    assert operator.alive()
    return place
