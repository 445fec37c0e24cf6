"""The rules by which a task waits for the word of others: of the tasks above it, and of those who approve."""

from agentid.api.reasons import WaitReason
from agentid.lifecycle.approvals import request_of, what_is_awaited
from agentid.lifecycle.children import surplus
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import lacking_above, suspended_above
from agentid.lifecycle.model import Observation
from agentid.lifecycle.permission import verdict_on_its_pod
from agentid.lifecycle.record import current, is_granted
from agentid.lifecycle.verdict import Hold


def hold_while_a_task_above_is_suspended(observation: Observation) -> Hold | None:
    """A suspension reaches every descendant, however deep."""
    suspended = suspended_above(observation.family.lineage)
    return None if suspended is None else Hold(WaitReason.SUSPENDED, suspended)


def hold_while_delegation_is_refused(observation: Observation) -> Hold | None:
    """It asks for more than its parent may give, or has no right to ask that parent."""
    breach = delegation_breach(observation.task, observation.family.lineage, observation.now)
    return None if breach is None else Hold(WaitReason.DELEGATION_REFUSED, breach, stalled=True)


def hold_while_a_task_above_is_not_allowed(observation: Observation) -> Hold | None:
    """What a task is under waits itself, so that it has nothing to give just now."""
    task = observation.task
    is_live = is_granted(task) or current(observation) is not None
    lacking = lacking_above(observation.family.lineage, is_live=is_live)
    return None if lacking is None else Hold(WaitReason.AWAITING_PARENT, lacking)


def hold_while_its_parent_has_too_many_children(observation: Observation) -> Hold | None:
    """A parent has a bounded number of them at once."""
    crowd = surplus(observation.task, observation.family)
    return None if crowd is None else Hold(WaitReason.TOO_MANY_CHILDREN, crowd)


def hold_while_approval_is_denied(observation: Observation) -> Hold | None:
    """Somebody who may approve said no; that holds whatever policy says, until it is taken back."""
    denied = observation.consent.denied
    if denied is None:
        return None
    return Hold(
        WaitReason.APPROVAL_DENIED,
        f"{denied}. A change of the intent asks anew; the no itself is an AgentApproval of this task.",
        stalled=True,
    )


def hold_while_approval_is_awaited(observation: Observation) -> Hold | None:
    """Policy allows it only when it is approved, or by more people than have."""
    judgement = verdict_on_its_pod(observation)
    if judgement is None or not judgement.awaits_approval:
        return None
    request = request_of(observation.task, observation.family.lineage)
    awaited = "" if request is None else what_is_awaited(request, observation.consent)
    return Hold(WaitReason.AWAITING_APPROVAL, f"{judgement.message} {awaited}")
