"""What a task's children are to it: how many there may be at once, and what its live steps let it do."""

from collections.abc import Iterable
from datetime import datetime

from agentid.api.agenttask import CredentialMode, DesiredState
from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS, Grant
from agentid.api.reasons import ConditionType, RunReason
from agentid.lifecycle.lineage import ending, title
from agentid.lifecycle.model import TaskFacts
from agentid.lifecycle.record import condition


def surplus(task: TaskFacts, parent: TaskFacts, children: Iterable[TaskFacts], now: datetime) -> str | None:
    """Say that a child has to wait because its parent has as many as it may have at once.

    Those that have begun come first, then the older ones, so that no later one takes another's place.

    Args:
        task: The child.
        parent: Its parent.
        children: All children of that parent, `task` among them.
        now: The time of the decision.
    """
    limit = MAX_GRANTS if is_step(task) else MAX_CHILDREN
    live = [each for each in children if is_step(each) == is_step(task) and ending(each, now) is None]
    before = sum(_rank(each) < _rank(task) for each in live if each.uid != task.uid)
    if before < limit:
        return None
    what = "steps" if is_step(task) else "children"
    return f"{title(parent)} has {limit} live {what}, as many as it may have. It waits until one has ended."


def grants(children: Iterable[TaskFacts], now: datetime) -> list[Grant]:
    """Return what the live steps among `children` let their parent's identity do, oldest first."""
    steps = sorted((each for each in children if _is_live_step(each, now)), key=_rank)
    return [
        Grant(
            name=each.name,
            uid=each.uid,
            actions=each.spec.intent.actions,
            resources=each.spec.intent.resources,
            until=each.status.deadline,
        )
        for each in steps[:MAX_GRANTS]
        if each.spec is not None and each.status.deadline is not None
    ]


def is_step(task: TaskFacts) -> bool:
    """Whether a task is a grant for its parent's identity."""
    return task.spec is not None and task.spec.credential.mode is CredentialMode.NONE


def _is_live_step(task: TaskFacts, now: datetime) -> bool:
    finished = condition(task.status, ConditionType.FINISHED)
    runs = finished is not None and (finished.status, finished.reason) == ("False", RunReason.RUNNING)
    is_meant_to = task.spec is not None and task.spec.state is DesiredState.ACTIVE
    return is_step(task) and runs and is_meant_to and ending(task, now) is None


def _rank(task: TaskFacts) -> tuple[bool, datetime, str]:
    return task.status.start_time is None, task.created, task.uid
