"""What a task's children are to it: how many there may be at once, and what its live steps let it do."""

from datetime import datetime

from agentid.api.agenttask import DesiredState
from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS, Grant
from agentid.api.reasons import ConditionType, RunReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import ending, title
from agentid.lifecycle.model import ChildFacts, Family, Lineage, TaskFacts
from agentid.lifecycle.record import condition, is_granted, is_step

Rank = tuple[bool, datetime, str]
"""What orders children (`rank`); its UID comes last."""


def limit_of(*, is_step: bool) -> int:
    """Return how many steps, or other children, of one parent may be live at once."""
    return MAX_GRANTS if is_step else MAX_CHILDREN


def rank(child: ChildFacts) -> Rank:
    """Return what orders children: those that have begun come first, then the older ones.

    So no later one takes another's place.
    """
    return not child.has_begun, child.created, child.uid


def is_rival(child: ChildFacts) -> bool:
    """Whether a child counts among those of its parent.

    Everybody may name it, so that one which it never was found to be the parent of takes no place, once it
    was looked at.
    """
    return not child.is_over and (child.has_begun or not child.is_refused)


def surplus(task: TaskFacts, family: Family) -> str | None:
    """Say that a child has to wait because its parent has as many as it may have at once."""
    limit = limit_of(is_step=is_step(task))
    if family.ahead < limit or not family.lineage.ancestors:
        return None
    what = "steps" if is_step(task) else "children"
    return (
        f"{title(family.lineage.ancestors[0])} has {limit} live {what}, as many as it may have. "
        "It waits until one has ended."
    )


def grants(parent: TaskFacts, family: Family, now: datetime) -> list[Grant]:
    """Return what the live steps of a running task let its identity do, oldest first.

    What a step no longer may have of its parent it grants no longer, whether it was looked at since or not.
    """
    above = Lineage((parent, *family.lineage.ancestors), family.lineage.flaw)
    live = (each for each in family.steps if _is_live(each, now))
    within = (each for each in live if delegation_breach(each, above, now) is None)
    steps = sorted(within, key=lambda each: (each.created, each.uid))
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


def _is_live(step: TaskFacts, now: datetime) -> bool:
    finished = condition(step.status, ConditionType.FINISHED)
    runs = finished is not None and (finished.status, finished.reason) == ("False", RunReason.RUNNING)
    spec = step.spec
    # Of an intent that was changed since nothing is decided yet.
    is_decided = spec is not None and step.status.spec_hash == spec_hash(spec)
    is_meant_to = spec is not None and spec.state is DesiredState.ACTIVE
    is_over = ending(step, now) is not None
    return is_step(step) and runs and is_granted(step) and is_decided and is_meant_to and not is_over
