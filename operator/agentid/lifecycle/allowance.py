"""What a status says of why a task is allowed: by its Agent, tasks above it, policy and people."""

from collections.abc import Sequence
from typing import Final

from agentid.api.agenttask_status import MAX_APPROVERS, MAX_POLICIES, Decision, Delegation, Grant
from agentid.api.reasons import ConditionType, EventReason, IssueReason, WaitReason
from agentid.lifecycle.children import grants
from agentid.lifecycle.conditions import Said
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import delegation, title
from agentid.lifecycle.model import Judgement, Observation
from agentid.lifecycle.permission import (
    agent_gap,
    ceiling_breach,
    overdue_review,
    permission,
)
from agentid.lifecycle.record import asked, this_second
from agentid.lifecycle.static_secrets import static_secret_gap
from agentid.lifecycle.wording import names


def approval_of(observation: Observation) -> Sequence[Said]:
    """Return the condition Approved, where there is something to say."""
    if observation.task.spec is None:
        return []
    for reason, told in _REFUSALS:
        if (message := told(observation)) is not None:
            return [Said(ConditionType.APPROVED, False, reason, message)]
    judgement = observation.judgement
    return [] if judgement is None else [_judged(judgement)]


def decision_of(observation: Observation, why: IssueReason) -> Decision:
    """Return what a credential or a grant is issued by.

    Raises:
        UnjudgedTaskError: nothing allows it.
    """
    judgement = permission(observation, why)
    return Decision(
        action=judgement.action.value,
        policies=list(judgement.policies[:MAX_POLICIES]),
        digest=judgement.digest,
        approvers=[each.username for each in observation.consent.approvers[:MAX_APPROVERS]],
        break_glass=True if asked(observation).break_glass is not None else None,
        at=this_second(observation),
    )


def delegation_of(observation: Observation) -> Delegation | None:
    """Return from whom a child has its authority, if that is found good now; else what was found before."""
    task, known = observation.task, observation.task.status.delegation
    if _refused_by_its_parents(observation) is not None:
        return known
    return delegation(task, observation.family.lineage) or known


def grants_of(observation: Observation) -> list[Grant]:
    """Return what a running task's identity may do besides, by its live steps."""
    return grants(observation.task, observation.family, observation.now)


def what_is_granted(observation: Observation) -> str:
    """Say what a step lets whom do."""
    intent, ancestors = asked(observation).intent, observation.family.lineage.ancestors
    whose = title(ancestors[0]) if ancestors else "its parent"
    to = f" to {names(intent.resources)}" if intent.resources else ""
    return f"the identity of {whose} may do {names(intent.actions)}{to} too"


def _refused_by_its_parents(observation: Observation) -> str | None:
    return delegation_breach(observation.task, observation.family.lineage, observation.now)


def _denied_by_a_person(observation: Observation) -> str | None:
    return observation.consent.denied


_REFUSALS: Final = (
    (WaitReason.AWAITING_AGENT, agent_gap),
    (WaitReason.AWAITING_AGENT, overdue_review),
    (WaitReason.AWAITING_STATIC_SECRET, static_secret_gap),
    (WaitReason.CEILING_EXCEEDED, ceiling_breach),
    (WaitReason.DELEGATION_REFUSED, _refused_by_its_parents),
    (WaitReason.APPROVAL_DENIED, _denied_by_a_person),
)
"""What says no before policy is asked, in the order in which it is told."""


def _judged(judgement: Judgement) -> Said:
    if judgement.allowed:
        return Said(ConditionType.APPROVED, True, EventReason.POLICY_ALLOWED, judgement.message)
    why = WaitReason.AWAITING_APPROVAL if judgement.awaits_approval else WaitReason.AWAITING_POLICY
    return Said(ConditionType.APPROVED, False, why, judgement.message)
