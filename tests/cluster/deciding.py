"""Asking decision points about a task's identity, and what ends it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import ACCOUNT, ANY_POD, POD, pod, task

PROMPTLY = timedelta(seconds=20)

Answer = tuple[int, dict[str, Any]]


def settings_for(namespace: str) -> dict[str, str]:
    """The settings of a decision point that the agent's own account may ask about its namespace."""
    asker = f'{{"namespace": "{namespace}", "name": "{ACCOUNT}"}}'
    points = f'[{{"serviceAccount": {asker}, "namespaces": ["{namespace}"]}}]'
    return {"AGENTID_GATE_ENFORCEMENT_POINTS": points}


def question(of: Object, action: str = "orders:read", serial: str | None = None) -> dict[str, Any]:
    """Whether the task's newest credential, or that with `serial`, may be used for an action."""
    known = story.serials(of)
    properties = {"serial": serial or known[-1]}
    return {
        "subject": {"type": "workload", "id": of["status"]["spiffeID"], "properties": properties},
        "action": {"name": action},
        "resource": {"type": "order", "id": "4711"},
    }


def answered(ask: Callable[[], Answer], *reasons: str, within: timedelta = PROMPTLY) -> None:
    """Wait until the reason is one of these."""
    wait_until(
        f"the answer's reason is {' or '.join(reasons)}",
        ask,
        lambda seen: seen[1].get("context", {}).get("reason") in reasons,
        within=within,
    )


def running(here: Kubectl, name: str = "refund-4711") -> Object:
    """A task with a pod that runs, and its credential."""
    here.apply(task(name, **ANY_POD))
    of_it = POD if name == "refund-4711" else f"{name}-pod"
    here.apply(pod(of_it, of=name))
    playing.scheduled(here, of_it)
    playing.start(here, of_it)
    return story.runs(here, name)


def end(here: Kubectl, name: str = "refund-4711") -> None:
    """End a task by its state."""
    here.patch("agenttask", name, {"spec": {"state": "Ended"}}, "--type=merge")
