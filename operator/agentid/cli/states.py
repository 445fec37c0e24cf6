"""Sets the state of tasks, one or many at once, and sees each through until the operator has acted on it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from agentid.api.agenttask import DesiredState
from agentid.api.names import API_VERSION
from agentid.cli.selecting import condition, is_over, standing, which
from agentid.cli.session import Session, who_am_i
from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    ApiAnswerError,
    ConflictError,
    FixedFieldError,
    NotFoundError,
    PassingError,
)
from agentid.cluster.paths import TASKS
from agentid.cluster.watching import list_chunks
from agentid.controller.facts import mapping, text

_AT_ONCE: Final = 16
_TRIES: Final = 4
_POLL_SECONDS: Final = 0.5
_POLL_SECONDS_A_TASK: Final = 0.003
"""To look at many takes the API server longer, and it is what they wait for."""
_LIST_FROM: Final = 20
"""From so many tasks on in one namespace, all are looked at by a list rather than one by one."""


class Result(StrEnum):
    """What came of one task."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNSETTLED = "unsettled"
    """It was changed, and the operator has not acted on it in time."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with tasks.

    Attributes:
        state: What they are set to.
        reason: Why, for people.
        dry_run: The API server looks at each change as if it were made, and makes none.
        within_seconds: How long to wait while the operator acts on none of them; 0: not at all.
    """

    state: DesiredState
    reason: str
    dry_run: bool = False
    within_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task: as it was last seen, and why it is not as was asked for."""

    task: Body
    result: Result
    message: str = ""


async def carry_out(
    here: Session, order: Order, tasks: Sequence[Body], progress: Callable[[int], None]
) -> list[Outcome]:
    """Set the state of each task; returns what came of each, in their order.

    Args:
        here: The cluster.
        order: What is to be done.
        tasks: The tasks as they were seen.
        progress: Told how many are through, again and again.
    """
    settled = [already(order, each) for each in tasks]
    if any(each is None for each in settled):
        # An API server that does not stamp wants it typed; one that does writes over it.
        me, _ = await who_am_i(here)
        gate = asyncio.Semaphore(_AT_ONCE)
        through = 0

        async def change(task: Body) -> Outcome:
            nonlocal through
            async with gate:
                outcome = await _set(here, order, task, me)
            through += 1
            progress(through)
            return outcome

        to_do = [each for each, known in zip(tasks, settled, strict=True) if known is None]
        changed = iter(await asyncio.gather(*map(change, to_do)))
        settled = [next(changed) if known is None else known for known in settled]
    outcomes = [each for each in settled if each is not None]
    if order.dry_run or not order.within_seconds:
        return outcomes
    return await _seen_through(here, order, outcomes)


def already(order: Order, task: Body) -> Outcome | None:
    """Return what is to be said of a task that is as was asked for, or can't be any more; else None."""
    name = "/".join(which(task))
    state = text(mapping(task.get("spec")).get("state")) or DesiredState.ACTIVE
    if order.state is DesiredState.ENDED and (is_over(task) or state == DesiredState.ENDED):
        return Outcome(task, Result.UNCHANGED, f"AgentTask {name} has ended already")
    if is_over(task) or state == DesiredState.ENDED:
        said = f"AgentTask {name} has ended ({_end(task)}), which is final. Create a new AgentTask."
        return Outcome(task, Result.REFUSED, said)
    if state == order.state:
        return Outcome(task, Result.UNCHANGED, f"AgentTask {name} is {state} already{_set_by(task)}")
    return None


def _end(task: Body) -> str:
    if condition(task, "Finished").get("status") == "True":
        return standing(task)
    return "it is being deleted" if "deletionTimestamp" in mapping(task.get("metadata")) else "state Ended"


def _set_by(task: Body) -> str:
    spec = mapping(task.get("spec"))
    who, why = text(mapping(spec.get("stateChangedBy")).get("username")), text(spec.get("stateReason"))
    return (f", set by {who}" if who and why else "") + (f": {why}" if why else "")


async def _set(here: Session, order: Order, task: Body, me: str) -> Outcome:
    """Set the state of one task, only while it is the one that was seen."""
    namespace, name = which(task)
    body = {
        "apiVersion": API_VERSION,
        "kind": TASKS.kind,
        "metadata": {"uid": mapping(task.get("metadata")).get("uid")},
        "spec": {
            "state": order.state.value,
            "stateReason": order.reason,
            "stateChangedBy": {"username": me},
        },
    }
    params = {"dryRun": "All"} if order.dry_run else None
    for attempt in range(1, _TRIES + 1):
        try:
            changed = await here.connection.merge(TASKS.path(namespace, name), body, params)
            return Outcome(changed, Result.DONE)
        except PassingError as error:
            # To do it again does no harm, where it was done after all.
            if attempt == _TRIES:
                return Outcome(task, Result.REFUSED, f"AgentTask {namespace}/{name}: {error}")
            await asyncio.sleep(attempt)
        except ApiAnswerError as error:
            return Outcome(task, Result.REFUSED, _refusal(namespace, name, error))
    raise AssertionError("the last attempt returns")


def _refusal(namespace: str, name: str, error: ApiAnswerError) -> str:
    where = f"AgentTask {namespace}/{name}"
    if isinstance(error, NotFoundError):
        return f"{where} is gone"
    # To a custom resource, another UID in a patch is a change of what never changes.
    if isinstance(error, ConflictError | FixedFieldError):
        return f"{where} is another one by now: the one that was meant is gone. Look again."
    return f"{where}: {text(error.status.get('message')) or error}"


async def _seen_through(here: Session, order: Order, outcomes: list[Outcome]) -> list[Outcome]:
    """Wait until the operator has acted on each change, and return what came of each."""
    until = time.monotonic() + order.within_seconds
    waiting = {which(each.task): each for each in outcomes if each.result is Result.DONE}
    seen: dict[tuple[str, str], Outcome] = {}
    while waiting:
        for key, task in (await _as_they_are(here, waiting)).items():
            if (known := settled_as(waiting[key].task, task)) is not None:
                seen[key] = known
                del waiting[key]
                # One that works through many is not late.
                until = time.monotonic() + order.within_seconds
        if waiting and time.monotonic() > until:
            said = (
                f"was changed, but no operator has acted on it in {order.within_seconds:g} s; "
                "`agentid doctor` says what is wrong"
            )
            late = {
                key: replace(each, result=Result.UNSETTLED, message=f"AgentTask {'/'.join(key)} {said}")
                for key, each in waiting.items()
            }
            seen, waiting = seen | late, {}
        elif waiting:
            await asyncio.sleep(_POLL_SECONDS + len(waiting) * _POLL_SECONDS_A_TASK)
    return [seen.get(which(each.task), each) for each in outcomes]


def settled_as(changed: Body, now: Body | None) -> Outcome | None:
    """Return what came of a task once the operator has acted on a change of it; None: not yet.

    Args:
        changed: The task as it was answered to the change.
        now: The task as it is; None: gone.
    """
    metadata = mapping(changed.get("metadata"))
    if now is None or mapping(now.get("metadata")).get("uid") != metadata.get("uid"):
        return Outcome(changed, Result.DONE, "it is gone")
    decided = mapping(now.get("status")).get("observedGeneration")
    if not isinstance(decided, int) or decided < int(metadata.get("generation") or 0):
        return None
    return Outcome(now, Result.DONE)


async def _as_they_are(here: Session, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Body | None]:
    """Return tasks as they are now; None for one that is gone. What cannot be seen just now is left out."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in keys:
        by_namespace.setdefault(namespace, []).append(name)
    found: dict[tuple[str, str], Body | None] = {}
    for namespace, names in by_namespace.items():
        try:
            found |= await _in_namespace(here, namespace, names)
        except PassingError:
            continue
    return found


async def _in_namespace(
    here: Session, namespace: str, names: list[str]
) -> dict[tuple[str, str], Body | None]:
    if len(names) < _LIST_FROM:
        bodies = await asyncio.gather(*(_find(here, namespace, name) for name in names))
        return {(namespace, name): body for name, body in zip(names, bodies, strict=True)}
    pages = list_chunks(here.connection, TASKS, namespace)
    listed = {which(body)[1]: body async for bodies, _ in pages for body in bodies}
    return {(namespace, name): listed.get(name) for name in names}


async def _find(here: Session, namespace: str, name: str) -> Body | None:
    try:
        return await here.connection.get(TASKS.path(namespace, name))
    except NotFoundError:
        return None
