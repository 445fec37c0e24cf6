"""Watches the objects that tasks name in `workload.ref`, a kind in a namespace only while some task does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from agentid.cluster.connection import Connection
from agentid.cluster.paths import Resource, group_of
from agentid.cluster.reflector import Reflector, Scope
from agentid.controller.packed_task import WorkloadKey
from agentid.lifecycle.model import WorkloadFacts, WorkloadState
from agentid.watched.facts import workload_facts

_IDLE_SECONDS: Final = 60.0
"""A watch that no task needs any more is kept this long: tasks of one kind tend to follow each other."""


@dataclass(slots=True)
class _Watched:
    """One kind in one namespace: the state of each object of it, believed while it is listed."""

    view: Reflector[WorkloadFacts]
    runner: asyncio.Task[None]
    needed_at: float


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
        self._watched: dict[tuple[Resource, str], _Watched] = {}

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
        view = self._view_of(resource, key.namespace)
        if not view.listed.is_set():
            try:
                async with asyncio.timeout(within_seconds):
                    await view.listed.wait()
            except TimeoutError:
                return None
        return view.get(key.name) or WorkloadFacts(WorkloadState.NOT_FOUND)

    async def run(self) -> None:
        """End watches that no task needs any more, until cancelled; then end all."""
        try:
            while True:
                await self._sleep(_IDLE_SECONDS / 4)
                await self._end_idle()
        finally:
            await self._end(list(self._watched))

    def _view_of(self, resource: Resource, namespace: str) -> Reflector[WorkloadFacts]:
        watched = self._watched.get((resource, namespace))
        if watched is None:
            view = Reflector(
                self._connection,
                Scope(resource, namespace),
                workload_facts,
                changed=lambda name: self._changed(
                    WorkloadKey(resource.api_version, resource.kind, namespace, name)
                ),
                clock=self._clock,
                sleep=self._sleep,
            )
            watched = _Watched(view, asyncio.create_task(view.run()), 0.0)
            self._watched[resource, namespace] = watched
        watched.needed_at = self._clock()
        return watched.view

    async def _end_idle(self) -> None:
        now = self._clock()
        needed = {(self.resource(key.api_version, key.kind), key.namespace) for key in self._needed()}
        for scope in needed & self._watched.keys():
            self._watched[scope].needed_at = now  # type: ignore[index]  # None is in no scope
        await self._end(
            [scope for scope, watched in self._watched.items() if now - watched.needed_at > _IDLE_SECONDS]
        )

    async def _end(self, scopes: list[tuple[Resource, str]]) -> None:
        runners = []
        for resource, namespace in scopes:
            runner = self._watched.pop((resource, namespace)).runner
            runner.cancel()
            runners.append(runner)
            self._connection.activity.forget(Scope(resource, namespace).path)
        await asyncio.gather(*runners, return_exceptions=True)
