"""Rules about who asks, how old what is known is, and how the task and those above it stand."""

from typing import Final

from agentid.api.agent import Sensitivity
from agentid.gate.answer import Denial, Reason
from agentid.gate.case import Case, is_past
from agentid.lifecycle.wording import at, name


def asker_may_not_ask_about_the_namespace(case: Case) -> Denial | None:
    """Nobody is told of tasks of a namespace that is not its own."""
    if case.question.asker.may_ask_about(case.namespace):
        return None
    return Denial(
        Reason.NAMESPACE_NOT_SERVED,
        f"{name(case.question.asker.name)} may not ask about tasks of namespace {case.namespace}. Have the "
        "platform team list that namespace for it among the decision point's enforcement points.",
    )


def clock_is_behind(case: Case) -> Denial | None:
    """A clock that is behind would let what has ended go on."""
    behind = case.view.behind_by(case.namespace, case.moment)
    if behind <= case.limits.max_skew:
        return None
    return Denial(
        Reason.CLOCK_IN_DOUBT,
        f"The decision point's clock is {behind.total_seconds():.1f} s behind the operator's, and may be "
        f"{case.limits.max_skew.total_seconds():.1f} s. Look at time synchronization on both nodes.",
    )


def view_is_too_old(case: Case) -> Denial | None:
    """What may have ended since is not allowed."""
    sensitivity = case.task.sensitivity if case.task is not None else Sensitivity.RESTRICTED
    limit, age = case.limits.max_age[sensitivity], case.view.age(case.namespace, case.moment)
    if (silent := case.view.silent()) is not None:
        return Denial(Reason.STALE_VIEW, f"What is known may be out of date: {silent}. {_LOOK}")
    if age is None:
        return Denial(Reason.STALE_VIEW, f"The operator has shown no sign of life yet. {_LOOK}")
    if age <= limit:
        return None
    return Denial(
        Reason.STALE_VIEW,
        f"What is known is {age.total_seconds():.1f} s old, and may be {limit.total_seconds():.1f} s for "
        f"sensitivity {sensitivity}. {_LOOK}",
    )


_LOOK: Final = "Look at the operator, and at what is between the decision point and the API server."


def task_is_unknown(case: Case) -> Denial | None:
    """An identity without a task is nobody's any more."""
    if case.task is not None:
        return None
    return Denial(
        Reason.UNKNOWN_TASK,
        f"There is no task in namespace {case.namespace} with this identity: it has ended and was deleted, "
        "or never was. Start a new task.",
    )


def task_cannot_be_read(case: Case) -> Denial | None:
    """What another version wrote is not guessed at."""
    if case.known.unreadable is None:
        return None
    said = f"{case.known.title} cannot be read by this version of agentid: {name(case.known.unreadable)}"
    return Denial(Reason.UNREADABLE_TASK, f"{said}. Bring operator and decision point to the same version.")


def task_has_ended(case: Case) -> Denial | None:
    """Ended means refused."""
    if case.known.over is None:
        return None
    return Denial(Reason.TASK_ENDED, f"{case.known.title} {case.known.over}. Start a new task.")


def deadline_is_past(case: Case) -> Denial | None:
    """A task ends by its deadline, whether the operator has said so yet or not."""
    if not is_past(case.known, case.moment.now):
        return None
    ended = f" at {at(case.known.deadline)}" if case.known.deadline is not None else ""
    return Denial(Reason.DEADLINE_PAST, f"The deadline of {case.known.title} has passed{ended}. {_ANEW}")


_ANEW: Final = "Start a new task; if it needs longer, ask for a longer activeDeadlineSeconds."


def task_is_suspended(case: Case) -> Denial | None:
    """Suspended counts from the moment that it is asked for."""
    if not case.known.is_suspended:
        return None
    said = f"{case.known.title} is suspended."
    return Denial(Reason.TASK_SUSPENDED, f"{said} It can be used again once whoever may has resumed it.")


def spec_is_not_what_was_decided_on(case: Case) -> Denial | None:
    """A changed intent is decided on first."""
    if case.known.is_decided:
        return None
    return Denial(
        Reason.NOT_DECIDED,
        f"What {case.known.title} asks for now is not decided on yet. `kubectl describe atask "
        f"{case.known.name} -n {case.namespace}` says what it waits for.",
    )


def task_above_is_over(case: Case) -> Denial | None:
    """What a task has, it has from those above it."""
    for uid in case.known.ancestors:
        above = case.view.task(uid)
        if above is None:
            said = f"a task that {case.known.title} is under is gone"
        elif above.over is not None:
            said = f"{above.title}, which {case.known.title} is under, {above.over}"
        elif above.is_suspended:
            said = f"{above.title}, which {case.known.title} is under, is suspended"
        elif is_past(above, case.moment.now):
            said = f"{above.title}, which {case.known.title} is under, is past its deadline"
        else:
            continue
        return Denial(Reason.PARENT_ENDED, f"{said[0].upper()}{said[1:]}. Start a task of its own.")
    return None


def agent_is_off(case: Case) -> Denial | None:
    """An Agent that is gone or switched off has no tasks."""
    which = f"Agent {case.namespace}/{case.known.agent}"
    agent = case.view.agent(case.namespace, case.known.agent)
    if agent is None or agent.deleting:
        return Denial(Reason.AGENT_OFF, f"{which} is gone. Have the platform team create it anew.")
    if agent.spec is None:
        return Denial(Reason.AGENT_OFF, f"{which} cannot be read by this version of agentid.")
    if agent.spec.disabled:
        return Denial(Reason.AGENT_OFF, f"{which} is switched off. Ask its owner {name(agent.spec.owner)}.")
    if agent.spec.review_by is not None and agent.spec.review_by <= case.moment.now:
        said = f"{which} was to be reviewed by {at(agent.spec.review_by)}"
        return Denial(Reason.AGENT_OFF, f"{said}. Have its owner {name(agent.spec.owner)} review it.")
    return None
