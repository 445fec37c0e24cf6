"""An API server with a family of tasks, and an operator that looks at what its world says it has to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.fields import format_time
from agentid.cluster.paths import TASKS, Resource
from agentid.controller.families import Families
from agentid.controller.world import World
from agentid.lifecycle.approvals import consent_to
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import (
    Family,
    Observation,
    PodFacts,
    SecretFacts,
    SecretState,
    TaskFacts,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.pods import next_holder
from agentid.lifecycle.record import is_step
from agentid.lifecycle.reporting import issued
from agentid.watched.facts import Key
from tests.unit.lifecycle_facts import LIMITS, NOW, agent, judged, made, pod, uid

_T = TypeVar("_T")
NAMESPACE = "support"
ALLOWS_ALL = agent(actions=["a:*"], maxSensitivity="Restricted")
Body = dict[str, Any]


class Policy(Enum):
    """What policy says of a task."""

    ALLOWS = "allows"
    WANTS_A_POD = "allows it with a pod"
    WANTS_AN_APPROVAL = "wants an approval"
    IN_DOUBT = "cannot be asked"
    DENIES = "denies"

    def allows(self, *, has_pod: bool) -> bool:
        """Whether a task is allowed that has a pod, or has none."""
        return self is Policy.ALLOWS or (self is Policy.WANTS_A_POD and has_pod)


@dataclass
class Server:
    """All tasks, by name, each with a version that counts up; their pods, and what policy says of each."""

    now: datetime = NOW
    tasks: dict[str, Body] = field(default_factory=dict)
    pods: dict[str, PodFacts] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    written: Callable[[Body, Body], None] | None = None
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
        after = self._put({**body, "status": _json(status)})
        if self.written is not None:
            self.written(body, after)
        return after

    def next_pod(self, name: str) -> None:
        """Have another pod work for a task, in place of the one that did."""
        self.number += 1
        self.pods[name] = pod(self.number, all_run=True)

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

    def look_at(self, name: str) -> None:
        """Be told that its pod or what policy says of it is another."""
        self._look_at((NAMESPACE, name))

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
        family = self._family(task)
        newest = max((each.generation for each in task.status.credentials), default=None)
        seen = Observation(
            now=self.server.now,
            task=task,
            agent=ALLOWS_ALL,
            pods=self._pods(task.name),
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
        seen = replace(seen, consent=consent_to(task, family.lineage, (), self.server.now))
        policy = self.server.policies.get(task.name, Policy.ALLOWS)
        holder = family.parents_pod if is_step(task) else next_holder(seen)
        is_bound = task.spec is not None and (task.spec.workload is not None or is_step(task))
        return judged(
            seen,
            allowed=policy.allows(has_pod=holder is not None or not is_bound),
            message=policy.value,
            awaits_approval=policy is Policy.WANTS_AN_APPROVAL,
            in_doubt=policy is Policy.IN_DOUBT,
        )

    def _family(self, task: TaskFacts) -> Family:
        family = done(self.families.of(task))
        above = family.lineage.ancestors[0] if family.lineage.ancestors else None
        if not is_step(task) or above is None or above.status.bound_pod is None:
            return family
        found = (each for each in self._pods(above.name) if each.uid == above.status.bound_pod.uid)
        return replace(family, parents_pod=next(found, None))

    def _pods(self, name: str) -> tuple[PodFacts, ...]:
        found = self.server.pods.get(name)
        return () if found is None else (found,)


def done(work: Coroutine[Any, Any, _T]) -> _T:
    """Return what comes of work that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as result:
        value: _T = result.value
        return value
    raise AssertionError("it waits for something")
