"""How long a live task's identity can be used after each kind of end: until the first refused request."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import orjson

from agentid.api.names import TASK_LABEL
from devcluster.progress import Step
from tests.bench.api import MERGE, Api
from tests.bench.asker import ALLOWED, Asker, question
from tests.bench.lives import Lives, Name, NotInTimeError
from tests.bench.work import AGENT, Work

_NODE: Final = "played-node"
_WITHIN_SECONDS: Final = 60.0
_TASKS: Final = "/apis/agentid.dev/v1alpha1/namespaces/{}/agenttasks"

Refusals = Mapping[str, list[float]]
"""By kind of end, milliseconds from the request that ends it to the first refusal."""


class Ends:
    """Every kind of end, of a task that is alone in its namespace, with its pod and Agent."""

    def __init__(self, api: Api, work: Work) -> None:
        self._api = api
        self._work = work

    @property
    def kinds(self) -> dict[str, Callable[[Name], Coroutine[Any, Any, None]]]:
        """All of them by name."""
        return {
            "pod_finished": self._finish_pod,
            "ended": self._work.end,
            "deleted": self._delete,
            "policy": self._forbid,
            "agent_disabled": self._disable_agent,
            "suspended": self._work.suspend,
        }

    async def _finish_pod(self, name: Name) -> None:
        await _report(self._api, name, "Succeeded", {"terminated": {"exitCode": 0}})

    async def _delete(self, name: Name) -> None:
        await self._api.send("DELETE", f"{_TASKS.format(name[0])}/{name[1]}")

    async def _forbid(self, name: Name) -> None:
        cedar = f'forbid (principal == Agent::"{name[0]}/{AGENT}", action, resource);'
        await self._work.policy(f"halt-{name[0]}", cedar)

    async def _disable_agent(self, name: Name) -> None:
        path = f"/apis/agentid.dev/v1alpha1/namespaces/{name[0]}/agents/{AGENT}"
        await self._api.send("PATCH", path, orjson.dumps({"spec": {"disabled": True}}), MERGE)


async def refusals(  # noqa: PLR0917 - who does what, and how often
    api: Api, work: Work, lives: Lives, asker: Asker, count: int, step: Step
) -> Refusals:
    """End tasks in each way, one after the other, asking all the time; the operator and a gate run."""
    ends = Ends(api, work)
    await _make_node(api)
    found: dict[str, list[float]] = {}
    for kind, end in ends.kinds.items():
        step.still(kind.replace("_", " "))
        found[kind] = []
        for number in range(count):
            name = await _live(api, work, lives, f"{kind.replace('_', '-')}-{number}")
            asked = await _question(api, name)
            await _until(asker, asked, allowed=True)
            begin = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(end(name))
                await _until(asker, asked, allowed=False)
                found[kind].append(1000 * (time.monotonic() - begin))
    return found


async def _until(asker: Asker, asked: bytes, *, allowed: bool) -> None:
    """Ask again and again until it is allowed, or refused."""
    until = time.monotonic() + _WITHIN_SECONDS
    while ((reason := await asker.ask(asked)) == ALLOWED) is not allowed:
        if time.monotonic() > until:
            raise NotInTimeError(f"the decision point still says {reason} after {_WITHIN_SECONDS:.0f} s")


async def _live(api: Api, work: Work, lives: Lives, namespace: str) -> Name:
    """Have a task served that is bound to a pod, both in a namespace of their own."""
    await work.namespace(namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": AGENT}}
    await api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    (name,) = work.names(1, namespace)
    await work.create(name, workload={})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name[1], "labels": {TASK_LABEL: name[1]}},
        "spec": {
            "serviceAccountName": AGENT,
            "containers": [{"name": "agent", "image": "agent:1"}],
            "nodeName": _NODE,
        },
    }
    await api.post(f"/api/v1/namespaces/{namespace}/pods", pod)
    await _report(api, name, "Running", {"running": {}})
    await lives.until("agentid serves a task", [name], lambda life: life.served)
    return name


async def _report(api: Api, name: Name, phase: str, state: Mapping[str, object]) -> None:
    """Say of a task's pod what a kubelet would."""
    container = {"name": "agent", "image": "agent:1", "imageID": "sha256:0", "restartCount": 0}
    container |= {"ready": "running" in state, "state": state}
    status = {"status": {"phase": phase, "containerStatuses": [container]}}
    path = f"/api/v1/namespaces/{name[0]}/pods/{name[1]}/status"
    await api.send("PATCH", path, orjson.dumps(status), MERGE)


async def _question(api: Api, name: Name) -> bytes:
    status = (await api.get(f"{_TASKS.format(name[0])}/{name[1]}"))["status"]
    return question(status["spiffeID"], status["credentials"][-1]["serial"])


async def _make_node(api: Api) -> None:
    """Make a node on which nothing runs, with room for all pods."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _NODE}}
    await api.post("/api/v1/nodes", node)
