"""An API server with a family of tasks, and an operator that looks at what its world says it has to."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.fields import format_time
from agentid.cluster.paths import TASKS, Resource
from agentid.controller.families import Families
from agentid.controller.records import Key
from agentid.controller.world import World
from agentid.lifecycle.approvals import consent_to
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Observation, SecretFacts, SecretState, WorkloadFacts, WorkloadState
from agentid.lifecycle.reporting import issued
from tests.unit.lifecycle_facts import LIMITS, NOW, agent, judged, made, uid

_T = TypeVar("_T")
NAMESPACE = "support"
ALLOWS_ALL = agent(actions=["a:*"], maxSensitivity="Restricted")
Body = dict[str, Any]


@dataclass
class Server:
    """All tasks, by name, each with a version that counts up."""

    now: datetime = NOW
    tasks: dict[str, Body] = field(default_factory=dict)
    version: int = 0
    number: int = 0

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """GET, as `Reads` does it."""
        assert (resource, namespace) == (TASKS, NAMESPACE)
        return self.tasks.get(name)

    def create(self, name: str, spec: AgentTaskSpec) -> Body:
        """POST; a name that is there stays what it is."""
        if name in self.tasks:
            return self.tasks[name]
        self.number += 1
        metadata = {
            "namespace": NAMESPACE,
            "name": name,
            "uid": uid(self.number),
            "generation": 1,
            "creationTimestamp": format_time(self.now),
        }
        return self._put({"metadata": metadata, "spec": _json(spec), "status": {}})

    def change(self, name: str, spec: AgentTaskSpec) -> Body:
        """PUT of the spec."""
        body = self.tasks[name]
        metadata = body["metadata"] | {"generation": body["metadata"]["generation"] + 1}
        return self._put({**body, "metadata": metadata, "spec": _json(spec)})

    def write_status(self, name: str, version: str, status: AgentTaskStatus) -> Body | None:
        """PATCH of the status; None: the task has changed since, or is gone."""
        body = self.tasks.get(name)
        if body is None or body["metadata"]["resourceVersion"] != version:
            return None
        return self._put({**body, "status": _json(status)})

    def _put(self, body: Body) -> Body:
        self.version += 1
        metadata = body["metadata"] | {"resourceVersion": str(self.version)}
        found = self.tasks[metadata["name"]] = {**body, "metadata": metadata}
        return found


def _json(model: AgentTaskSpec | AgentTaskStatus) -> Body:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


class Operator:
    """One process: its world, what it has to look at, when it wakes, and what it knows of Secrets."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.waiting: dict[Key, None] = {}
        self.wakes: dict[Key, datetime] = {}
        self.secrets: dict[str, SecretFacts] = {}
        self.world = World(self._look_at, lambda: server.now)
        self.families = Families(self.world, server)  # type: ignore[arg-type] - all that is used of Reads
        for body in server.tasks.values():
            self.world.take_task(body)

    def _look_at(self, key: Key) -> None:
        self.waiting[key] = None

    def see(self, name: str, before: Body | None = None) -> None:
        """Be shown by a watch how a task is, or that `before` is gone."""
        body = self.server.tasks.get(name)
        if body is not None:
            self.world.take_task(body)
        elif before is not None:
            self.world.drop_task((NAMESPACE, name), before["metadata"]["uid"])

    def wake(self) -> None:
        """Look at what is due."""
        for key in [key for key, at in self.wakes.items() if at <= self.server.now]:
            self._look_at(key)

    def pass_over_one(self, index: int = 0) -> bool:
        """Make one pass over one of those that wait; return whether there was one."""
        if not self.waiting:
            return False
        key = list(self.waiting)[index % len(self.waiting)]
        del self.waiting[key]
        record = self.world.record(key)
        if record is None or record.task is None:
            self.wakes.pop(key, None)
            return True
        facts = record.task.facts()
        observation = self._observed(key)
        plan = decide(observation)
        report = plan.report
        if plan.issue is not None:
            report = issued(observation, plan, made(observation, plan))
        if report is not None and report.status != facts.status:
            self.world.begin_own_write(record)
            reply = self.server.write_status(facts.name, facts.resource_version, report.status)
            self.world.end_own_write(record, reply)
            # After a write it is decided again, as after one that came too late.
            self._look_at(key)
            if reply is None:
                self.see(facts.name, before={"metadata": {"uid": facts.uid}})
                return True
        held = report.status.credentials if report is not None else []
        newest = held[-1].generation if held else None
        state = SecretState.ABSENT if newest is None else SecretState.FILLED
        self.secrets[facts.uid] = SecretFacts(state, generation=newest)
        self.wakes.pop(key, None)
        times = [each for each in (plan.wake_at, plan.turns_at) if each is not None]
        if times:
            self.wakes[key] = min(times)
        return True

    def _observed(self, key: Key) -> Observation:
        record = self.world.record(key)
        assert record is not None
        assert record.task is not None
        task = record.task.facts()
        family = done(self.families.of(task))
        newest = max((each.generation for each in task.status.credentials), default=None)
        seen = Observation(
            now=self.server.now,
            task=task,
            agent=ALLOWS_ALL,
            pods=(),
            workload=WorkloadFacts(WorkloadState.NOT_NAMED),
            secret=self.secrets.get(
                task.uid,
                SecretFacts(SecretState.ABSENT)
                if newest is None
                else SecretFacts(SecretState.FILLED, generation=newest),
            ),
            limits=LIMITS,
            family=family,
        )
        return judged(replace(seen, consent=consent_to(task, family.lineage, (), self.server.now)))


def done(work: Coroutine[Any, Any, _T]) -> _T:
    """Return what comes of work that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as result:
        value: _T = result.value
        return value
    raise AssertionError("it waits for something")
