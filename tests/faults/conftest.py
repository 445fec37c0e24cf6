"""The same control plane as that of `tests/cluster`, for what takes minutes: `make faults`."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster.conftest import cluster, node
from tests.cluster.intercepting import Interceptor
from tests.cluster.lives import team_of

__all__ = ["cluster", "node"]


@pytest.fixture
def team(cluster: ControlPlane, node: str) -> Iterator[Kubectl]:
    """A namespace with an Agent and its service account; nobody says that an operator runs."""
    assert node
    with team_of(cluster, "faults") as here:
        yield here


@pytest.fixture
def interceptor(
    cluster: ControlPlane,
    operator_of_session: OperatorProcess,
    no_operator: None,
) -> Iterator[Interceptor]:
    """A way to the API server on which no operator is yet."""
    assert no_operator is None
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        yield proxy
        if operator_of_session.alive():
            operator_of_session.terminate()
