"""A real cluster with a node and the chart: one made for the session, or that of `AGENTID_KUBECONFIG`."""

from collections.abc import Iterator

import pytest

from devcluster.cluster import Cluster
from devcluster.install import install_chart
from devcluster.standing import begin


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster on which pods run, with `charts/agentid` installed."""
    with begin(node=True) as started:
        install_chart(started)
        yield started
