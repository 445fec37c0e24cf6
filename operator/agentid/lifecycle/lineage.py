"""Follows a task's parents up to the one without a parent, and says what comes down from them."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from agentid.api.agenttask import DesiredState, TaskReference
from agentid.api.agenttask_status import MAX_DEPTH, Ancestor, Delegation
from agentid.api.reasons import ConditionType, RunReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.lifecycle.record import condition

_GIVES: Final = frozenset({RunReason.RUNNING})
"""How a task stands that gives something to those below it."""
_LEAVES: Final = _GIVES | {
    WaitReason.AWAITING_POD,
    WaitReason.POD_MISMATCH,
    WaitReason.AWAITING_STATIC_SECRET,
    WaitReason.ISSUANCE_BLOCKED,
    WaitReason.SECRET_NAME_TAKEN,
}
"""How one stands that leaves them what they have: allowed, and waiting for its pod or its Secret alone."""

Find = Callable[[str], TaskFacts | None]
"""The task of a name in the same namespace, if there is one."""


def follow(task: TaskFacts, find: Find) -> Lineage:
    """Return the tasks above `task`: each as its child names it, by name and UID."""
    ancestors: list[TaskFacts] = []
    child = task
    while (wanted := _parent_of(child)) is not None:
        found = find(wanted.name)
        if (flaw := _flaw(task, ancestors, child, wanted, found)) is not None or found is None:
            return Lineage(tuple(ancestors), flaw)
        ancestors.append(found)
        child = found
    return Lineage(tuple(ancestors))


def title(task: TaskFacts) -> str:
    """Return how a task is called in messages."""
    return f"AgentTask {task.namespace}/{task.name}"


def ending(task: TaskFacts, now: datetime) -> str | None:
    """Say that a task is over, or will be as soon as it is looked at; None if it is not."""
    finished = condition(task.status, ConditionType.FINISHED)
    if finished is not None and finished.status == "True":
        return f"has ended ({finished.reason})"
    if task.deleting:
        return "is being deleted"
    if task.spec is not None and task.spec.state is DesiredState.ENDED:
        return "is ended"
    if task.status.deadline is not None and task.status.deadline <= now:
        return "is past its deadline"
    return None


def suspended_above(lineage: Lineage) -> str | None:
    """Say which of the tasks above it is suspended, since that reaches every descendant; None: none is."""
    for ancestor in lineage.ancestors:
        if ancestor.spec is not None and ancestor.spec.state is DesiredState.SUSPENDED:
            return f"{title(ancestor)}, which it is under, is suspended"
    return None


def lacking_above(lineage: Lineage, *, is_live: bool) -> str | None:
    """Say for which of the tasks above it a task has to wait; None: for none.

    Only who runs gives anything new. `is_live`: the task has what it asks for; it keeps that while a task
    above it is allowed and waits for its next pod, and while a new intent of that one is decided on.
    """
    for ancestor in lineage.ancestors:
        which = f"{title(ancestor)}, which it is under,"
        spec, status = ancestor.spec, ancestor.status
        if status.start_time is None:
            return f"{which} has not begun"
        if spec is None or spec.requester is None:
            return f"nobody is known to have asked for {title(ancestor)}, which it is under"
        finished = condition(status, ConditionType.FINISHED)
        if finished is None or finished.reason not in (_LEAVES if is_live else _GIVES):
            return f"{which} waits itself{f' ({finished.reason})' if finished is not None else ''}"
        if not is_live and status.spec_hash != spec_hash(spec):
            return (
                f"the intent of {title(ancestor)}, which it is under, was changed and is not decided on yet"
            )
    return None


def end_above(lineage: Lineage, now: datetime) -> str | None:
    """Say which of the tasks above it is over or about to be; None: none is."""
    for ancestor in lineage.ancestors:
        if (over := ending(ancestor, now)) is not None:
            return f"{title(ancestor)}, which it is under, {over}"
    return None


def delegator(task: TaskFacts, lineage: Lineage) -> str | None:
    """Return for whom a task is done: what the uppermost task says counts for all below it."""
    top = lineage.ancestors[-1] if lineage.ancestors else task
    return None if top.spec is None else top.spec.on_behalf_of


def inherited_deadline(lineage: Lineage) -> datetime | None:
    """Return when a task has to end because one above it does; None: nothing above it says when."""
    return min((each.status.deadline for each in lineage.ancestors if each.status.deadline), default=None)


def delegation(task: TaskFacts, lineage: Lineage) -> Delegation | None:
    """Return what the status of a task keeps of where its authority comes from, once that was found good.

    None: it has no parent, or nobody is known to have asked for it or for one above it.
    """
    chain = list(_recorded(lineage))
    if task.spec is None or task.spec.asker is None or not chain or len(chain) < len(lineage.ancestors):
        return None
    return Delegation(
        intent_generation=task.spec.asker.intent_generation,
        delegator=delegator(task, lineage),
        chain=chain,
    )


def _recorded(lineage: Lineage) -> Iterator[Ancestor]:
    for each in lineage.ancestors:
        if each.spec is not None and each.spec.asker is not None:
            yield Ancestor(
                name=each.name,
                uid=each.uid,
                agent=each.spec.agent_ref.name,
                requester=each.spec.asker.username,
            )


def _parent_of(task: TaskFacts) -> TaskReference | None:
    return None if task.spec is None else task.spec.parent_ref


def _flaw(
    task: TaskFacts,
    ancestors: list[TaskFacts],
    child: TaskFacts,
    wanted: TaskReference,
    found: TaskFacts | None,
) -> str | None:
    """Say why `found` can't be the parent that `child` wants; None if it is."""
    named = f"AgentTask {task.namespace}/{wanted.name}"
    whose = "it" if child is task else title(child)
    if wanted.name == child.name or wanted.uid == child.uid:
        return f"parentRef of {whose} names the task itself. Name another, or leave parentRef out."
    if found is None:
        return f"{named}, which {whose} is a child of, does not exist. Name a task that does."
    if found.uid != wanted.uid:
        return (
            f"{named}, which {whose} is a child of, has another UID ({found.uid}) than parentRef names "
            f"({wanted.uid}): it is another task. Name it as it is now."
        )
    if any(found.uid == each.uid for each in (task, *ancestors)):
        return f"its parents lead in a circle, by {named}. Name one that is no descendant."
    if len(ancestors) == MAX_DEPTH:
        return f"more than {MAX_DEPTH} tasks are above it, {named} among them. Name a parent higher up."
    return None
