"""Rules about what is to be done, and what it is done to: by the task's own intent, or by a live step."""

from agentid.gate.answer import Denial, Reason
from agentid.gate.case import Case
from agentid.gate.known_task import KnownTask
from agentid.lifecycle.wording import name, names


def action_is_not_granted(case: Case) -> Denial | None:
    """What is not in the intent, nor a live step's, may not be done."""
    task, action = case.known, case.question.call.action
    if action in task.actions or any(action in each.actions for each in case.live_steps()):
        return None
    return Denial(
        Reason.ACTION_NOT_GRANTED,
        f"{name(action)} is none of the actions of {task.title} ({names(sorted(task.actions))}), and no live "
        "step of it grants that. Ask for it in spec.intent, or create a step for it.",
    )


def resource_is_not_granted(case: Case) -> Denial | None:
    """Where resources are named, there are no others."""
    task, call = case.known, case.question.call
    granting = [task.resources] if call.action in task.actions else []
    granting += [each.resources for each in case.live_steps() if call.action in each.actions]
    if any(_covers(each, call.resource) for each in granting):
        return None
    asked = "nothing was named" if call.resource is None else f"not to {name(call.resource)}"
    only = names(sorted(frozenset[str]().union(*granting)))
    return Denial(
        Reason.RESOURCE_NOT_GRANTED,
        f"{task.title} may do {name(call.action)} only to {only}, and {asked}. Name one of these, or ask for "
        "more in spec.intent.resources.",
    )


def step_that_grants(case: Case) -> KnownTask | None:
    """Return the step by which the call may be made; None: it is the task's own."""
    task, call = case.known, case.question.call
    if call.action in task.actions and _covers(task.resources, call.resource):
        return None
    for each in case.live_steps():
        if call.action in each.actions and _covers(each.resources, call.resource):
            return case.step(each)
    raise LookupError("neither the task nor a step grants the call: a mistake in RULES")


def _covers(resources: frozenset[str], resource: str | None) -> bool:
    """Whether `resource` is one of those that are named, where any are."""
    return not resources or resource in resources
