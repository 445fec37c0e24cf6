"""What is recorded: an entry for each decision, issue and end of a task, and each text of a policy."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from agentid.api.agenttask_status import MAX_APPROVERS, MAX_POLICIES, AgentTaskStatus, Credential
from agentid.api.fields import format_time
from agentid.api.reasons import ConditionType, EndReason, IssueReason, RunReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import Observation, TaskFacts
from agentid.lifecycle.plan import WIPES, IssueOrder, Plan
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
    VOIDED = "voided"
    """A credential that was recorded and then not released: nobody ever had its key."""
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


GIVES: Final = frozenset({Kind.ISSUED, Kind.RENEWED, Kind.RESUMED, Kind.GRANTED})
"""What lets somebody do something: recorded before it is in the status. All else takes away, or says no."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A credential that counts no longer, and when it would have ended."""

    serial: str
    not_after: str


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
        policies: The rules that determined the answer, `MAX_POLICIES` of them at the most.
        policy_digest: Digest of all policies that were asked; of a policy, of its text in force.
        approvers: User names of those whose approvals count, `MAX_APPROVERS` at the most.
        break_glass: Whether it is an emergency.
        justification: Why it is one.
        pod_uid: UID of the pod that holds the credential.
        serial: Serial number of the credential that was made.
        not_before: When that begins.
        not_after: When that ends.
        public_key: `sha256:` and the hash of its public key (SubjectPublicKeyInfo in DER).
        static_secrets: The static secrets that are beside it, each with the version that was copied.
        revoked: Those that count no longer.
        started: When the first credential or grant of the task was issued.
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
    not_before: str | None = None
    not_after: str | None = None
    public_key: str | None = None
    static_secrets: tuple[str, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    started: str | None = None
    deadline: str | None = None

    def fields(self) -> dict[str, object]:
        """Return it as it is written, but for what does not apply, which is left out there."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "revoked": tuple(asdict(each) for each in self.revoked)}


def entry(
    observation: Observation, plan: Plan, status: AgentTaskStatus, public_key: str | None = None
) -> Entry | None:
    """Return what is to be recorded of `status`, which is written for `plan`; None: nothing was decided.

    Args:
        observation: What was decided on.
        plan: What was decided.
        status: What is to be written, with the credential that was made.
        public_key: Digest of that credential's public key.
    """
    kind = kind_of(observation, plan, status)
    if kind is None:
        return None
    task, spec, judgement = observation.task, observation.task.spec, observation.judgement
    finished = condition(status, ConditionType.FINISHED)
    made = status.credentials[-1] if plan.issue is not None else None
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
        policies=judgement.policies[:MAX_POLICIES] if judgement is not None else (),
        policy_digest=judgement.digest if judgement is not None else None,
        approvers=tuple(each.username for each in observation.consent.approvers[:MAX_APPROVERS]),
        break_glass=emergency is not None,
        justification=emergency.justification if emergency is not None else None,
        pod_uid=status.bound_pod.uid if status.bound_pod is not None else None,
        serial=made.serial if made is not None else None,
        not_before=format_time(made.not_before) if made is not None else None,
        not_after=format_time(made.not_after) if made is not None else None,
        public_key=public_key,
        static_secrets=tuple(f"{each.name}@{each.version}" for each in status.static_secrets),
        revoked=tuple(revoked(task.status.credentials, status.credentials)),
        started=format_time(status.start_time) if status.start_time is not None else None,
        deadline=format_time(status.deadline) if status.deadline is not None else None,
    )


def taken_by(found: Entry) -> Entry | None:
    """Return what is recorded once a status is there that gives what `found` says, of what it takes; or None.

    Before, nothing is taken yet: the status may never come, and then what it takes goes on to count.
    """
    if not found.revoked:
        return None
    nothing_made = replace(found, serial=None, not_before=None, not_after=None, public_key=None)
    return replace(nothing_made, kind=Kind.REVOKED, static_secrets=())


def voided(found: Entry, at: datetime, why: str) -> Entry:
    """Return what is recorded of a credential or grant that was recorded as `found` and then not given."""
    never_released = (
        (Revoked(found.serial, found.not_after),) if found.serial is not None and found.not_after else ()
    )
    return replace(
        found, kind=Kind.VOIDED, at=format_time(at), message=why, revoked=(*never_released,), started=None
    )


def found_out(task: TaskFacts, credentials: Iterable[Revoked], at: datetime) -> Entry:
    """Return what is recorded of a task whose end, or loss of credentials, is in its status alone.

    Whoever wrote the status did not live to record it.
    """
    finished = condition(task.status, ConditionType.FINISHED)
    is_over = finished is not None and finished.status == "True"
    return Entry(
        kind=Kind.ENDED if is_over else Kind.REVOKED,
        at=format_time(at),
        namespace=task.namespace,
        task=task.name,
        uid=task.uid,
        generation=task.generation,
        agent=task.spec.agent_ref.name if task.spec is not None else None,
        reason=finished.reason if finished is not None else "",
        message=finished.message if finished is not None else "",
        spec_hash=task.status.spec_hash,
        revoked=tuple(credentials),
        started=format_time(task.status.start_time) if task.status.start_time is not None else None,
        deadline=format_time(task.status.deadline) if task.status.deadline is not None else None,
    )


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """What records say of a task that may be gone."""

    namespace: str
    task: str
    uid: str
    agent: str


def found_gone(of: RecordedTask, credentials: Iterable[Revoked], at: datetime) -> Entry:
    """Return what is recorded of a task that is gone, when nobody recorded its end."""
    why = "the AgentTask was gone when the ledger was read"
    return _of_records(of, Kind.ENDED, EndReason.DELETED, why, credentials, at)


def found_unnamed(of: RecordedTask, credentials: Iterable[Revoked], at: datetime) -> Entry:
    """Return what is recorded of credentials that the record of their task's end did not name."""
    why = "the record of the end did not name it"
    return _of_records(of, Kind.REVOKED, "", why, credentials, at)


def _of_records(  # noqa: PLR0913, PLR0917 - what is known of it
    of: RecordedTask, kind: Kind, reason: str, message: str, credentials: Iterable[Revoked], at: datetime
) -> Entry:
    return Entry(
        kind=kind,
        at=format_time(at),
        namespace=of.namespace,
        task=of.task,
        uid=of.uid,
        generation=0,
        agent=of.agent or None,
        reason=reason,
        message=message,
        revoked=tuple(credentials),
    )


def revoked(before: Iterable[Credential], after: Iterable[Credential]) -> Iterable[Revoked]:
    """Yield those of the credentials that counted before which count no longer."""
    count = {each.serial for each in after}
    return (Revoked(each.serial, format_time(each.not_after)) for each in before if each.serial not in count)


def kind_made(order: IssueOrder) -> Kind:
    """Return which kind of record there is of a credential that is made by `order`."""
    return _MADE.get(order.why, Kind.ISSUED) if order.prolongs else Kind.ISSUED


def kind_of(observation: Observation, plan: Plan, status: AgentTaskStatus) -> Kind | None:
    """Return which kind of record there is of `status`, which is written for `plan`; None: none."""
    if plan.issue is not None:
        return kind_made(plan.issue)
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


def in_order(found: Entry | None, observation: Observation, plan: Plan) -> tuple[Entry | None, Entry | None]:
    """Return what is recorded before the status is written, and what after it.

    What gives comes before. What takes away waits for no record, and is none before it is so: a status that
    never comes takes nothing.
    """
    if found is None:
        return None, None
    if found.kind in GIVES:
        return replace(found, revoked=()), taken_by(found)
    takes_away = plan.secret in WIPES or _was_live(observation.task)
    return (None, found) if takes_away else (found, None)


def _was_live(task: TaskFacts) -> bool:
    return bool(task.status.credentials) or is_granted(task)


def _of_wait(observation: Observation, reason: str) -> Kind | None:
    was_live = _was_live(observation.task)
    if reason == wait_reason(observation) and not was_live:
        return None
    kind = _WAITS.get(reason)
    if kind is not None:
        return kind
    return Kind.REVOKED if was_live else Kind.WAITING
