"""Whatever people, pods, time, faults, crashes and a second operator do: what is promised of a task holds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    PodFacts,
    PodPhase,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.pods import lives
from tests.component.cluster_in_memory import KUBELET_SYNC, Cluster, LostError, Secret
from tests.component.executor import DeposedError, Operator
from tests.unit.lifecycle_facts import (
    ALLOW,
    JOB,
    JOB_UID,
    LABEL_ONLY,
    TASK_UID,
    agent,
    pod,
    static_secret,
    task_spec,
)

MAX_PASSES = 12

RARELY = st.sampled_from([False] * 9 + [True])
"""For what ends a task at once: else few tasks would live long enough for anything else to happen."""

ALLOWS: dict[str, object] = {}
DENIED: dict[str, object] = {"allowed": False, "message": "a rule forbids it"}
IN_DOUBT: dict[str, object] = {"allowed": False, "in_doubt": True, "message": "no answer"}
UNAPPROVED: dict[str, object] = {"allowed": False, "awaits_approval": True, "message": "not approved"}

ATTENTION = st.sampled_from(
    ["works", "works", "works", "is busy", "dies after 1", "dies after 2", "dies after 3"]
)
"""What the operator does once something happened."""


def happening(**given: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule of something that happens to the task, and of what the operator does then."""

    def of(function: Callable[..., None]) -> Callable[..., None]:
        @rule(attention=ATTENTION, **given)
        @functools.wraps(function)
        def happens(self: LifeOfATask, attention: str = "is busy", **values: object) -> None:
            function(self, **values)
            self.notice(attention)

        return happens  # type: ignore[no-any-return]

    return of


class LifeOfATask(RuleBasedStateMachine):
    """One task in one cluster, with one operator that leads and others that did."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster
        self.operator: Operator
        self.passes: list[tuple[Operator, Iterator[str]]] = []
        self.first_end: tuple[str, datetime] | None = None
        self.written = 0
        self.pod_number = 0

    @initialize(
        workload=st.sampled_from([LABEL_ONLY, ALLOW, JOB, None]),
        renew=st.booleans(),
        active=st.sampled_from([60, 400]),
        kept=st.sampled_from([0, 300]),
        runs=st.sampled_from([True, True, False]),
        static=st.booleans(),
    )
    def create(
        self,
        *,
        workload: dict[str, object] | None,
        renew: bool,
        active: int,
        kept: int,
        runs: bool,
        static: bool,
    ) -> None:
        self.cluster = Cluster(
            task_spec(
                workload=workload,
                credential={"ttlSeconds": 60, "renew": renew},
                activeDeadlineSeconds=active,
                startDeadlineSeconds=200,
                ttlSecondsAfterFinished=kept,
                staticSecrets=[{"name": "legacy-crm-key"}] if static else [],
            )
        )
        if workload is JOB:
            self.cluster.workload = WorkloadFacts(WorkloadState.LIVE, JOB_UID)
        self.operator = Operator(self.cluster)
        if runs:
            if workload is not None:
                self.create_pod(suits=True, scheduled=True)
            self._quiesce()

    # What people do.

    def _spec(self, **changes: object) -> None:
        task = self.cluster.task
        if task is not None and task.spec is not None and not task.deleting and task.spec.state != "Ended":
            wanted = task_spec(**changes)
            kept = {name: getattr(wanted, name) for name in ("state", "intent") if name in changes}
            self.cluster.change_task(spec=task.spec.model_copy(update=kept))

    @happening(state=st.sampled_from(["Suspended", "Active", "Active"]))
    def set_state(self, state: str) -> None:
        self._spec(state=state)

    @happening(really=RARELY)
    def end_task(self, *, really: bool) -> None:
        if really:
            self._spec(state="Ended")

    @happening(purpose=st.sampled_from(["Refund order 4711", "Refund order 4712"]))
    def change_intent(self, purpose: str) -> None:
        self._spec(intent={"purpose": purpose, "actions": ["orders:read"]})

    @happening(really=RARELY)
    def delete_task(self, *, really: bool) -> None:
        """`kubectl delete`: there is no finalizer, so the object is gone at once."""
        if really:
            self.cluster.task = None

    @happening(really=RARELY, allows=st.sampled_from([agent(disabled=True), agent(actions=[]), None]))
    def change_agent(self, *, really: bool, allows: AgentFacts | None) -> None:
        self.cluster.agent = allows if really else agent()

    @happening(policy=st.sampled_from([*[ALLOWS] * 3, IN_DOUBT, UNAPPROVED]))
    def change_policy(self, policy: dict[str, object]) -> None:
        self.cluster.policy = policy

    @happening(really=RARELY)
    def forbid(self, *, really: bool) -> None:
        if really:
            self.cluster.policy = DENIED

    @happening(version=st.sampled_from(["aa01", "bb02", "cc03"]))
    def keep_value(self, version: str) -> None:
        """The value of the static secret is put in its place, another one or not."""
        self.cluster.static_secret = static_secret(version=version)

    @happening()
    def lose_value(self) -> None:
        self.cluster.static_secret = static_secret(version=None, problem="it is not there")

    @happening(really=RARELY)
    def delete_agent_secret(self, *, really: bool) -> None:
        if really:
            self.cluster.static_secret = static_secret(spec=None, version=None)

    @happening()
    @precondition(lambda self: self.cluster.secret is None)
    def plant_secret(self) -> None:
        self.cluster.secret = Secret("planted", 1, "a stranger's", 99, frozenset())

    @happening()
    @precondition(lambda self: self.cluster.secret is not None and self.cluster.secret.task_uid != TASK_UID)
    def remove_planted_secret(self) -> None:
        self.cluster.secret = None

    # What pods and their owners do.

    def _pod(self, index: int) -> PodFacts | None:
        pods = list(self.cluster.pods.values())
        return pods[index % len(pods)] if pods else None

    @happening(suits=st.sampled_from([True, True, True, False]), scheduled=st.booleans())
    @precondition(lambda self: all(pod.leaving or not lives(pod) for pod in self.cluster.pods.values()))
    def create_pod(self, *, suits: bool, scheduled: bool) -> None:
        self.pod_number += 1
        made = pod(
            self.pod_number,
            node="node-3" if scheduled else None,
            phase=PodPhase.PENDING,
            service_account="refund-agent" if suits else "mallory",
        )
        self.cluster.pods[made.uid] = made

    @happening(index=st.integers(0, 2), whole=st.booleans())
    def schedule_pod(self, index: int, *, whole: bool) -> None:
        if (found := self._pod(index)) is not None and not found.finished:
            all_run = whole or found.all_run
            self.cluster.change_pod(found, node="node-3", phase=PodPhase.RUNNING, all_run=all_run)

    @happening(index=st.integers(0, 2), phase=st.sampled_from([PodPhase.SUCCEEDED, PodPhase.FAILED]))
    def finish_pod(self, index: int, phase: PodPhase) -> None:
        if (found := self._pod(index)) is not None and found.scheduled:
            self.cluster.finish_pod(found, phase)

    @happening(index=st.integers(0, 2))
    def delete_pod(self, index: int) -> None:
        if (found := self._pod(index)) is not None and not found.leaving:
            self.cluster.change_pod(found, leaving=True, gone_by=self.cluster.now + timedelta(seconds=30))

    @happening(index=st.integers(0, 2))
    def lose_pod(self, index: int) -> None:
        if (found := self._pod(index)) is not None:
            del self.cluster.pods[found.uid]

    @happening()
    @precondition(lambda self: len(self.cluster.pods) == 1)
    def create_second_pod(self) -> None:
        self.create_pod(suits=True, scheduled=True)

    @happening(index=st.integers(0, 2), really=RARELY)
    def change_image(self, index: int, *, really: bool) -> None:
        if really and (found := self._pod(index)) is not None:
            self.cluster.change_pod(found, fingerprint="f2")

    @happening(state=st.sampled_from([WorkloadState.SUCCEEDED, WorkloadState.NOT_FOUND]), really=RARELY)
    @precondition(lambda self: self.cluster.workload is not None)
    def end_job(self, state: WorkloadState, *, really: bool) -> None:
        if not really:
            return
        self.cluster.workload = WorkloadFacts(state, JOB_UID if state is WorkloadState.SUCCEEDED else None)

    # What goes wrong.

    @happening(blocked=st.sampled_from([None, None, Blocked("Admission is not in force.")]))
    def block(self, blocked: Blocked | None) -> None:
        self.cluster.blocked = blocked

    @happening(happened=st.booleans())
    def lose_an_answer(self, *, happened: bool) -> None:
        self.cluster.fault = LostError(happened=happened)

    @rule()
    def kill_operator(self) -> None:
        """kill -9, and start again with nothing."""
        self.passes = [(one, run) for one, run in self.passes if one is not self.operator]
        self.operator = Operator(self.cluster)

    @rule()
    def fail_over(self) -> None:
        """Another operator takes the lease; the one before may be in the middle of a pass, and goes on."""
        self.operator.leads = False
        self.operator = Operator(self.cluster)

    # What operators do.

    @rule()
    def start_pass(self) -> None:
        if all(one is not self.operator for one, _ in self.passes):
            self.passes.append((self.operator, self.operator.run()))

    @rule(index=st.integers(0, 3))
    @precondition(lambda self: self.passes)
    def next_action(self, index: int) -> None:
        one, run = self.passes[index % len(self.passes)]
        try:
            next(run)
        except (StopIteration, DeposedError):
            self.passes = [(other, its) for other, its in self.passes if other is not one]

    def notice(self, attention: str) -> None:
        if attention == "works":
            self._quiesce()
        elif attention != "is busy":
            actions = int(attention.rsplit(maxsplit=1)[-1])
            while actions > 0 and (did := list(itertools.islice(self.operator.run(), actions))):
                actions -= len(did)
            self.kill_operator()

    @rule(seconds=st.sampled_from([1, 20, 45, 130, 400]))
    def pass_time(self, seconds: int) -> None:
        """Nothing happens but that time passes; the operator wakes only when it said it would."""
        self._quiesce()
        until = self.cluster.now + timedelta(seconds=seconds)
        while (wake_at := self.operator.wake_at) is not None and wake_at <= until:
            self._clock(wake_at)
            self._quiesce()
        self._clock(until)
        self._check_counting_credentials_are_in_their_life()

    def _clock(self, now: datetime) -> None:
        if now - self.cluster.now >= KUBELET_SYNC:
            self.cluster.sync_kubelets()
        self.cluster.now = max(now, self.cluster.now)

    def _quiesce(self) -> None:
        """Let the leader work undisturbed until it has nothing to do, and look at the world."""
        self.cluster.fault = None
        self.passes = [(one, run) for one, run in self.passes if one is not self.operator]
        for _ in range(MAX_PASSES):
            before = len(self.cluster.history)
            did = list(self.operator.run())
            self._check_what_was_written()
            if did:
                continue
            assert len(self.cluster.history) == before
            failed = self.operator.failed
            if failed is None or self.operator.secret.state is SecretState.TAKEN:
                break
            self.cluster.now = max(failed.retry_at, self.cluster.now)
        else:
            raise AssertionError(f"still acting after {MAX_PASSES} passes: {did}")
        self.cluster.collect_garbage()
        self._check_secret_is_what_the_status_says()

    # What always holds.

    @invariant()
    def first_cause_stays(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self._check_what_was_written()

    @invariant()
    def no_key_is_readable_before_it_is_recorded(self) -> None:
        if not hasattr(self, "cluster") or self.cluster.secret is None:
            return
        secret = self.cluster.secret
        if secret.task_uid == TASK_UID and secret.generation is not None:
            assert secret.generation <= (self.cluster.status.credential_generation or 0)

    def _check_what_was_written(self) -> None:
        history = self.cluster.history
        for position in range(self.written, len(history)):
            before = history[position - 1] if position else AgentTaskStatus()
            self._check_step(before, history[position])
        self.written = len(history)
        if self.first_end is None:
            self.first_end = self.cluster.end
        assert self.cluster.end == self.first_end
        assert self.first_end is None or self.cluster.status.credentials == []

    def _check_step(self, before: AgentTaskStatus, after: AgentTaskStatus) -> None:
        """Check one status write against the one before."""
        numbers = [each.generation for each in after.credentials]
        assert numbers == sorted(set(numbers))
        assert (after.credential_generation or 0) - (before.credential_generation or 0) in {0, 1}
        for each in after.credentials:
            assert after.deadline is not None
            assert each.not_after <= after.deadline
            assert each in before.credentials or each.generation == after.credential_generation
        if before.start_time is not None:
            assert before.start_time == after.start_time
            assert after.deadline == (None if after.end_time else before.deadline)
        if after.credentials and after.spec_hash != before.spec_hash:
            assert len(after.credentials) == 1
        if after.credentials and before.bound_pod is not None and after.bound_pod is not None:
            assert before.bound_pod.uid == after.bound_pod.uid or len(after.credentials) == 1

    def _check_secret_is_what_the_status_says(self) -> None:
        """Check that the one Secret holds the newest credential that counts, or nothing."""
        secret, task = self.cluster.secret, self.cluster.task
        own = secret if secret is not None and secret.task_uid == TASK_UID else None
        counting = self.cluster.status.credentials if task is not None else []
        if counting:
            assert self.cluster.policy == ALLOWS, "a credential is live that nothing allows"
            assert own is not None
            # While nothing may be issued, the one before may be there still: it counts, too.
            allowed = counting if self.cluster.blocked else counting[-1:]
            assert own.generation in {each.generation for each in allowed}
            self._check_copies(own, is_newest=own.generation == counting[-1].generation)
            return
        assert own is None or (own.generation is None and not own.copies)
        over = task is None or self.cluster.end is not None
        if over and not any(map(lives, self.cluster.pods.values())):
            assert own is None

    def _check_copies(self, own: Secret, *, is_newest: bool) -> None:
        """Check that what is beside a live credential is what it may have, as it is kept now."""
        task, kept = self.cluster.task, self.cluster.static_secret
        if task is None or task.spec is None or not task.spec.static_secrets:
            assert not own.copies
            return
        assert kept.spec is not None, "a copy is live of which no AgentSecret says so"
        assert kept.problem is None, "a copy is live that is kept nowhere"
        assert [each.name for each in own.copies] == [kept.name]
        if is_newest:
            assert list(own.copies) == task.status.static_secrets
        if self.cluster.blocked is None:
            assert own.copies[0].version == kept.version, "a rotation did not reach a live copy"

    def _check_counting_credentials_are_in_their_life(self) -> None:
        task = self.cluster.task
        if task is None:
            return
        if self.cluster.status.credentials:
            assert self.cluster.now < self.cluster.status.credentials[-1].not_after
        deadline = self.cluster.status.deadline
        if deadline is not None and deadline <= self.cluster.now:
            assert self.cluster.end is not None

    def teardown(self) -> None:
        """Let all of it come to its end: nothing may be left."""
        if not hasattr(self, "cluster"):
            return
        self.cluster.blocked, self.cluster.policy = None, ALLOWS
        self.cluster.static_secret = static_secret()
        if self.cluster.secret is not None and self.cluster.secret.task_uid != TASK_UID:
            self.cluster.secret = None
        for each in (70, 70, 70, 1000):
            self.pass_time(each)
        task = self.cluster.task
        assert task is None, f"not deleted: {self.cluster.status.conditions}"
        assert self.cluster.secret is None
        self.cluster.sync_kubelets()
        assert not self.cluster.files, "a key stayed in the files of a living pod"


LifeOfATask.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestLifeOfATask = LifeOfATask.TestCase
