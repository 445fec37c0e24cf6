"""Lays out work: namespaces, tasks in bursts or at a pace, their ends, and what clears them away."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import orjson

from tests.bench.api import MERGE, Api
from tests.bench.lives import Lives, Name

NAMESPACE: Final = "bench"
AGENT: Final = "refund-agent"
_AT_ONCE: Final = 24
_API_VERSION: Final = "agentid.dev/v1alpha1"
_POLICIES: Final = f"/apis/{_API_VERSION}/clusteragentpolicies"
_ENDED: Final = orjson.dumps({"spec": {"state": "Ended"}})
_SUSPENDED: Final = orjson.dumps({"spec": {"state": "Suspended"}})

Act = Callable[[Name], Coroutine[Any, Any, object]]


class Work:
    """What the harness does as administrator."""

    def __init__(self, api: Api, lives: Lives) -> None:
        self._api = api
        self._lives = lives
        self._count = itertools.count(1)

    def names(self, count: int, namespace: str = NAMESPACE, word: str = "refund") -> list[Name]:
        """Return names of tasks that nobody had before, all of one length."""
        return [(namespace, f"{word}-{next(self._count):06d}") for _ in range(count)]

    async def namespace(self, name: str, *, agent: bool = True) -> None:
        """Make a namespace, with an Agent in it unless its tasks are to wait for one."""
        await self._api.post(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        if agent:
            await self.agent(name)

    async def agent(self, namespace: str) -> None:
        """Make the Agent that a namespace's tasks name."""
        spec = {
            "owner": "payments-team@example.com",
            "class": "Ephemeral",
            "actions": ["orders:read"],
            "serviceAccounts": [AGENT],
        }
        body = {"apiVersion": _API_VERSION, "kind": "Agent", "metadata": {"name": AGENT}, "spec": spec}
        await self._api.post(f"/apis/{_API_VERSION}/namespaces/{namespace}/agents", body)

    async def policy(self, name: str, cedar: str) -> None:
        """Make a policy of the cluster's."""
        body = {
            "apiVersion": _API_VERSION,
            "kind": "ClusterAgentPolicy",
            "metadata": {"name": name},
            "spec": {"cedar": cedar},
        }
        await self._api.post(_POLICIES, body)

    async def own_policy(self, namespace: str, name: str, cedar: str) -> None:
        """Make a policy of a namespace's own."""
        body = {
            "apiVersion": _API_VERSION,
            "kind": "AgentPolicy",
            "metadata": {"name": name},
            "spec": {"cedar": cedar},
        }
        await self._api.post(f"/apis/{_API_VERSION}/namespaces/{namespace}/agentpolicies", body)

    async def no_policy(self, name: str) -> None:
        """Delete a policy of the cluster's."""
        await self._api.send("DELETE", f"{_POLICIES}/{name}")

    async def create(self, name: Name, **spec: object) -> dict[str, Any]:
        """Create a task, bound to no pod unless `spec` says so; its one credential outlives the measuring."""
        body: dict[str, Any] = {
            "apiVersion": _API_VERSION,
            "kind": "AgentTask",
            "metadata": {"name": name[1]},
            "spec": {
                "agentRef": {"name": AGENT},
                "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"]},
                "startDeadlineSeconds": 3600,
                "credential": {"ttlSeconds": 3600},
                **spec,
            },
        }
        self._lives[name].asked = time.monotonic()
        return await self._api.post(f"/apis/{_API_VERSION}/namespaces/{name[0]}/agenttasks", body)

    async def end(self, name: Name) -> None:
        """Ask for the end of a task."""
        self._lives[name].end_asked = time.monotonic()
        path = f"/apis/{_API_VERSION}/namespaces/{name[0]}/agenttasks/{name[1]}"
        await self._api.send("PATCH", path, _ENDED, MERGE)

    async def suspend(self, name: Name) -> None:
        """Ask for the suspension of a task."""
        self._lives[name].end_asked = time.monotonic()
        path = f"/apis/{_API_VERSION}/namespaces/{name[0]}/agenttasks/{name[1]}"
        await self._api.send("PATCH", path, _SUSPENDED, MERGE)

    async def at_once(self, act: Act, names: Sequence[Name]) -> None:
        """Do it for all names, as fast as the API server takes it."""
        left = iter(names)

        async def keep_on() -> None:
            for name in left:
                await act(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(keep_on())

    async def at_a_pace(self, act: Act, names: Sequence[Name], per_second: float) -> None:
        """Do it for one name after another, so many a second, however long each takes."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                group.create_task(act(name))

    async def clear(self, namespace: str = NAMESPACE) -> None:
        """Delete all tasks of a namespace and their Events; their Secrets are gone already."""
        for path in (
            f"/apis/{_API_VERSION}/namespaces/{namespace}/agenttasks",
            f"/apis/events.k8s.io/v1/namespaces/{namespace}/events",
        ):
            await self._api.send("DELETE", path)
        self._lives.forget()

    async def secrets_of_one_owner(self, count: int) -> tuple[list[Name], Callable[[], Awaitable[None]]]:
        """Make Secrets whose one owner is a ConfigMap; return their names, and what deletes the owner."""
        root = f"/api/v1/namespaces/{NAMESPACE}"
        owner = await self._api.post(
            f"{root}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
        )
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }
        names = self.names(count, word="owned")

        async def create(name: Name) -> None:
            metadata = {"name": name[1], "ownerReferences": [reference]}
            data = {"tls.key": "YWJj" * 1000}
            await self._api.post(
                f"{root}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
            )

        async def delete_owner() -> None:
            await self._api.send("DELETE", f"{root}/configmaps/owner")

        await self.at_once(create, names)
        return names, delete_owner
