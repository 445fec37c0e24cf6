"""Feeds the view from watches: each kind is listed, followed, and listed again where a watch missed some."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

from agentid.api.names import HEARTBEAT, TASK_LABEL
from agentid.cluster.connection import Body, Connection
from agentid.cluster.paths import AGENT_POLICIES, AGENTS, CLUSTER_AGENT_POLICIES, PODS, TASKS, Resource
from agentid.cluster.reflector import Reflector, Scope
from agentid.gate.known_task import KnownTask
from agentid.gate.view import Heartbeat, View
from agentid.lifecycle.model import AgentFacts, PodFacts
from agentid.watched.facts import agent_facts, mapping, moment, pod_facts, seen_before, text
from agentid.watched.heartbeat import is_heartbeat
from agentid.watched.namespaces import Namespaces, watched_namespaces
from agentid.watched.policy_intake import PolicyIntake

_Clock = Callable[[], float]


class Feeding:
    """All watches of a decision point."""

    def __init__(  # noqa: PLR0913 - what is watched, where, and who hears of it
        self,
        connection: Connection,
        view: View,
        intake: PolicyIntake,
        namespaces: Namespaces,
        *,
        served: tuple[str, ...],
        operator_namespace: str,
        clock: _Clock,
        uptime: _Clock,
    ) -> None:
        self._intake = intake
        self._namespaces = namespaces
        self._served = served
        wheres: tuple[str | None, ...] = served or (None,)
        self._tasks = [_Tasks(connection, view, each, operator_namespace, clock, uptime) for each in wheres]
        self._pods = [_Pods(connection, view, each, clock) for each in wheres]
        self._agents = [_Agents(connection, view, each, clock) for each in wheres]
        self._policies = [
            _Policies(connection, intake, CLUSTER_AGENT_POLICIES, None, clock),
            *(_Policies(connection, intake, AGENT_POLICIES, each, clock) for each in wheres),
        ]

    @property
    def paths(self) -> tuple[str, ...]:
        """What the watches are called by whoever notes when they bring something."""
        followed = (*self._tasks, *self._pods, *self._agents, *self._policies)
        return (*(each.path for each in followed), *watched_namespaces(self._served))

    async def synced(self) -> None:
        """Wait until all that there is has been seen, and the policies among it are in force."""
        for each in (*self._tasks, *self._pods, *self._agents, *self._policies):
            await each.listed()
        await self._namespaces.listed()
        for resource in (CLUSTER_AGENT_POLICIES, AGENT_POLICIES):
            self._intake.listed(resource)
        await self._intake.settled()

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run until the end."""
        followed = (*self._tasks, *self._pods, *self._agents, *self._policies)
        return [*(each.run() for each in followed), self._namespaces.run(), self._intake.run()]


class _Followed:
    """One watch."""

    def __init__(self, reflector: Reflector[Any], scope: Scope) -> None:
        self._reflector = reflector
        self.path: Final = scope.path

    def listed(self) -> Awaitable[bool]:
        return self._reflector.listed.wait()

    async def run(self) -> None:
        await self._reflector.run()


class _Tasks(_Followed):
    """Tasks, and the heartbeat among them."""

    def __init__(  # noqa: PLR0913, PLR0917 - what is watched, where, and who hears of it
        self,
        connection: Connection,
        view: View,
        where: str | None,
        operator_namespace: str,
        clock: _Clock,
        uptime: _Clock,
    ) -> None:
        self._view = view
        self._where = where
        self._uptime = uptime
        self._heartbeat = f"{operator_namespace}/{HEARTBEAT}" if where is None else HEARTBEAT
        scope = Scope(TASKS, where)
        self._known: Reflector[KnownTask | Mapping[str, Any]] = Reflector(
            connection, scope, self._made, changed=self._changed, clock=clock
        )
        super().__init__(self._known, scope)

    @staticmethod
    def _made(body: Body) -> KnownTask | Mapping[str, Any]:
        # Nobody else's status can be written but by the operator; whose object it is the name tells.
        return mapping(body.get("status")) if is_heartbeat(body) else KnownTask.of(body)

    def _changed(self, name: str) -> None:
        found = self._known.get(name)
        if isinstance(found, KnownTask):
            self._view.put_task(found)
        elif found is None:
            namespace, slash, task = name.rpartition("/")
            self._view.drop_task((namespace if slash else self._where or "", task))
        elif name == self._heartbeat and (at := moment(found.get("heartbeatTime"))) is not None:
            self._view.beat(self._where or "", Heartbeat(at, self._uptime()))


class _Pods(_Followed):
    """Pods that carry a task's label; one that lost it is gone here."""

    def __init__(self, connection: Connection, view: View, where: str | None, clock: _Clock) -> None:
        self._view = view
        self._uids: dict[str, str] = {}
        scope = Scope(PODS, where, label_selector=TASK_LABEL)
        self._known: Reflector[PodFacts] = Reflector(
            connection,
            scope,
            lambda body: pod_facts(body, labelled=True),
            changed=self._changed,
            clock=clock,
        )
        super().__init__(self._known, scope)

    def _changed(self, name: str) -> None:
        found, before = self._known.get(name), self._uids.get(name)
        if before is not None and (found is None or found.uid != before):
            self._view.drop_pod(self._uids.pop(name))
        if found is not None:
            old = self._view.pod(found.uid)
            self._uids[name] = found.uid
            self._view.put_pod(found if old is None else seen_before(old, found))


class _Agents(_Followed):
    """Agents."""

    def __init__(self, connection: Connection, view: View, where: str | None, clock: _Clock) -> None:
        self._view = view
        self._where = where
        scope = Scope(AGENTS, where)
        self._known: Reflector[AgentFacts] = Reflector(
            connection, scope, agent_facts, changed=self._changed, clock=clock
        )
        super().__init__(self._known, scope)

    def _changed(self, name: str) -> None:
        namespace, slash, agent = name.rpartition("/")
        key = (namespace if slash else self._where or "", agent)
        found = self._known.get(name)
        if found is None:
            self._view.drop_agent(key)
        else:
            self._view.put_agent(key, found)


class _Policies(_Followed):
    """Policies of one kind, which are looked through as the operator does it."""

    def __init__(
        self,
        connection: Connection,
        intake: PolicyIntake,
        resource: Resource,
        where: str | None,
        clock: _Clock,
    ) -> None:
        self._intake = intake
        self._resource = resource
        self._metadata: dict[str, Mapping[str, Any]] = {}
        scope = Scope(resource, where)
        self._known: Reflector[Body] = Reflector(
            connection, scope, lambda body: body, changed=self._changed, clock=clock
        )
        super().__init__(self._known, scope)

    def _changed(self, name: str) -> None:
        found, before = self._known.get(name), self._metadata.pop(name, None)
        metadata = mapping(found.get("metadata")) if found is not None else None
        if before is not None and (metadata is None or metadata.get("uid") != before.get("uid")):
            words = (text(before.get(part)) for part in ("namespace", "name", "uid"))
            self._intake.drop(self._resource, *words)
        if found is not None and metadata is not None:
            self._metadata[name] = metadata
            self._intake.take(self._resource, found)


async def run_all(runs: list[Coroutine[Any, Any, None]]) -> None:
    """Run all of them until cancelled, or until one fails."""
    async with asyncio.TaskGroup() as group:
        for each in runs:
            group.create_task(each)
