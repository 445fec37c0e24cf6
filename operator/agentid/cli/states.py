"""Sets the state of tasks, one or many at once, and sees each through until the operator has acted on it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from agentid.api.agenttask import DesiredState
from agentid.api.names import API_VERSION
from agentid.cli.orders import Order, Outcome, Result
from agentid.cli.selecting import how_it_ended, is_over, which
from agentid.cli.session import Session, who_am_i
from agentid.cli.settling import find, has_followed, seen_through
from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AdmissionRefusedError,
    ApiAnswerError,
    ConflictError,
    FixedFieldError,
    NotFoundError,
    PassingError,
)
from agentid.cluster.paths import TASKS
from agentid.watched.facts import mapping, text

_AT_ONCE: Final = 16
_TRIES: Final = 4


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
    me, _ = await who_am_i(here)
    settled = [already(order, each, me) for each in tasks]
    if any(each is None for each in settled):
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
    return await seen_through(here, order, outcomes)


def already(order: Order, task: Body, me: str) -> Outcome | None:
    """Return what is to be said of a task that is as was asked for, or can't be any more; else None.

    One that somebody set so a moment ago is done only when the operator has acted on it. A suspension by
    somebody else than `me` is not what was asked for: who suspended a task may take that back.
    """
    name, ending = "/".join(which(task)), order.state is DesiredState.ENDED
    state = text(mapping(task.get("spec")).get("state")) or DesiredState.ACTIVE
    if is_over(task) and ending:
        return Outcome(task, Result.UNCHANGED, f"AgentTask {name} has ended already")
    if is_over(task) or (state == DesiredState.ENDED and not ending):
        said = f"AgentTask {name} has ended ({how_it_ended(task)}), which is final. Create a new AgentTask."
        return Outcome(task, Result.REFUSED, said)
    if state != order.state or (order.state is DesiredState.SUSPENDED and _suspender(task) != me):
        return None
    said = f"AgentTask {name} is {state} already{_set_by(task)}"
    if not has_followed(task, task):
        return Outcome(task, Result.DONE, f"{said}; the operator has not acted on it yet")
    return Outcome(task, Result.UNCHANGED, f"AgentTask {name} has ended already" if ending else said)


def _suspender(task: Body) -> str:
    return text(mapping(mapping(task.get("spec")).get("stateChangedBy")).get("username"))


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
            # An API server that does not stamp wants it typed; one that does writes over it.
            "stateChangedBy": {"username": me},
        },
    }
    params = {"dryRun": "All"} if order.dry_run else None
    for attempt in range(1, _TRIES + 1):
        try:
            changed = await here.connection.merge(TASKS.path(namespace, name), body, params)
            if order.state is DesiredState.SUSPENDED and _suspender(changed) != me:
                return Outcome(changed, Result.REFUSED, _still_anothers(namespace, name, changed))
            return Outcome(changed, Result.DONE)
        except (ConflictError, PassingError) as error:
            if isinstance(error, ConflictError) and await _is_another(here, task):
                return Outcome(task, Result.REFUSED, _refusal(namespace, name, error))
            # To do it again does no harm, where it was done after all.
            if attempt == _TRIES:
                return Outcome(task, Result.REFUSED, f"AgentTask {namespace}/{name}: {error}")
            await asyncio.sleep(attempt)
        except ApiAnswerError as error:
            ends = _which_ends_it(order, task) if isinstance(error, AdmissionRefusedError) else ""
            return Outcome(task, Result.REFUSED, _refusal(namespace, name, error) + ends)
    raise AssertionError("the last attempt returns")


async def _is_another(here: Session, task: Body) -> bool:
    """Whether the task that was seen is gone; False where nobody says, as its UID goes with each change."""
    try:
        now = await find(here, *which(task))
    except ApiAnswerError:
        return False
    return mapping((now or {}).get("metadata")).get("uid") != mapping(task.get("metadata")).get("uid")


def _still_anothers(namespace: str, name: str, task: Body) -> str:
    # Nothing was changed by the same words.
    return (
        f"AgentTask {namespace}/{name} is Suspended by {_suspender(task)}, who may take that back, for just "
        "this reason. Give another --reason, which makes the suspension yours."
    )


def _which_ends_it(order: Order, task: Body) -> str:
    # Who may not take over a suspension that somebody else can take back has this left.
    state = text(mapping(task.get("spec")).get("state"))
    namespace, name = which(task)
    is_both = order.state is DesiredState.SUSPENDED and state == DesiredState.SUSPENDED
    return f"; `agentid end {name} -n {namespace} --reason …` ends it for good" if is_both else ""


def _refusal(namespace: str, name: str, error: ApiAnswerError) -> str:
    where = f"AgentTask {namespace}/{name}"
    if isinstance(error, NotFoundError):
        return f"{where} is gone"
    # To a custom resource, another UID in a patch is a change of what never changes.
    if isinstance(error, ConflictError | FixedFieldError):
        return f"{where} is another one by now: the one that was meant is gone. Look again."
    return f"{where}: {text(error.status.get('message')) or error}"
