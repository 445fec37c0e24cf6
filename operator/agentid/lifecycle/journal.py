"""What is recorded: an entry for each decision, issue and end of a task, and each text of a policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.fields import format_time
from agentid.api.reasons import ConditionType, IssueReason, RunReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import Observation
from agentid.lifecycle.plan import Plan
from agentid.lifecycle.record import condition, is_finished, is_granted, wait_reason

SCHEMA: Final = "agentid.dev/record/v1"
"""Another version has other fields."""


class Kind(StrEnum):
    """What was done, or refused."""

    ISSUED = "issued"
    RENEWED = "renewed"
    RESUMED = "resumed"
    GRANTED = "granted"
    APPROVAL_REQUIRED = "approvalRequired"
    DENIED = "denied"
    SUSPENDED = "suspended"
    WAITING = "waiting"
    REVOKED = "revoked"
    ENDED = "ended"
    POLICY_ACCEPTED = "policyAccepted"
    POLICY_REFUSED = "policyRefused"


_WAITS: Final[Mapping[str, Kind]] = {
    WaitReason.SUSPENDED: Kind.SUSPENDED,
    WaitReason.AWAITING_APPROVAL: Kind.APPROVAL_REQUIRED,
    WaitReason.APPROVAL_DENIED: Kind.DENIED,
    WaitReason.AWAITING_AGENT: Kind.DENIED,
    WaitReason.AWAITING_POLICY: Kind.DENIED,
    WaitReason.CEILING_EXCEEDED: Kind.DENIED,
    WaitReason.DELEGATION_REFUSED: Kind.DENIED,
}
_MADE: Final = {
    IssueReason.RENEWED: Kind.RENEWED,
    IssueReason.SECRET_ROTATED: Kind.RENEWED,
    IssueReason.RESUMED: Kind.RESUMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, always of the same fields; what does not apply is None or empty.

    What a task is for (`intent.purpose`) is none of them: it is free text of a tenant, and is in `spec_hash`.

    Attributes:
        schema: `SCHEMA`.
        kind: See `Kind`.
        at: When it was decided.
        namespace: Namespace of the task or policy; empty for a ClusterAgentPolicy.
        task: Name of the task.
        policy: Kind and name of the policy that was accepted or refused.
        uid: UID of the task or policy.
        generation: Its metadata.generation.
        agent: Name of the task's Agent.
        rule: The rule of the lifecycle that came to it.
        reason: Reason of the condition Finished; of a policy, of Accepted.
        message: The same in words.
        spec_hash: Hash of what was asked for.
        intent_generation: When its intent was last changed.
        actions: What the task may do, or a step its parent.
        grantable: What its children may be given.
        resources: What it may do it to.
        sensitivity: The most sensitive data that it touches.
        requester: User name of who asked for it; for a template's task its author.
        state_changed_by: User name of who set its state last; at first, of who created it.
        template: Name of the template that it was made from.
        delegator: For whom it is done.
        chain: UIDs of the tasks above it, its parent first.
        action: What policy was asked.
        policies: The rules that determined the answer.
        policy_digest: Digest of all policies that were asked; of a policy, of its text in force.
        approvers: User names of those whose approvals count.
        break_glass: Whether it is an emergency.
        justification: Why it is one.
        pod_uid: UID of the pod that holds the credential.
        serial: Serial number of the credential that was made.
        not_after: When that ends.
        static_secrets: The static secrets that are beside it, each with the version that was copied.
        revoked: Serial numbers of those that count no longer.
        deadline: When the task ends at the latest.
    """

    schema: str = SCHEMA
    kind: Kind
    at: str
    namespace: str
    task: str | None = None
    policy: str | None = None
    uid: str
    generation: int
    agent: str | None = None
    rule: str | None = None
    reason: str
    message: str
    spec_hash: str | None = None
    intent_generation: int | None = None
    actions: tuple[str, ...] = ()
    grantable: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    sensitivity: str | None = None
    requester: str | None = None
    state_changed_by: str | None = None
    template: str | None = None
    delegator: str | None = None
    chain: tuple[str, ...] = ()
    action: str | None = None
    policies: tuple[str, ...] = ()
    policy_digest: str | None = None
    approvers: tuple[str, ...] = ()
    break_glass: bool = False
    justification: str | None = None
    pod_uid: str | None = None
    serial: str | None = None
    not_after: str | None = None
    static_secrets: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    deadline: str | None = None

    def fields(self) -> dict[str, object]:
        """Return it as it is written."""
        return {name: getattr(self, name) for name in self.__slots__}


def entry(observation: Observation, plan: Plan, status: AgentTaskStatus) -> Entry | None:
    """Return what is to be recorded of `status`, which was written for `plan`; None: nothing was decided."""
    kind = _kind(observation, plan, status)
    if kind is None:
        return None
    task, spec, judgement = observation.task, observation.task.spec, observation.judgement
    finished = condition(status, ConditionType.FINISHED)
    made = status.credentials[-1] if plan.issue is not None else None
    count = {each.serial for each in status.credentials}
    asker = spec.asker if spec is not None else None
    changed_by = spec.state_changed_by if spec is not None else None
    emergency = spec.break_glass if spec is not None else None
    intent = spec.intent if spec is not None else None
    lineage, known = observation.family.lineage, status.delegation
    return Entry(
        kind=kind,
        at=format_time(observation.now),
        namespace=task.namespace,
        task=task.name,
        uid=task.uid,
        generation=task.generation,
        agent=spec.agent_ref.name if spec is not None else None,
        rule=plan.rule,
        reason=finished.reason if finished is not None else "",
        message=finished.message if finished is not None else "",
        spec_hash=spec_hash(spec) if spec is not None else None,
        intent_generation=asker.intent_generation if asker is not None else None,
        actions=tuple(intent.actions) if intent is not None else (),
        grantable=tuple(intent.grantable) if intent is not None else (),
        resources=tuple(intent.resources) if intent is not None else (),
        sensitivity=intent.sensitivity.value if intent is not None else None,
        requester=asker.username if asker is not None else None,
        state_changed_by=changed_by.username if changed_by is not None else None,
        template=spec.template_ref.name if spec is not None and spec.template_ref is not None else None,
        delegator=delegator(task, lineage),
        chain=tuple(each.uid for each in lineage.ancestors or (known.chain if known is not None else ())),
        action=judgement.action.value if judgement is not None else None,
        policies=judgement.policies if judgement is not None else (),
        policy_digest=judgement.digest if judgement is not None else None,
        approvers=tuple(each.username for each in observation.consent.approvers),
        break_glass=emergency is not None,
        justification=emergency.justification if emergency is not None else None,
        pod_uid=status.bound_pod.uid if status.bound_pod is not None else None,
        serial=made.serial if made is not None else None,
        not_after=format_time(made.not_after) if made is not None else None,
        static_secrets=tuple(f"{each.name}@{each.version}" for each in status.static_secrets),
        revoked=tuple(each.serial for each in task.status.credentials if each.serial not in count),
        deadline=format_time(status.deadline) if status.deadline is not None else None,
    )


def _kind(observation: Observation, plan: Plan, status: AgentTaskStatus) -> Kind | None:
    if plan.issue is not None:
        return _MADE.get(plan.issue.why, Kind.ISSUED) if plan.issue.prolongs else Kind.ISSUED
    finished = condition(status, ConditionType.FINISHED)
    if finished is None:
        return None
    if finished.status == "True":
        return None if is_finished(observation) else Kind.ENDED
    if finished.reason == RunReason.RUNNING:
        if status.decision != observation.task.status.decision:
            return Kind.GRANTED
        return Kind.REVOKED if len(status.credentials) < len(observation.task.status.credentials) else None
    return _of_wait(observation, finished.reason)


def _of_wait(observation: Observation, reason: str) -> Kind | None:
    task = observation.task
    was_live = bool(task.status.credentials) or is_granted(task)
    if reason == wait_reason(observation) and not was_live:
        return None
    kind = _WAITS.get(reason)
    if kind is not None:
        return kind
    return Kind.REVOKED if was_live else Kind.WAITING
