"""Hypothesis strategies: all that can be observed of a task, whether it makes sense together or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import strategies as st

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    FailedWrite,
    Observation,
    PodEnd,
    PodFacts,
    PodPhase,
    SecretFacts,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from tests.unit.lifecycle_facts import (
    ALLOW,
    ALLOWED_BY,
    JOB,
    JOB_UID,
    LABEL_ONLY,
    NOW,
    after,
    agent,
    judged,
    observe,
    pod,
    task_spec,
    uid,
)


@dataclass(frozen=True)
class Policy:
    """What policy says in a world of whatever it is asked; a World without one has it not asked."""

    allowed: bool = True
    awaits_approval: bool = False
    in_doubt: bool = False
    holds_for: float | None = None


@dataclass(frozen=True)
class World:
    """All that is observed of a task but its own status and what the task is made of."""

    seconds: float
    state: str
    purpose: str
    readable: bool
    deleting: bool
    agent: AgentFacts | None
    pods: tuple[PodFacts, ...]
    workload: WorkloadFacts
    secret: SecretFacts
    blocked: Blocked | None
    failed_write: FailedWrite | None
    policy: Policy | None


def usually(common: object, *rare: object) -> st.SearchStrategy[object]:
    """Draw `common` half of the time, so that tasks get somewhere."""
    return st.one_of(st.just(common), st.sampled_from([common, *rare]))


MOMENTS = st.floats(0, 5000, allow_nan=False)
PODS: st.SearchStrategy[PodFacts] = st.builds(
    pod,
    st.sampled_from([1, 1, 1, 2, 3]),
    service_account=usually("refund-agent", "mallory"),
    node=usually("node-3", None),
    phase=usually(PodPhase.RUNNING, *PodPhase),
    labelled=usually(True, False),
    leaving=usually(False, True),
    gone_by=st.none() | MOMENTS.map(lambda s: NOW + timedelta(seconds=s)),
    containers_ended=usually(False, True),
    end=usually(PodEnd.UNSAID, *PodEnd),
    controllers=usually((JOB_UID,), (), (uid(77),)),
    fingerprint=usually("f1", "f2"),
)
AGENTS = st.one_of(
    st.just(agent()),
    st.sampled_from(
        [
            agent(),
            None,
            AgentFacts(uid=uid(900), deleting=False, spec=None),
            replace(agent(), deleting=True),
            agent(disabled=True),
            agent(actions=["orders:*"]),
            agent(serviceAccounts=[]),
            agent(maxActiveDeadlineSeconds=60),
            agent(reviewBy="2026-05-31T14:30:00Z"),
        ]
    ),
)
POLICIES = st.builds(
    replace,
    usually(
        Policy(),
        Policy(allowed=False),
        Policy(allowed=False, awaits_approval=True),
        Policy(allowed=False, in_doubt=True),
    ),
    holds_for=st.none() | st.floats(0.001, 5000),
)
AT = st.none() | MOMENTS.map(lambda s: NOW + timedelta(seconds=s))
SECRETS = st.one_of(
    st.just(None),
    st.just(SecretFacts(SecretState.TAKEN)),
    st.builds(SecretFacts, st.sampled_from([SecretState.ABSENT, SecretState.DOUBTFUL]), unanswered_at=AT),
    st.builds(SecretFacts, st.just(SecretState.FILLED), generation=st.integers(1, 4), unanswered_at=AT),
    st.builds(SecretFacts, st.just(SecretState.EMPTIED), emptied_at=AT, unanswered_at=AT),
)
WORLDS: st.SearchStrategy[World] = st.builds(
    World,
    seconds=MOMENTS,
    state=usually("Active", "Suspended", "Ended"),
    purpose=usually("Refund order 4711", "Refund order 4712"),
    readable=usually(True, False),
    deleting=st.sampled_from([False] * 9 + [True]),
    agent=AGENTS,
    pods=st.lists(PODS, max_size=3, unique_by=lambda each: each.uid).map(tuple),
    workload=usually(
        WorkloadFacts(WorkloadState.LIVE, JOB_UID),
        WorkloadFacts(WorkloadState.LIVE, uid(77)),
        WorkloadFacts(WorkloadState.NOT_FOUND),
        WorkloadFacts(WorkloadState.KIND_NOT_ALLOWED),
        WorkloadFacts(WorkloadState.SUCCEEDED, JOB_UID, "Complete"),
        WorkloadFacts(WorkloadState.FAILED, JOB_UID),
    ),
    secret=SECRETS,
    blocked=usually(None, Blocked("Admission is not in force.")),
    failed_write=st.none()
    | MOMENTS.map(lambda s: FailedWrite("it could not be written", NOW + timedelta(seconds=s))),
    policy=st.one_of(POLICIES, POLICIES, POLICIES, st.none()),
)
SPECS: st.SearchStrategy[AgentTaskSpec] = st.builds(
    task_spec,
    workload=st.sampled_from([LABEL_ONLY, ALLOW, JOB, {}, None]),
    startDeadlineSeconds=st.sampled_from([60, 600, 604_800]),
    activeDeadlineSeconds=st.sampled_from([60, 600, 3600]),
    ttlSecondsAfterFinished=st.sampled_from([0, 600]),
    credential=st.builds(
        lambda ttl, renew: {"ttlSeconds": ttl, "renew": renew},
        st.sampled_from([30, 60]),
        st.booleans(),
    ),
)


def seen(world: World, spec: AgentTaskSpec, status: AgentTaskStatus, secret: SecretFacts) -> Observation:
    """Return what is observed of a task with `spec` and `status` in `world`."""
    changed = spec.model_copy(
        update={
            "state": task_spec(state=world.state).state,
            "intent": spec.intent.model_copy(update={"purpose": world.purpose}),
        }
    )
    named = spec.workload is not None and spec.workload.ref is not None
    observation = observe(
        now=NOW + timedelta(seconds=world.seconds),
        spec=changed,
        pods=world.pods,
        workload=world.workload if named else WorkloadFacts(WorkloadState.NOT_NAMED),
        secret=world.secret or secret,
        status=status,
        deleting=world.deleting,
    )
    if not world.readable:
        observation = replace(observation, task=replace(observation.task, spec=None, invalid="x"))
    observation = replace(
        observation, agent=world.agent, blocked=world.blocked, failed_write=world.failed_write, judgement=None
    )
    return observation if world.policy is None else answered(observation, world.policy)


def answered(observation: Observation, policy: Policy) -> Observation:
    """Return the same with what `policy` says of what it is asked now."""
    until = None if policy.holds_for is None else observation.now + timedelta(seconds=policy.holds_for)
    return judged(
        observation,
        allowed=policy.allowed,
        message=ALLOWED_BY if policy.allowed else "policy denies it",
        awaits_approval=policy.awaits_approval,
        in_doubt=policy.in_doubt,
        holds_until=until,
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Draw what is observed of a task that lived through some worlds, in any order of time."""
    spec = draw(SPECS)
    status, secret = AgentTaskStatus(), SecretFacts(SecretState.ABSENT)
    for world in draw(st.lists(WORLDS, max_size=4)):
        past = after(seen(world, spec, status, secret))
        status, secret = past.task.status, past.secret
    return seen(draw(WORLDS), spec, status, secret)
