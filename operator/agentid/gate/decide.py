"""The decision on one call, as a list of rules: the first that denies wins, and policy has the last word.

Everything a rule looks at is data: what is asked, what is known, and the time. Nothing is said of a task
before it is sure that who asks may ask about it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from agentid.gate.answer import Answer, Denial, Reason, TaskName
from agentid.gate.asking import Asking
from agentid.gate.case import Case, Limits
from agentid.gate.holding import credential_does_not_count, pod_is_not_the_one_decided_on
from agentid.gate.known_task import KnownTask
from agentid.gate.question import Question
from agentid.gate.scope import action_is_not_granted, resource_is_not_granted, step_that_grants
from agentid.gate.standing import (
    agent_is_off,
    asker_may_not_ask_about_the_namespace,
    clock_is_behind,
    deadline_is_past,
    spec_is_not_what_was_decided_on,
    task_above_is_over,
    task_cannot_be_read,
    task_has_ended,
    task_is_suspended,
    task_is_unknown,
    view_is_too_old,
)
from agentid.gate.view import Moment, View
from agentid.policy import decision as policy

RULES: Final[tuple[Callable[[Case], Denial | None], ...]] = (
    asker_may_not_ask_about_the_namespace,
    clock_is_behind,
    view_is_too_old,
    task_is_unknown,
    task_cannot_be_read,
    task_has_ended,
    deadline_is_past,
    task_is_suspended,
    spec_is_not_what_was_decided_on,
    task_above_is_over,
    agent_is_off,
    credential_does_not_count,
    pod_is_not_the_one_decided_on,
    action_is_not_granted,
    resource_is_not_granted,
)
"""What is looked at before policy is asked, in this order."""

_REASONS: Final[Mapping[policy.Reason, Reason]] = {
    policy.Reason.FORBIDDEN: Reason.POLICY_DENIED,
    policy.Reason.NO_PERMIT: Reason.POLICY_DENIED,
    policy.Reason.NO_CLUSTER_POLICY: Reason.POLICY_DENIED,
    policy.Reason.NO_NAMESPACE_POLICY: Reason.POLICY_DENIED,
    policy.Reason.NEEDS_APPROVAL: Reason.APPROVAL_REQUIRED,
}
"""As what policy's denials are told; all others mean that it could not be asked as it should."""


def decide(question: Question, view: View, limits: Limits, asking: Asking, moment: Moment) -> Answer:
    """Decide whether the call may be made with the identity, as far as is known at `moment`."""
    if question.flaw is not None:
        return Answer(allowed=False, reason=question.flaw.reason, message=question.flaw.message)
    case = Case.of(question, limits, view, moment)
    if case is None:
        said = f"The identity is no SPIFFE ID of a task of trust domain {limits.trust_domain}"
        message = f"{said}. Send the caller's as its certificate has it."
        return Answer(allowed=False, reason=Reason.NO_IDENTITY, message=message)
    for rule in RULES:
        if (denial := rule(case)) is not None:
            task = None if denial.reason in _UNTOLD else case.task
            return Answer(False, denial.reason, denial.message, _name(task))
    return _by_policy(case, asking)


_UNTOLD: Final = frozenset({Reason.NAMESPACE_NOT_SERVED})
"""Whoever gets this answer does not hear whether there is such a task."""


def _by_policy(case: Case, asking: Asking) -> Answer:
    holder = case.known
    step = step_that_grants(case)
    decided = asking.decide(step or holder, holder, case.question.call, case.moment.now)
    reason = Reason.ALLOWED if decided.allowed else _REASONS.get(decided.reason, Reason.POLICY_IN_DOUBT)
    return Answer(decided.allowed, reason, decided.message, _name(holder), _name(step), decided)


def _name(task: KnownTask | None) -> TaskName | None:
    return None if task is None else TaskName(task.namespace, task.name, task.uid)
