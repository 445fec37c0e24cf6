"""The rules by which a task waits for the word of others: of the tasks above it, and of those who approve."""

from dataclasses import replace
from typing import Final

from agentid.api.reasons import WaitReason
from agentid.lifecycle.approvals import request_of, what_is_awaited
from agentid.lifecycle.children import surplus
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.holds import (
    hold_while_a_pod_is_leaving,
    hold_while_another_pod_could_mount_it,
    hold_while_its_pod_does_not_run,
    hold_while_pod_is_awaited,
    hold_while_policy_denies,
)
from agentid.lifecycle.lineage import lacking_above, suspended_above
from agentid.lifecycle.model import Judgement, Observation
from agentid.lifecycle.permission import has_what_it_asks_for, verdict_on_its_pod
from agentid.lifecycle.record import has_started
from agentid.lifecycle.verdict import Hold

BESIDES: Final = ". Policy: "
"""Stands between what a task waits for and what policy says of it besides."""


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
    is_live = has_what_it_asks_for(observation)
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
    return None if judgement is None else _awaited(observation, judgement)


def hold_while_what_has_begun_is_not_allowed(observation: Observation) -> Hold | None:
    """A no comes before what else the task waits for, since those below it go by that.

    It ends nothing: of a task between two pods policy may say no only because there is none.
    """
    judgement = observation.judgement
    if not has_started(observation) or (judgement is not None and judgement.allowed):
        return None
    refused = None if judgement is None else _awaited(observation, judgement)
    refused = refused or hold_while_policy_denies(observation)
    waits = (
        hold_while_another_pod_could_mount_it(observation)
        or hold_while_a_pod_is_leaving(observation)
        or hold_while_pod_is_awaited(observation)
        or hold_while_its_pod_does_not_run(observation)
    )
    if refused is None or waits is None:
        return refused
    message = f"{waits.message.rstrip('.')}{BESIDES}{refused.message}"
    return replace(waits, reason=refused.reason, message=message, quiet=False)


def _awaited(observation: Observation, judgement: Judgement) -> Hold | None:
    if not judgement.awaits_approval:
        return None
    request = request_of(observation.task, observation.family.lineage)
    awaited = "" if request is None else what_is_awaited(request, observation.consent)
    return Hold(WaitReason.AWAITING_APPROVAL, f"{judgement.message} {awaited}")
