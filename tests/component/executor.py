"""Carries out plans on the cluster in memory, one action at a time, so that it can stop after any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentid.controller.departures import earlier
from agentid.lifecycle.decide import decide
from agentid.lifecycle.departure import decide_departure
from agentid.lifecycle.model import (
    Departure,
    FailedWrite,
    Observation,
    SecretFacts,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.plan import Plan, SecretAction
from agentid.lifecycle.reporting import issued
from tests.component.cluster_in_memory import (
    Cluster,
    ConflictError,
    Copies,
    LostError,
    NotFoundError,
    RefusedError,
    Secret,
)
from tests.unit.lifecycle_facts import LIMITS, copied, judged, made

PAUSE = timedelta(seconds=10)


class DeposedError(Exception):
    """The operator is not the leader any more, so it touches no Secret."""


@dataclass
class Operator:
    """One process; all it knows beside the cluster is lost with it."""

    cluster: Cluster
    leads: bool = True
    secret: SecretFacts = field(default_factory=lambda: SecretFacts(SecretState.DOUBTFUL))
    known: Secret | None = None
    failed: FailedWrite | None = None
    wake_at: datetime | None = None
    notes: list[str] = field(default_factory=list)

    def run(self) -> Iterator[str]:
        """Look and decide now; carry the plan out action by action, yielding the name of each one done."""
        observation = self._observe()
        plan = decide(observation) if isinstance(observation, Observation) else decide_departure(observation)
        self.wake_at = earlier(plan.wake_at, plan.turns_at)
        return self._carry_out(observation, plan)

    def _observe(self) -> Observation | Departure:
        at, task = self.cluster, self.cluster.task
        pods = tuple(at.pods.values())
        if task is None:
            return Departure(at.now, self.secret, pods, LIMITS)
        seen = Observation(
            now=at.now,
            task=task,
            agent=at.agent,
            pods=pods,
            workload=at.workload or WorkloadFacts(WorkloadState.NOT_NAMED),
            secret=self.secret,
            limits=LIMITS,
            blocked=at.blocked,
            failed_write=self.failed,
            static_secrets=(at.static_secret,) if task.spec and task.spec.static_secrets else (),
        )
        return judged(seen, **at.policy)

    def _carry_out(self, observation: Observation | Departure, plan: Plan) -> Iterator[str]:
        try:
            yield from self._act(observation, plan)
        except (ConflictError, NotFoundError, LostError):
            yield "overtaken"

    def _act(self, observation: Observation | Departure, plan: Plan) -> Iterator[str]:
        report, task, copies = plan.report, None, ()
        if isinstance(observation, Observation):
            task = observation.task
            if plan.issue is not None:
                copies = copied(observation, plan)
                report = issued(observation, plan, made(observation, plan), copies)
            if report is not None and report.status != task.status:
                # No look at the lease: a late one is refused by its resourceVersion alone.
                self.cluster.write_status(task.uid, task.resource_version, report.status)
                yield "status"
        if plan.secret is not SecretAction.NONE:
            self._check_lease()
            yield self._touch_secret(
                plan, report.status.credential_generation if report else None, observation, copies
            )
        if plan.delete_task and task is not None:
            self._check_lease()
            self.cluster.delete_task()
            yield "delete task"
        if report is not None and report.event is not None:
            self.notes.append(report.event.note)
            yield "event"

    def _check_lease(self) -> None:
        if not self.leads:
            raise DeposedError

    def _touch_secret(
        self, plan: Plan, generation: int | None, observation: Observation | Departure, copies: Copies
    ) -> str:
        try:
            match plan.secret:
                case SecretAction.FILL:
                    owners = {observation.task.uid} if isinstance(observation, Observation) else set()
                    pod = plan.issue.pod if plan.issue else None
                    self._put(
                        generation, frozenset(owners | ({pod.uid} if pod else set())), copies, create=True
                    )
                    self.secret = SecretFacts(SecretState.FILLED, generation=generation)
                case SecretAction.EMPTY | SecretAction.HOLD:
                    self._put(None, frozenset())
                    self.secret = SecretFacts(SecretState.EMPTIED, emptied_at=self.cluster.now)
                case SecretAction.DELETE:
                    if self.known is None:
                        self._put(None, frozenset())
                    self.cluster.delete_secret(self.known.uid if self.known else "")
                    self._forget()
                case SecretAction.PROBE:
                    self._probe(generation)
            if plan.secret is not SecretAction.PROBE or self.secret.state is not SecretState.TAKEN:
                self.failed = None
        except NotFoundError:
            self._forget()
            self.failed = None
        except RefusedError:
            self.known, self.secret = None, SecretFacts(SecretState.TAKEN)
        except (ConflictError, LostError):
            # Whatever was known of the Secret is not so any more.
            self.known, self.secret = None, SecretFacts(SecretState.DOUBTFUL)
            self.failed = FailedWrite("the Secret could not be written", self.cluster.now + PAUSE)
        return plan.secret.value

    def _put(
        self, generation: int | None, owners: frozenset[str], copies: Copies = (), *, create: bool = False
    ) -> None:
        uid, version = (self.known.uid, self.known.version) if self.known else (None, None)
        if create and self.known is None:
            try:
                self.known = self.cluster.create_secret(generation, owners, copies)
            except ConflictError:
                self.known = self.cluster.replace_secret(generation, None, None, owners, copies)
        else:
            self.known = self.cluster.replace_secret(generation, uid, version, owners, copies)

    def _probe(self, generation: int | None) -> None:
        try:
            self.cluster.look_at_secret()
            self.secret = SecretFacts(SecretState.FILLED, generation=generation)
        except RefusedError:
            self.secret = SecretFacts(SecretState.TAKEN)
            self.failed = FailedWrite("the name is taken still", self.cluster.now + PAUSE)

    def _forget(self) -> None:
        self.known, self.secret = None, SecretFacts(SecretState.ABSENT)
