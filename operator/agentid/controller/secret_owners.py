"""What keeps a task's Secret alive, and takes it along when all of it is gone."""

from collections.abc import Iterable

from agentid.api.names import API_VERSION
from agentid.cluster.paths import PODS, TASKS
from agentid.cluster.secrets import Owner
from agentid.lifecycle.model import PodFacts


def owners_of(task_name: str, task_uid: str, pods: Iterable[PodFacts]) -> tuple[Owner, ...]:
    """Return what keeps the Secret alive: its task and each pod that may have it mounted.

    With the task alone the garbage collector would take the Secret before the kubelet saw it emptied.
    """
    task = (Owner(API_VERSION, TASKS.kind, task_name, task_uid),) if task_uid else ()
    return (*task, *(Owner(PODS.api_version, PODS.kind, pod.name, pod.uid) for pod in pods))
