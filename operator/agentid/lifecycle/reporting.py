"""Puts what was decided into the status and tells of it in one Event; both are values, nothing is done."""

from collections.abc import Sequence
from typing import Final

from agentid.api.agenttask_status import BoundPod, Credential, HeldSecret
from agentid.api.reasons import (
    ConditionType,
    EndReason,
    EventAction,
    EventReason,
    IssueReason,
    RunReason,
    WaitReason,
)
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.allowance import approval_of, decision_of, delegation_of, grants_of, what_is_granted
from agentid.lifecycle.attestation import noted
from agentid.lifecycle.conditions import Said
from agentid.lifecycle.errors import UnorderedCredentialError
from agentid.lifecycle.events import draft, is_stalled_by, of_cleanup, of_end, of_grant, of_hold, of_issue
from agentid.lifecycle.model import Observation, PodFacts, SecretState
from agentid.lifecycle.plan import Plan, Report
from agentid.lifecycle.pods import bound_pod, ends_with_its_pod, is_over
from agentid.lifecycle.record import (
    asked,
    condition,
    current,
    this_second,
    wait_reason,
    was_never_released,
    was_suspended,
)
from agentid.lifecycle.renewal import deadline
from agentid.lifecycle.status_parts import counting, nothing_held, stalled, status_after
from agentid.lifecycle.verdict import End, Grant, Hold, Keep
from agentid.lifecycle.wording import at, nth

_KEEPS_FROM_BINDING: Final = {
    WaitReason.AWAITING_WORKLOAD,
    WaitReason.WORKLOAD_KIND_NOT_ALLOWED,
    WaitReason.POD_MISMATCH,
}

_BY: Final = {
    "issue": IssueReason.ISSUED,
    "renew": IssueReason.RENEWED,
    "resume": IssueReason.RESUMED,
}
"""What is told of a credential that counts again, since the one after it never came into the Secret."""


def issued(
    observation: Observation, plan: Plan, credential: Credential, copied: Sequence[HeldSecret] = ()
) -> Report:
    """Return the report on a plan with an `issue`, once the certificate exists.

    Args:
        observation: What the plan was decided on.
        plan: A plan of `decide` that has an `issue`.
        credential: What was made for it; its generation is the order's.
        copied: The static secrets that are written beside it; those of the order.

    Raises:
        UnorderedCredentialError: the plan has no issue, or this is not what it ordered.
    """
    order = plan.issue
    if order is None:
        raise UnorderedCredentialError(f"rule {plan.rule} ordered no credential")
    ends = deadline(observation)
    if credential.generation != order.generation or credential.not_after > order.not_after_limit:
        raise UnorderedCredentialError(f"credential {credential.serial} is not what rule {plan.rule} ordered")
    if tuple(each.name for each in copied) != order.static_secrets:
        raise UnorderedCredentialError(f"rule {plan.rule} ordered other static secrets")
    pod, decision = None if order.pod is None else bind(order.pod), decision_of(observation, order.why)
    new, number = credential.model_copy(update={"made_by": decision.action}), nth(credential.generation)
    said = [
        *approval_of(observation),
        Said(
            ConditionType.CREDENTIAL_ISSUED,
            True,
            order.why,
            f"serial {credential.serial}, {number} of this task, until {at(credential.not_after)}",
        ),
        Said(ConditionType.FINISHED, False, RunReason.RUNNING, f"ends by {at(ends)}"),
    ]
    if pod is not None:
        where = f"pod {pod.name} on {pod.node}"
        said.append(Said(ConditionType.BOUND, True, EventReason.POD_BOUND, where))
    status = status_after(
        observation,
        said,
        dropped=[ConditionType.STALLED],
        spec_hash=spec_hash(asked(observation)),
        spiffe_id=order.spiffe_id,
        bound_pod=pod,
        credential_generation=credential.generation,
        credentials=counting(observation, order.why, new),
        start_time=observation.task.status.start_time or this_second(observation),
        deadline=ends,
        decision=decision,
        delegation=delegation_of(observation),
        grants=grants_of(observation),
        static_secrets=list(copied),
    )
    return Report(status, of_issue(observation, order, credential, pod))


def granted(observation: Observation, grant: Grant) -> Report:
    """Return the report on a step that lets its parent's identity do more."""
    if grant.why is None:
        return Report(status_after(observation, [], [ConditionType.STALLED]))
    ends = deadline(observation)
    message = f"{what_is_granted(observation)}, until {at(ends)}"
    said = [
        *approval_of(observation),
        Said(ConditionType.GRANTED, True, grant.why, message),
        Said(ConditionType.FINISHED, False, RunReason.RUNNING, f"ends by {at(ends)}"),
    ]
    status = status_after(
        observation,
        said,
        dropped=[ConditionType.STALLED],
        spec_hash=spec_hash(asked(observation)),
        start_time=observation.task.status.start_time or this_second(observation),
        deadline=ends,
        decision=decision_of(observation, grant.why),
        delegation=delegation_of(observation),
    )
    return Report(status, of_grant(observation, grant.why, message))


def bind(pod: PodFacts) -> BoundPod:
    """Return how the status names the pod that holds the credential."""
    return BoundPod(name=pod.name, uid=pod.uid, node=pod.node, fingerprint=pod.fingerprint)


def kept(observation: Observation, keep: Keep) -> Report:
    """Return the report on a task that runs on."""
    said, dropped = [], [ConditionType.STALLED]
    newest = max(keep.credentials, key=lambda each: each.generation, default=None)
    if newest is not None and newest != current(observation):
        why = _BY[newest.made_by]
        text = f"serial {newest.serial}, {nth(newest.generation)} of this task, until {at(newest.not_after)}"
        said.append(Said(ConditionType.CREDENTIAL_ISSUED, True, why, text))
    event = None
    if keep.overdue is not None:
        said.append(Said(ConditionType.STALLED, True, WaitReason.ISSUANCE_BLOCKED, keep.overdue))
        if not is_stalled_by(observation, WaitReason.ISSUANCE_BLOCKED):
            kind = (EventReason.ISSUANCE_BLOCKED, True)
            pod = observation.task.status.bound_pod
            in_doubt = observation.secret.state is SecretState.DOUBTFUL
            note = keep.overdue if in_doubt else f"renewal is due; {keep.overdue}"
            event = draft(kind, EventAction.RENEW, note, pod)
    is_written = newest is not None and newest == current(observation)
    after = status_after(
        observation,
        said,
        dropped,
        credentials=list(keep.credentials),
        grants=grants_of(observation),
        # Those beside the newest credential; where it never came into the Secret, they are copied anew.
        static_secrets=observation.task.status.static_secrets if is_written else [],
    )
    return Report(after, event)


def held_back(observation: Observation, hold: Hold, cleanup_delayed: str | None) -> Report:
    """Return the report on a task that waits without a credential."""
    newest = current(observation)
    said = [*approval_of(observation), Said(ConditionType.FINISHED, False, hold.reason, hold.message)]
    said += stalled(hold.reason if hold.stalled else None, hold.message, cleanup_delayed)
    pod = noted(observation, hold)
    is_bound = pod is not None and (
        observation.task.spec is None or ends_with_its_pod(observation) or not is_over(bound_pod(observation))
    )
    if not is_bound and observation.task.spec is not None and observation.task.spec.workload is not None:
        reason = hold.reason if hold.reason in _KEEPS_FROM_BINDING else WaitReason.AWAITING_POD
        said.append(Said(ConditionType.BOUND, False, reason, "bound to no pod"))
    if newest is not None:
        revoked = f"serial {newest.serial} revoked: {hold.cause or hold.message}"
        said.append(Said(ConditionType.CREDENTIAL_ISSUED, False, hold.reason, revoked))
    else:
        why = WaitReason.SUSPENDED if was_suspended(observation) else hold.reason
        said.append(nothing_held(observation, why, hold.message, "yet"))
    after = status_after(
        observation,
        said,
        dropped=[ConditionType.STALLED],
        bound_pod=pod if is_bound else None,
        credentials=[],
        static_secrets=[],
        grants=[],
        delegation=delegation_of(observation),
        **({"start_time": None, "deadline": None} if was_never_released(observation) else {}),
    )
    return Report(after, of_hold(observation, hold) or of_cleanup(observation, cleanup_delayed))


def ended(observation: Observation, end: End) -> Report:
    """Return the report on a task that ends in this pass."""
    status, newest = observation.task.status, current(observation)
    said = [
        Said(ConditionType.FINISHED, True, end.reason, end.message),
        Said(ConditionType.SUCCEEDED, end.reason is EndReason.COMPLETED, end.reason, end.message),
    ]
    if end.reason in {EndReason.REVOKED, EndReason.DENIED}:
        said.append(Said(ConditionType.APPROVED, False, end.reason, end.message))
    if condition(status, ConditionType.BOUND) is not None:
        was = f"was bound to pod {status.bound_pod.name}" if status.bound_pod else "bound to no pod"
        said.append(Said(ConditionType.BOUND, False, end.reason, was))
    note = end.message
    if newest is not None:
        note = f"{end.message}; serial {newest.serial} revoked"
        said.append(
            Said(
                ConditionType.CREDENTIAL_ISSUED,
                False,
                end.reason,
                f"serial {newest.serial} revoked: {end.message}",
            )
        )
    else:
        gone = nothing_held(observation, end.reason, end.message)
        said.append(gone)
        if status.credential_generation and wait_reason(observation) == WaitReason.AWAITING_POD:
            # Its pod went a moment before, and then no Event told of the credential.
            note = f"{end.message}; {gone.message}"
    # A deadline is when a task that lives will end; shown beside Completed it would mislead.
    changes: dict[str, object] = {
        "credentials": [],
        "static_secrets": [],
        "grants": [],
        "deadline": None,
        "end_time": this_second(observation),
    }
    after = status_after(observation, said, [ConditionType.STALLED], **changes)
    return Report(after, of_end(observation, end, note))


def stayed(observation: Observation, cleanup_delayed: str | None) -> Report:
    """Return the report on a task that ended in an earlier pass."""
    said = stalled(None, "", cleanup_delayed)
    nothing: dict[str, object] = {"credentials": [], "static_secrets": [], "grants": []}
    after = status_after(observation, said, [ConditionType.STALLED], **nothing)
    return Report(after, of_cleanup(observation, cleanup_delayed))
