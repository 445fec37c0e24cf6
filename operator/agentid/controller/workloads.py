"""Watches the objects that tasks name in `workload.ref`, a kind in a namespace only while some task does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.errors import GoneError
from agentid.cluster.paths import Resource, group_of
from agentid.cluster.watching import list_chunks, watch
from agentid.controller.facts import mapping, text, workload_facts
from agentid.controller.packed_task import WorkloadKey
from agentid.lifecycle.model import WorkloadFacts, WorkloadState

_log = structlog.get_logger("agentid.workloads")

_IDLE_SECONDS: Final = 60.0
"""A watch that no task needs any more is kept this long: tasks of one kind tend to follow each other."""
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

Scope = tuple[Resource, str]
"""A kind in a namespace."""


@dataclass(slots=True)
class _Watched:
    """One kind in one namespace: the state of each object of it, once listed."""

    facts: dict[str, WorkloadFacts] = field(default_factory=dict)
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    needed_at: float = 0.0
    runner: asyncio.Task[None] | None = None


class Workloads:
    """The state of every object that a task may refer to, for as long as one does."""

    def __init__(  # noqa: PLR0913 - what is watched for whom, and its time
        self,
        connection: Connection,
        kinds: tuple[Resource, ...],
        *,
        changed: Callable[[WorkloadKey], None],
        needed: Callable[[], set[WorkloadKey]],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._kinds = {(kind.api_version, kind.kind): kind for kind in kinds}
        self._changed = changed
        self._needed = needed
        self._clock = clock
        self._sleep = sleep
        self._watched: dict[Scope, _Watched] = {}

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """Return where objects of an allowed kind live; None where the kind is not allowed."""
        return self._kinds.get((api_version, kind))

    def owner_resource(self, api_version: str, kind: str) -> Resource | None:
        """Return where an owner lives if it is of an allowed kind, whichever version of it is named."""
        exactly = self.resource(api_version, kind)
        group = group_of(api_version)
        return exactly or next(
            (each for each in self._kinds.values() if (each.group, each.kind) == (group, kind)), None
        )

    async def look_up(self, key: WorkloadKey, within_seconds: float) -> WorkloadFacts | None:
        """Return how the object stands; None while it can't be seen.

        The first question about a kind in a namespace starts its watch and waits for the list.
        """
        resource = self.resource(key.api_version, key.kind)
        if resource is None:
            return WorkloadFacts(WorkloadState.KIND_NOT_ALLOWED)
        watched = self._watch_of((resource, key.namespace))
        watched.needed_at = self._clock()
        if not watched.listed.is_set():
            try:
                async with asyncio.timeout(within_seconds):
                    await watched.listed.wait()
            except TimeoutError:
                return None
        return watched.facts.get(key.name, WorkloadFacts(WorkloadState.NOT_FOUND))

    async def run(self) -> None:
        """End watches that no task needs any more, until cancelled; then end all."""
        try:
            while True:
                await self._sleep(_IDLE_SECONDS / 4)
                await self._end_idle()
        finally:
            await self._end(list(self._watched))

    def _watch_of(self, scope: Scope) -> _Watched:
        watched = self._watched.get(scope)
        if watched is None:
            watched = self._watched[scope] = _Watched()
            watched.runner = asyncio.create_task(self._keep_watching(scope, watched))
        return watched

    async def _end_idle(self) -> None:
        now = self._clock()
        needed = {(self.resource(key.api_version, key.kind), key.namespace) for key in self._needed()}
        for scope in needed & self._watched.keys():
            self._watched[scope].needed_at = now  # type: ignore[index]  # None is in no scope
        await self._end(
            [scope for scope, watched in self._watched.items() if now - watched.needed_at > _IDLE_SECONDS]
        )

    async def _end(self, scopes: list[Scope]) -> None:
        runners = []
        for resource, namespace in scopes:
            watched = self._watched.pop((resource, namespace))
            if watched.runner is not None:
                watched.runner.cancel()
                runners.append(watched.runner)
            self._connection.activity.forget(resource.path(namespace))
        await asyncio.gather(*runners, return_exceptions=True)

    async def _keep_watching(self, scope: Scope, watched: _Watched) -> None:
        resource, namespace = scope
        pause = _PAUSE_SECONDS
        while True:
            began = self._clock()
            try:
                version = await self._list(scope, watched)
                await self._follow(scope, watched, version)
            except Exception as error:  # noqa: BLE001 - whatever comes, a watch that ended unseen would hide every end
                # What was seen before is believed no longer; the next list says what has changed since.
                watched.listed.clear()
                if self._clock() - began > _LONGEST_PAUSE_SECONDS:
                    pause = _PAUSE_SECONDS
                _log.warning(
                    "watch of workloads failed",
                    kind=resource.kind,
                    namespace=namespace,
                    error=f"{type(error).__name__}: {error}",
                    retry_seconds=pause,
                )
                await self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _list(self, scope: Scope, watched: _Watched) -> str:
        resource, namespace = scope
        found: dict[str, WorkloadFacts] = {}
        version = ""
        async for bodies, version in list_chunks(self._connection, resource, namespace):  # noqa: B007 - the last counts
            for body in map(mapping, bodies):
                found[text(mapping(body.get("metadata")).get("name"))] = workload_facts(body)
        before, watched.facts = watched.facts, found
        watched.listed.set()
        for name in before.keys() | found.keys():
            if before.get(name) != found.get(name):
                self._changed(WorkloadKey(resource.api_version, resource.kind, namespace, name))
        return version

    async def _follow(self, scope: Scope, watched: _Watched, version: str) -> None:
        """Take in changes until the version is too old; a watch that ends is begun again where it ended."""
        resource, namespace = scope
        while True:
            try:
                async for change in watch(self._connection, resource, namespace, version):
                    body = mapping(change.object)
                    metadata = mapping(body.get("metadata"))
                    version = text(metadata.get("resourceVersion")) or version
                    name = text(metadata.get("name"))
                    if change.type == "BOOKMARK":
                        continue
                    new = workload_facts(body) if change.type != "DELETED" else None
                    old = watched.facts.pop(name, None)
                    if new is not None:
                        watched.facts[name] = new
                    if new != old:
                        self._changed(WorkloadKey(resource.api_version, resource.kind, namespace, name))
            except GoneError:
                return
