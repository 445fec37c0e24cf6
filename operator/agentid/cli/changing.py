"""`agentid suspend`, `resume` and `end`: which tasks are meant, and how what came of them is told."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from agentid.api.agenttask import DesiredState, StateReason
from agentid.api.names import GROUP
from agentid.cli.errors import REFUSED, NotThereError, finish
from agentid.cli.options import ListOutput
from agentid.cli.orders import Order, Outcome, Result
from agentid.cli.printing import shown, table, told
from agentid.cli.progress import Progress
from agentid.cli.selecting import Selection, asker, delegator, live, named, plain_name, standing, which
from agentid.cli.session import Session, session
from agentid.cli.states import carry_out
from agentid.cli.where import Where
from agentid.cluster.connection import Body
from agentid.watched.facts import mapping, text

COMMANDS: Final = {
    DesiredState.SUSPENDED: "suspend",
    DesiredState.ACTIVE: "resume",
    DesiredState.ENDED: "end",
}
_DONE: Final = {
    DesiredState.SUSPENDED: "suspended",
    DesiredState.ACTIVE: "resumed",
    DesiredState.ENDED: "ended",
}
_AT_ONCE: Final = 16


def order(state: str, reason: str, *, dry_run: bool, within_seconds: float) -> Order:
    """Return what is to be done.

    Raises:
        BadParameter: the reason is not as the API server takes it.
    """
    try:
        TypeAdapter(StateReason).validate_python(reason)
    except ValidationError as error:
        said = "must be one line of 1 to 256 characters, without any that cannot be seen"
        raise typer.BadParameter(said, param_hint="--reason") from error
    return Order(DesiredState(state), reason, dry_run=dry_run, within_seconds=within_seconds)


def run(where: Where, chosen: Selection, order: Order, output: ListOutput) -> None:
    """Set the state of the tasks that are meant; exit with 1 if one was refused or is not seen through."""
    finish(COMMANDS[order.state], _change(where, chosen, order, output))


async def _change(where: Where, chosen: Selection, order: Order, output: ListOutput) -> int:
    began = time.monotonic()
    async with session(where) as here:
        meant = await _meant(here, chosen, order)
        tasks = [each for each in meant if not isinstance(each, Outcome)]
        title, total = f"{COMMANDS[order.state]} {len(tasks)} tasks", len(tasks)
        with Progress(began) as progress:

            def tell(through: int) -> None:
                progress.tell(f"{title}: {through} of {total} changed; waiting for the operator")

            changed = iter(await carry_out(here, order, tasks, tell))
    outcomes = [each if isinstance(each, Outcome) else next(changed) for each in meant]
    seconds = time.monotonic() - began
    _show(outcomes, order, output, seconds, everywhere=where.everywhere)
    return REFUSED if any(each.result in {Result.REFUSED, Result.UNSETTLED} for each in outcomes) else 0


async def _meant(here: Session, chosen: Selection, order: Order) -> Sequence[Body | Outcome]:
    """Return the tasks that are meant; of a name that none has, that it is refused.

    Raises:
        NotThereError: no names were given, and there is none.
    """
    if chosen.names:
        gate = asyncio.Semaphore(_AT_ONCE)
        names = dict.fromkeys(map(plain_name, chosen.names))
        return await asyncio.gather(*(_named(here, name, gate) for name in names))
    found = await live(here, chosen)
    if order.state is DesiredState.ACTIVE:
        found = [each for each in found if mapping(each.get("spec")).get("state") == DesiredState.SUSPENDED]
    if found:
        return found
    place = "any namespace" if here.everywhere else f"namespace {here.namespace}"
    kind = "suspended" if order.state is DesiredState.ACTIVE else "live"
    elsewhere = "" if here.everywhere else "; -A looks in all namespaces"
    raise NotThereError(f"there is no {kind} AgentTask {chosen} in {place}{elsewhere}")


async def _named(here: Session, name: str, gate: asyncio.Semaphore) -> Body | Outcome:
    try:
        async with gate:
            return await named(here, name)
    except NotThereError as error:
        task = {"metadata": {"namespace": here.namespace, "name": shown(name)}}
        return Outcome(task, Result.REFUSED, str(error))


def _show(
    outcomes: Sequence[Outcome], order: Order, output: ListOutput, seconds: float, *, everywhere: bool
) -> None:
    done = _DONE[order.state] + (" (dry run)" if order.dry_run else "")
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(_answer(outcomes, order, seconds), output))
        return
    if output is ListOutput.NAME:
        for each in outcomes:
            if each.result is Result.DONE:
                typer.echo(f"agenttask.{GROUP}/{which(each.task)[1]}")
    else:
        typer.echo(_table(outcomes, done, everywhere=everywhere, wide=output is ListOutput.WIDE))
    for each in outcomes:
        if each.message:
            typer.echo(shown(each.message), err=True)
    counts = Counter(done if each.result is Result.DONE else each.result.value for each in outcomes)
    summary = ", ".join(f"{number} {result}" for result, number in counts.items())
    typer.echo(f"{summary} in {seconds:.1f} s", err=True)


def _table(outcomes: Sequence[Outcome], done: str, *, everywhere: bool, wide: bool) -> str:
    head = ["NAMESPACE"] if everywhere else []
    head += ["NAME", "RESULT", "STATUS"]
    head += ["AGENT", "REQUESTER", "ON-BEHALF-OF"] if wide else []
    rows = []
    for each in outcomes:
        namespace, name = which(each.task)
        row = [namespace] if everywhere else []
        result = done if each.result is Result.DONE else each.result.value
        row += [name, result, standing(each.task)]
        row += [shown(each_of) for each_of in _people(each.task)] if wide else []
        rows.append(row)
    return table(head, rows)


def _people(task: Body) -> tuple[str, str, str]:
    spec = mapping(task.get("spec"))
    return (
        text(mapping(spec.get("agentRef")).get("name")),
        asker(spec),
        delegator(task),
    )


def _answer(outcomes: Sequence[Outcome], order: Order, seconds: float) -> JsonValue:
    tasks: list[JsonValue] = []
    for each in outcomes:
        namespace, name = which(each.task)
        agent, requester, delegator = _people(each.task)
        tasks.append(
            {
                "namespace": namespace,
                "name": name,
                "uid": text(mapping(each.task.get("metadata")).get("uid")),
                "result": each.result.value,
                "status": standing(each.task),
                "message": each.message,
                "agent": agent,
                "requester": requester,
                "onBehalfOf": delegator,
            }
        )
    return {"state": order.state.value, "dryRun": order.dry_run, "seconds": round(seconds, 3), "tasks": tasks}
