"""Sees changes of tasks through: waits until the operator has acted on each, and says what came of it."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from agentid.api.agenttask import DesiredState
from agentid.api.reasons import RunReason
from agentid.cli.orders import Order, Outcome, Result
from agentid.cli.selecting import condition, how_it_ended, is_over, standing, which
from agentid.cli.session import Session
from agentid.cluster.connection import Body
from agentid.cluster.errors import ApiAnswerError, NotFoundError
from agentid.cluster.paths import TASKS
from agentid.cluster.watching import list_chunks
from agentid.watched.facts import mapping, text

_POLL_SECONDS: Final = 0.5
_POLL_SECONDS_A_TASK: Final = 0.003
"""To look at many takes the API server longer, and it is what they wait for."""
_LIST_FROM: Final = 20
"""From so many tasks on in one namespace, all are looked at by a list rather than one by one."""


async def seen_through(here: Session, order: Order, outcomes: list[Outcome]) -> list[Outcome]:
    """Wait until the operator has acted on each change, and return what came of each."""
    until = time.monotonic() + order.within_seconds
    waiting = {which(each.task): each for each in outcomes if each.result is Result.DONE}
    seen: dict[tuple[str, str], Outcome] = {}
    while waiting:
        found, unseen = await _as_they_are(here, waiting)
        for key, task in found.items():
            if (known := settled_as(order.state, waiting[key].task, task)) is not None:
                seen[key] = known
                del waiting[key]
                # One that works through many is not late.
                until = time.monotonic() + order.within_seconds
        if waiting and time.monotonic() > until:
            seen |= {key: _late(order, each, unseen.get(key[0])) for key, each in waiting.items()}
            waiting = {}
        elif waiting:
            await asyncio.sleep(_POLL_SECONDS + len(waiting) * _POLL_SECONDS_A_TASK)
    return [seen.get(which(each.task), each) for each in outcomes]


def _late(order: Order, outcome: Outcome, problem: ApiAnswerError | None) -> Outcome:
    said = (
        f"no operator has acted on it in {order.within_seconds:g} s; `agentid doctor` says what is wrong"
        if problem is None
        else f"what came of it cannot be seen: {problem}"
    )
    name = "/".join(which(outcome.task))
    return replace(outcome, result=Result.UNSETTLED, message=f"AgentTask {name} was changed, but {said}")


def has_followed(task: Body, now: Body) -> bool:
    """Whether the operator, as `now` says, has acted on all that was changed in `task`."""
    decided = mapping(now.get("status")).get("observedGeneration")
    generation = mapping(task.get("metadata")).get("generation")
    return isinstance(decided, int) and decided >= int(generation or 0)


def settled_as(wanted: DesiredState, changed: Body, now: Body | None) -> Outcome | None:
    """Return what came of a task once the operator has acted on a change of it; None: not yet.

    Args:
        wanted: What it was set to.
        changed: The task as it was answered to the change.
        now: The task as it is; None: gone.
    """
    name, ending = "/".join(which(changed)), wanted is DesiredState.ENDED
    uid = mapping(changed.get("metadata")).get("uid")
    if now is None or mapping(now.get("metadata")).get("uid") != uid:
        if ending:
            return Outcome(changed, Result.DONE, "it is gone")
        return Outcome(changed, Result.REFUSED, f"AgentTask {name} is gone")
    finished = condition(now, "Finished")
    why = f": {said}" if (said := text(finished.get("message"))) else ""
    if is_over(now) and not ending:
        return Outcome(now, Result.REFUSED, f"AgentTask {name} has ended ({how_it_ended(now)}){why}")
    if not has_followed(changed, now):
        return None
    waits = standing(now) != RunReason.RUNNING and condition(now, "Approved").get("status") == "False"
    if wanted is DesiredState.ACTIVE and waits:
        return Outcome(now, Result.REFUSED, f"AgentTask {name} waits ({standing(now)}){why}")
    return Outcome(now, Result.DONE)


async def _as_they_are(
    here: Session, keys: Iterable[tuple[str, str]]
) -> tuple[dict[tuple[str, str], Body | None], dict[str, ApiAnswerError]]:
    """Return tasks as they are now, None for one that is gone; and why a namespace's cannot be seen."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in keys:
        by_namespace.setdefault(namespace, []).append(name)
    found: dict[tuple[str, str], Body | None] = {}
    unseen: dict[str, ApiAnswerError] = {}
    for namespace, names in by_namespace.items():
        try:
            found |= await _in_namespace(here, namespace, names)
        except ApiAnswerError as error:
            # All is changed by now: what can still be seen of it is told whatever happens.
            unseen[namespace] = error
    return found, unseen


async def _in_namespace(
    here: Session, namespace: str, names: list[str]
) -> dict[tuple[str, str], Body | None]:
    if len(names) < _LIST_FROM:
        bodies = await asyncio.gather(*(find(here, namespace, name) for name in names))
        return {(namespace, name): body for name, body in zip(names, bodies, strict=True)}
    pages = list_chunks(here.connection, TASKS, namespace)
    listed = {which(body)[1]: body async for bodies, _ in pages for body in bodies}
    return {(namespace, name): listed.get(name) for name in names}


async def find(here: Session, namespace: str, name: str) -> Body | None:
    """Return a task, or None where there is none."""
    try:
        return await here.connection.get(TASKS.path(namespace, name))
    except NotFoundError:
        return None
