"""Which Event tells of what: reason, action and whether it is a warning."""

from collections.abc import Mapping, Sequence
from typing import Final

from agentid.api.agenttask_status import BoundPod, Credential
from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason, IssueReason, WaitReason
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import Observation, PodFacts
from agentid.lifecycle.permission import permission
from agentid.lifecycle.plan import EventDraft, IssueOrder
from agentid.lifecycle.record import asked, condition, current, is_granted, wait_reason
from agentid.lifecycle.static_secrets import rotated
from agentid.lifecycle.verdict import End, Hold
from agentid.lifecycle.wording import at, clip, name, names

# True: a Warning.
END_EVENTS: Final[Mapping[EndReason, tuple[EventReason, bool]]] = {
    EndReason.COMPLETED: (EventReason.TASK_COMPLETED, False),
    EndReason.FAILED: (EventReason.TASK_FAILED, True),
    EndReason.POD_DELETED: (EventReason.TASK_ENDED, False),
    EndReason.POD_EVICTED: (EventReason.TASK_FAILED, True),
    EndReason.NODE_LOST: (EventReason.TASK_FAILED, True),
    EndReason.WORKLOAD_DELETED: (EventReason.TASK_ENDED, False),
    EndReason.PARENT_ENDED: (EventReason.TASK_ENDED, False),
    EndReason.SECOND_POD: (EventReason.SECOND_POD, True),
    EndReason.POD_CHANGED: (EventReason.POD_CHANGED, True),
    EndReason.EXPIRED: (EventReason.TASK_EXPIRED, False),
    EndReason.START_DEADLINE_EXCEEDED: (EventReason.START_DEADLINE_EXCEEDED, True),
    EndReason.ENDED: (EventReason.TASK_ENDED, False),
    EndReason.DELETED: (EventReason.TASK_ENDED, False),
    EndReason.REVOKED: (EventReason.TASK_REVOKED, True),
    EndReason.DENIED: (EventReason.TASK_REVOKED, True),
}

# None: waiting for it is routine and told by the condition alone.
WAIT_EVENTS: Final[Mapping[WaitReason, tuple[EventReason, bool] | None]] = {
    WaitReason.AWAITING_AGENT: (EventReason.AWAITING_AGENT, True),
    WaitReason.AWAITING_STATIC_SECRET: (EventReason.AWAITING_STATIC_SECRET, True),
    WaitReason.CEILING_EXCEEDED: (EventReason.CEILING_EXCEEDED, True),
    WaitReason.AWAITING_POLICY: (EventReason.POLICY_DENIED, True),
    WaitReason.AWAITING_APPROVAL: (EventReason.APPROVAL_REQUIRED, False),
    WaitReason.APPROVAL_DENIED: (EventReason.APPROVAL_DENIED, True),
    WaitReason.DELEGATION_REFUSED: (EventReason.DELEGATION_REFUSED, True),
    WaitReason.TOO_MANY_CHILDREN: (EventReason.TOO_MANY_CHILDREN, True),
    WaitReason.AWAITING_PARENT: (EventReason.AWAITING_PARENT, False),
    WaitReason.AWAITING_WORKLOAD: None,
    WaitReason.WORKLOAD_KIND_NOT_ALLOWED: (EventReason.WORKLOAD_KIND_NOT_ALLOWED, True),
    WaitReason.AWAITING_POD: None,
    WaitReason.POD_MISMATCH: (EventReason.POD_MISMATCH, True),
    WaitReason.ISSUANCE_BLOCKED: (EventReason.ISSUANCE_BLOCKED, True),
    WaitReason.SECRET_NAME_TAKEN: (EventReason.SECRET_NAME_TAKEN, True),
    WaitReason.AWAITING_QUOTA: (EventReason.AWAITING_QUOTA, False),
    WaitReason.SUSPENDED: (EventReason.SUSPENDED, False),
}

ISSUE_EVENTS: Final[Mapping[IssueReason, tuple[EventReason, EventAction]]] = {
    IssueReason.ISSUED: (EventReason.CREDENTIAL_ISSUED, EventAction.ISSUE),
    IssueReason.RENEWED: (EventReason.CREDENTIAL_RENEWED, EventAction.RENEW),
    IssueReason.RESUMED: (EventReason.RESUMED, EventAction.ISSUE),
    IssueReason.INTENT_CHANGED: (EventReason.CREDENTIAL_ISSUED, EventAction.ISSUE),
    IssueReason.POD_REPLACED: (EventReason.CREDENTIAL_ISSUED, EventAction.ISSUE),
    IssueReason.REISSUED: (EventReason.CREDENTIAL_ISSUED, EventAction.ISSUE),
    IssueReason.SECRET_ROTATED: (EventReason.CREDENTIAL_RENEWED, EventAction.RENEW),
}

BESIDE_EARLIER_ONES: Final = frozenset({IssueReason.RENEWED, IssueReason.SECRET_ROTATED})
"""Those by which earlier credentials count on until their own ends: a mounted file follows later."""

_IN_PLACE_OF: Final[Mapping[IssueReason, str]] = {
    IssueReason.RESUMED: "after a suspension",
    IssueReason.INTENT_CHANGED: "since the intent changed",
    IssueReason.POD_REPLACED: "since the pod was replaced",
    IssueReason.REISSUED: "since the last one was lost",
    IssueReason.SECRET_ROTATED: "since a static secret was rotated",
}


def draft(
    kind: tuple[EventReason, bool],
    action: EventAction,
    note: str,
    pod: BoundPod | PodFacts | None = None,
) -> EventDraft:
    """Return the Event of `kind` (reason, and whether it is a warning) that says `note`, about `pod`."""
    reason, warning = kind
    return EventDraft(
        reason=reason,
        action=action,
        warning=warning,
        note=clip(note),
        related_pod=pod,
        related_secret=reason is EventReason.SECRET_NAME_TAKEN,
    )


def is_stalled_by(observation: Observation, reason: str) -> bool:
    """Whether the last pass already told that a person has to mend this."""
    stalled = condition(observation.task.status, ConditionType.STALLED)
    return stalled is not None and stalled.status == "True" and stalled.reason == reason


def of_issue(
    observation: Observation, order: IssueOrder, credential: Credential, pod: BoundPod | None
) -> EventDraft:
    """Return the Event that tells of a new credential: for whom, until when, who asked, who allows it."""
    reason, action = ISSUE_EVENTS[order.why]
    before, until = current(observation), at(credential.not_after)
    spec, prolongs = asked(observation), "" if order.prolongs else ", no longer than the last one"
    if order.why in BESIDE_EARLIER_ONES and before is not None and spec.break_glass is None:
        anew = rotated(observation)
        because = f", with a rotated {_static(anew)}" if anew else ""
        note = f"serial {credential.serial} replaces {before.serial}, valid until {until}{prolongs}{because}"
        return draft((reason, False), action, note, pod)
    beside = f" with {_static(order.static_secrets)}" if order.static_secrets else ""
    holder = f" for pod {pod.name}" if pod is not None else ""
    asker = f", asked by {name(spec.asker.username)}" if spec.asker else ""
    done_for = delegator(observation.task, observation.family.lineage)
    for_whom = f" for {name(done_for)}" if done_for else ""
    replaced = f", {_IN_PLACE_OF[order.why]}" if order.why in _IN_PLACE_OF else ""
    revoked = f"; serial {before.serial} revoked" if before is not None else ""
    note = (
        f"serial {credential.serial}{beside}{holder} until {until}{prolongs}{asker}{for_whom}, "
        f"{permission(observation, order.why).message}{replaced}{revoked}"
    )
    if (emergency := spec.break_glass) is not None:
        note = f"{note}; without anybody's approval: {emergency.justification}"
        return draft((EventReason.BREAK_GLASS_USED, True), action, note, pod)
    return draft((reason, False), action, note, pod)


def of_grant(observation: Observation, why: IssueReason, message: str) -> EventDraft:
    """Return the Event that tells that a step lets its parent's identity do more, and who allows it."""
    allowed = permission(observation, why).message
    return draft((EventReason.GRANTED, False), EventAction.GRANT, f"{message}, {allowed}")


def of_hold(observation: Observation, hold: Hold) -> EventDraft | None:
    """Return the Event that tells why a task waits: when that changes or a credential is taken."""
    newest, pod = current(observation), hold.pod or observation.task.status.bound_pod
    if newest is not None:
        if hold.quiet:
            return None
        kind = _kind_of_hold(hold) or (EventReason.CREDENTIAL_REVOKED, False)
        cause = f"{hold.cause}; {hold.message}" if hold.cause else hold.message
        return draft(kind, EventAction.REVOKE, f"serial {newest.serial} revoked: {cause}", pod)
    # Where a Secret cannot be cleaned up either, that is what the condition says.
    told = is_stalled_by(observation, hold.reason) or is_stalled_by(observation, EventReason.CLEANUP_DELAYED)
    is_worse = hold.stalled and not told
    if wait_reason(observation) == hold.reason and not is_worse:
        return None
    if (waits := _kind_of_hold(hold)) is not None:
        action = EventAction.REVOKE if is_granted(observation.task) else EventAction.WAIT
        return draft(waits, action, hold.message, pod)
    approved, judgement = condition(observation.task.status, ConditionType.APPROVED), observation.judgement
    is_news = approved is not None and approved.status == "False"
    if is_news and approved is not None and judgement is not None and judgement.allowed:
        was_asked_for = approved.reason in {WaitReason.AWAITING_APPROVAL, WaitReason.APPROVAL_DENIED}
        allows = EventReason.APPROVAL_GRANTED if was_asked_for else EventReason.POLICY_ALLOWED
        return draft((allows, False), EventAction.WAIT, f"{judgement.message}; {hold.message}", hold.pod)
    return None


def of_end(observation: Observation, end: End, note: str) -> EventDraft:
    """Return the Event that tells how a task ended."""
    return draft(END_EVENTS[end.reason], EventAction.END, note, end.pod or observation.task.status.bound_pod)


def _static(secrets: Sequence[str]) -> str:
    return f"static secret{'s' if len(secrets) > 1 else ''} {names(secrets)}"


def _kind_of_hold(hold: Hold) -> tuple[EventReason, bool] | None:
    kind = WAIT_EVENTS[hold.reason]
    return None if kind is None else (kind[0], kind[1] and not hold.mends_itself)


def of_cleanup(observation: Observation, cleanup_delayed: str | None) -> EventDraft | None:
    """Return the Event that tells, once, that a Secret cannot be cleaned up."""
    if cleanup_delayed is None or is_stalled_by(observation, EventReason.CLEANUP_DELAYED):
        return None
    pod = observation.task.status.bound_pod
    return draft((EventReason.CLEANUP_DELAYED, True), EventAction.CLEAN_UP, cleanup_delayed, pod)
