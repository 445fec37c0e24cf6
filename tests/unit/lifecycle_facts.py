"""Observations for tests: an ordinary task, changed in the one thing that a test is about."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agentid.api.agent import AgentSpec
from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus, Condition, Credential, HeldSecret
from agentid.api.reasons import ConditionType, IssueReason
from agentid.lifecycle.approvals import request_of, what_is_awaited
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import (
    AgentFacts,
    Judgement,
    Limits,
    Observation,
    PodEnd,
    PodFacts,
    PodPhase,
    SecretFacts,
    SecretState,
    StaticSecretFacts,
    TaskFacts,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.permission import asks as asks_policy
from agentid.lifecycle.permission import stays_by
from agentid.lifecycle.plan import Plan, Report, SecretAction
from agentid.lifecycle.reporting import issued

NOW = datetime(2026, 5, 31, 14, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TASK_UID = "5c0e0000-0000-4000-8000-000000000001"
JOB_UID = "5c0e0000-0000-4000-8000-0000000000aa"
LIMITS = Limits(
    trust_domain="prod.example.com",
    wipe_grace=timedelta(seconds=120),
    max_ttl=timedelta(hours=1),
    max_active_deadline=timedelta(days=1),
)
JOB = {
    "serviceAccountName": "refund-agent",
    "ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "refund"},
}
LABEL_ONLY: dict[str, object] = {"serviceAccountName": "refund-agent"}
ALLOW: dict[str, object] = {"serviceAccountName": "refund-agent", "replacement": "Allow"}


def uid(number: int) -> str:
    return str(uuid.UUID(int=number))


def task_spec(**changes: object) -> AgentTaskSpec:
    spec: dict[str, object] = {
        "agentRef": {"name": "refund-agent"},
        "intent": {"purpose": "Refund order 4711", "actions": ["orders:read", "refunds:create"]},
        "workload": LABEL_ONLY,
        "requester": {"username": "orchestrator"},
        "onBehalfOf": "carol@example.com",
    }
    spec.update(changes)
    return AgentTaskSpec.model_validate_json(json.dumps(spec))


def agent_spec(**changes: object) -> AgentSpec:
    spec: dict[str, object] = {
        "owner": "payments-team@example.com",
        "class": "Ephemeral",
        "actions": ["orders:read", "refunds:create"],
        "serviceAccounts": ["refund-agent"],
    }
    spec.update(changes)
    return AgentSpec.model_validate_json(json.dumps(spec))


def agent(**changes: object) -> AgentFacts:
    return AgentFacts(uid=uid(900), deleting=False, spec=agent_spec(**changes))


def pod(number: int = 1, **changes: object) -> PodFacts:
    facts = PodFacts(
        name=f"refund-{number}",
        uid=uid(number),
        service_account="refund-agent",
        node="node-3",
        phase=PodPhase.RUNNING,
        labelled=True,
        leaving=False,
        gone_by=None,
        containers_ended=False,
        end=PodEnd.UNSAID,
        controllers=(JOB_UID,),
        fingerprint="f1",
        created=NOW + number * SECOND,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def secret_spec(**changes: object) -> AgentSecretSpec:
    spec: dict[str, object] = {
        "source": {"secretName": "legacy-crm", "key": "token"},
        "agents": [{"namespace": "support", "name": "refund-agent"}],
        "actions": ["refunds:create"],
        "maxTTLSeconds": 3600,
    }
    spec.update(changes)
    return AgentSecretSpec.model_validate_json(json.dumps(spec))


def static_secret(name: str = "legacy-crm-key", **changes: object) -> StaticSecretFacts:
    facts = StaticSecretFacts(name, secret_spec(), version="aa01")
    return replace(facts, **changes)  # type: ignore[arg-type]


ALLOWED_BY = "allowed by ClusterAgentPolicy/default"
NOT_RENEWED = "allowed by ClusterAgentPolicy/default, of whose renewal no rule says anything"


def judged(observation: Observation, **judgement: object) -> Observation:
    """Return the same with the answer of policy to what it is asked; it allows unless told otherwise."""
    action = asks_policy(observation)
    if action is None:
        return replace(observation, judgement=None)
    allows = Judgement(
        action=action,
        allowed=True,
        message=ALLOWED_BY,
        policies=("ClusterAgentPolicy/default/short-lived",),
        digest=f"sha256:{'0' * 64}",
        secrets=frozenset(each.name for each in observation.static_secrets),
    )
    return replace(observation, judgement=replace(allows, **judgement))  # type: ignore[arg-type]


def answered_again(observation: Observation) -> Observation:
    """Return the same with the answer that it holds given to what policy is asked now."""
    known, action = observation.judgement, asks_policy(observation)
    if known is None or known.action is action:
        return observation
    if known.message == NOT_RENEWED and known.action is stays_by(observation):
        return observation
    return replace(observation, judgement=None if action is None else replace(known, action=action))


def awaited(observation: Observation) -> str:
    """Return who may approve the task as it is, as it is told."""
    request = request_of(observation.task, observation.family.lineage)
    assert request is not None
    return what_is_awaited(request, observation.consent)


def observe(
    *,
    now: datetime = NOW,
    spec: AgentTaskSpec | None = None,
    agent: AgentFacts | None = None,
    pods: Iterable[PodFacts] = (),
    workload: WorkloadFacts | None = None,
    secret: SecretFacts = SecretFacts(SecretState.ABSENT),  # noqa: B008 - frozen
    static_secrets: Iterable[StaticSecretFacts] = (),
    **task: object,
) -> Observation:
    """Return an ordinary task that has just been created, allowed by its Agent and by policy, and no pod."""
    spec = task_spec() if spec is None else spec
    if workload is None:
        named = spec.workload is not None and spec.workload.ref is not None
        workload = (
            WorkloadFacts(WorkloadState.LIVE, JOB_UID) if named else WorkloadFacts(WorkloadState.NOT_NAMED)
        )
    facts = TaskFacts(
        namespace="support",
        name="refund-4711",
        uid=TASK_UID,
        generation=1,
        resource_version="1",
        created=NOW,
        deleting=False,
        spec=spec,
        status=AgentTaskStatus(),
    )
    seen = Observation(
        now=now,
        task=replace(facts, **task),  # type: ignore[arg-type]
        agent=AgentFacts(uid=uid(900), deleting=False, spec=agent_spec()) if agent is None else agent,
        pods=tuple(pods),
        workload=workload,
        secret=secret,
        limits=LIMITS,
        static_secrets=tuple(static_secrets),
    )
    return judged(seen)


def at(observation: Observation, seconds: float, **changes: object) -> Observation:
    """Return the same, `seconds` after NOW, with `changes`."""
    then = replace(observation, now=NOW + timedelta(seconds=seconds), **changes)  # type: ignore[arg-type]
    return then if "judgement" in changes else answered_again(then)


def asks(observation: Observation, **changes: object) -> Observation:
    """Return the same with a changed spec and the next generation."""
    task = observation.task
    spec = task_spec(**changes)
    return judged(replace(observation, task=replace(task, spec=spec, generation=task.generation + 1)))


def made(observation: Observation, plan: Plan) -> Credential:
    """Return the credential that `plan` orders, as an authority would make it now."""
    assert plan.issue is not None
    now, order = observation.now.replace(microsecond=0), plan.issue
    return Credential(
        generation=order.generation,
        serial=f"{order.generation:04x}",
        not_before=now - timedelta(seconds=60),
        not_after=min(now + order.ttl, order.not_after_limit),
    )


def copied(observation: Observation, plan: Plan) -> tuple[HeldSecret, ...]:
    """Return what is copied for `plan`, as it was last seen."""
    versions = {each.name: each.version for each in observation.static_secrets}
    names = plan.issue.static_secrets if plan.issue else ()
    return tuple(HeldSecret(name=name, version=versions[name] or "00") for name in names)


def report_of(observation: Observation, plan: Plan) -> Report:
    observation = answered_again(observation)
    if plan.issue is not None:
        return issued(observation, plan, made(observation, plan), copied(observation, plan))
    assert plan.report is not None
    return plan.report


def after(observation: Observation) -> Observation:
    """Return the observation once the plan for this one was carried out."""
    observation = answered_again(observation)
    plan = decide(observation)
    status = report_of(observation, plan).status
    secret = {
        SecretAction.NONE: observation.secret,
        SecretAction.FILL: SecretFacts(SecretState.FILLED, generation=status.credential_generation),
        SecretAction.EMPTY: SecretFacts(SecretState.EMPTIED, emptied_at=observation.now),
        SecretAction.HOLD: replace(
            observation.secret, state=SecretState.EMPTIED, generation=None, emptied_at=observation.now
        ),
        SecretAction.DELETE: SecretFacts(SecretState.ABSENT),
        SecretAction.PROBE: (
            SecretFacts(SecretState.FILLED, generation=status.credential_generation)
            if observation.secret.state is SecretState.DOUBTFUL
            and (observation.secret.overtaken or status.credential_generation == 1)
            else observation.secret
        ),
    }[plan.secret]
    # A write that succeeds clears what failed before.
    failed = observation.failed_write if plan.secret is SecretAction.NONE else None
    task = replace(observation.task, status=status)
    return answered_again(replace(observation, task=task, secret=secret, failed_write=failed))


def running(observation: Observation) -> Observation:
    """Return the observation after the first credential was issued."""
    issued_to = after(observation)
    assert [each.generation for each in issued_to.task.status.credentials] == [1]
    return issued_to


def condition(status: AgentTaskStatus, kind: ConditionType) -> Condition | None:
    return next((each for each in status.conditions if each.type is kind), None)


def finished(observation: Observation) -> tuple[str, str, str]:
    """Return status, reason and message of Finished after a pass over `observation`."""
    found = condition(report_of(observation, decide(observation)).status, ConditionType.FINISHED)
    assert found is not None
    return found.status, found.reason, found.message


def deleted(o: Observation) -> Observation:
    return replace(o, task=replace(o.task, deleting=True))


def ended_by_carol(o: Observation, **changes: object) -> Observation:
    return asks(
        o,
        state="Ended",
        stateReason="customer cancelled",
        stateChangedBy={"username": "carol"},
        **changes,
    )


def job(o: Observation, state: WorkloadState, uid: str | None = JOB_UID, message: str = "") -> Observation:
    return replace(o, workload=WorkloadFacts(state, uid, message))


def generations(facts: Observation) -> list[int]:
    return [each.generation for each in facts.task.status.credentials]


def why(facts: Observation) -> IssueReason | None:
    order = decide(facts).issue
    return order.why if order else None


def said(facts: Observation, kind: ConditionType) -> tuple[str, str, str]:
    found = condition(facts.task.status, kind)
    assert found is not None
    return found.status, found.reason, found.message
