"""A real control plane with the chart, once a session."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with `charts/agentid` installed."""
    with ControlPlane.start() as control_plane:
        install_chart(control_plane)
        yield control_plane
