"""A node that is lost takes the tasks of its pods with it; this module has a cluster of its own to break."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from devcluster.node import NAME
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import agent, service_account
from tests.e2e import inside
from tests.e2e.objects import pod, task_of_pod

pytestmark = pytest.mark.node_of_ours

LOST = timedelta(seconds=180)
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
STAYS: dict[str, Any] = {"tolerations": [{"key": OUT_OF_SERVICE, "operator": "Exists"}]}


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster whose node may be lost, and a namespace in it."""

    cluster: ControlPlane
    here: Kubectl


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Two running pods with their tasks: one leaves a node that is out of service, the other does not."""
    with ControlPlane.start(node=True) as cluster:
        install_chart(cluster)
        wait_until_in_force(cluster.kubectl)
        wait_until_stamped(cluster.kubectl, "default")
        operator = OperatorProcess(cluster)  # a pod would be lost with the node
        operator.start()
        here = cluster.kubectl.in_namespace("lost")
        cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": "lost"}})
        here.create([service_account(), agent(), task_of_pod("leaves"), task_of_pod("stays")])
        here.create([pod("leaves"), pod("stays", **STAYS)])
        inside.running(here, "leaves", "stays")
        story.runs(here, "leaves", inside.STARTED)
        story.runs(here, "stays", inside.STARTED)
        yield Place(cluster, here)
        operator.terminate()


def node_of(cluster: ControlPlane) -> Any:  # noqa: ANN401 - the node, which is there
    assert cluster.node is not None
    return cluster.node


def test_tasks_end_with_their_node_when_it_is_out_of_service_and_when_it_is_removed(place: Place) -> None:
    here, admin = place.here, place.cluster.kubectl
    node_of(place.cluster).kubelet.kill()

    admin("taint", "node", NAME, f"{OUT_OF_SERVICE}=shutdown:NoExecute")

    ended = story.ends(here, "NodeLost", "leaves", LOST)
    story.secret_gone_or_empty(here, "leaves", inside.STARTED)
    assert story.told(here, ended, at_least=2)[1].reason == "TaskFailed"
    assert story.standing(here.get("agenttask", "stays")) == "Running", "it may come back"

    admin.delete("node", NAME)

    story.ends(here, "NodeLost", "stays", LOST)
    for name in ("leaves", "stays"):
        here.wait_gone("pod", name, LOST)
        story.secret_gone(here, name, inside.STARTED)
