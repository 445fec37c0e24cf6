"""`agentid policy diff`: which live tasks other policies would permit, and which no longer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.asking import Verdict, action_of, ask, in_force, observe
from agentid.cli.errors import REFUSED, finish
from agentid.cli.options import Output
from agentid.cli.printing import printer, shown, table, told
from agentid.cli.selecting import Selection, live, standing, which
from agentid.cli.session import Session, session
from agentid.cli.sources import Source
from agentid.cli.surroundings import Assumed, Surroundings, look_around
from agentid.cli.telling import task_as_json
from agentid.cli.where import Where
from agentid.cluster.connection import Body
from agentid.lifecycle.model import Observation, PolicyAction
from agentid.lifecycle.permission import asks
from agentid.lifecycle.renewal import renew_at
from agentid.process.clocks import Clock
from agentid.watched.policies import Policies

_HEAD: Final = ("EFFECT", "NAME", "AGENT", "STATUS", "ASKED", "OLD", "NEW")


class Effect(StrEnum):
    """What other policies are to one task."""

    LOSES = "loses"
    """It is allowed, and would not be."""
    GAINS = "gains"
    """It is not allowed, and would be."""
    CHANGES = "changes"
    """It is not allowed, and would not be, for another reason: an approval would now help, or no longer."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be compared.

    Attributes:
        old: The policies as they are.
        new: The policies as they would be.
        labels: A label selector of tasks.
        at: When; None: now.
        assumed: What is said of the installation.
        fails: Whether a difference is exit code 1.
    """

    old: Source
    new: Source
    labels: str | None
    at: datetime | None
    assumed: Assumed
    fails: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """A task for which the policies differ: what it is to the task, and both answers."""

    effect: Effect
    task: Body
    old: Verdict
    new: Verdict


def run(where: Where, asked: Comparison, output: Output) -> None:
    """Compare, and tell it; exit with 0, or with 1 where a difference is to fail and there is one."""
    finish("policy diff", _diff(where, asked, output))


async def _diff(where: Where, asked: Comparison, output: Output) -> int:
    async with session(where) as here:
        tasks = await live(here, Selection(labels=asked.labels))
        around = await look_around(here, tasks, asked.assumed)
        old, new = [await _policies(each, here) for each in (asked.old, asked.new)]
    now = asked.at or Clock().now()
    found, unasked, gaps = compare(tasks, around, (old, new), now)
    if output is Output.TEXT:
        _show(found, len(tasks), unasked, gaps, everywhere=where.everywhere)
    else:
        typer.echo(told(_answer(found, len(tasks), unasked, gaps, now), output))
    return REFUSED if found and asked.fails else 0


async def _policies(source: Source, here: Session) -> Policies:
    return await source.policies(here, here.namespace, here.scope)


def compare(
    tasks: Sequence[Body], around: Surroundings, policies: tuple[Policies, Policies], now: datetime
) -> tuple[list[Difference], int, list[str]]:
    """Return the differences, of how many tasks nothing could be asked, and what is not known."""
    found: list[Difference] = []
    unasked = 0
    gaps: dict[str, None] = {}
    for task in tasks:
        observation = observe(task, around, now)
        namespace = observation.task.namespace
        old, new = (in_force(each, around, namespace) for each in policies)
        for then in _moments(observation):
            action = action_of(then)
            verdicts = ask(then, action, old, around), ask(then, action, new, around)
            gaps |= dict.fromkeys([*verdicts[0].gaps, *verdicts[1].gaps])
            if verdicts[0].answer is None:
                unasked += 1
                break
            if (effect := effect_of(*verdicts)) is not None:
                found.append(Difference(effect, task, *verdicts))
                break
    return sorted(found, key=lambda each: list(Effect).index(each.effect)), unasked, list(gaps)


def effect_of(old: Verdict, new: Verdict) -> Effect | None:
    """Return what the other answer is to the task; None: it comes to the same."""
    went_on, goes_on = (each.allowed and not _is_last(each) for each in (old, new))
    if old.outcome == new.outcome and went_on == goes_on:
        return None
    if went_on:
        return Effect.LOSES
    return Effect.GAINS if goes_on else Effect.CHANGES


def _is_last(verdict: Verdict) -> bool:
    """Whether a renewal is due that no rule permits, so that the task ends with the credential it has."""
    due, answer = renew_at(verdict.observation), verdict.answer
    is_due = due is not None and due <= verdict.observation.now and verdict.action is PolicyAction.RENEW
    return is_due and answer is not None and answer.judgement.action is not PolicyAction.RENEW


def _moments(observation: Observation) -> Iterator[Observation]:
    """Yield what the operator asks about now, and what it asks about next: a running task at its renewal."""
    yield observation
    spec, due = observation.task.spec, renew_at(observation)
    goes_on = spec is not None and spec.credential.renew and asks(observation) is not None
    if goes_on and due is not None and due > observation.now:
        yield replace(observation, now=due)


def _show(
    found: Sequence[Difference], total: int, unasked: int, gaps: Sequence[str], *, everywhere: bool
) -> None:
    out = printer()
    if found:
        head = [
            *(["NAMESPACE"] if everywhere else []),
            "EFFECT",
            "NAME",
            "AGENT",
            "STATUS",
            "ASKED",
            "OLD",
            "NEW",
        ]
        rows = [_row(each, everywhere=everywhere) for each in found]
        typer.echo(table(head, rows))
        for each in found:
            typer.echo(f"{which(each.task)[1]}: {shown(each.new.message)}")
    counts = [f"{sum(each.effect is effect for each in found)} {effect.value}" for effect in Effect]
    said = f"{total} live tasks: {', '.join(counts)}, {total - len(found) - unasked} as before"
    out.print(said + (f", {unasked} not to be asked about" if unasked else ""), style="bold", markup=False)
    for gap in gaps:
        out.print(f"not known to you: {gap}", markup=False)


def _row(each: Difference, *, everywhere: bool) -> list[str]:
    namespace, name = which(each.task)
    spec = each.old.observation.task.spec
    return [
        *([namespace] if everywhere else []),
        each.effect.value,
        name,
        spec.agent_ref.name if spec is not None else "",
        standing(each.task),
        each.new.action.value,
        each.old.outcome,
        each.new.outcome,
    ]


def _answer(
    found: Sequence[Difference], total: int, unasked: int, gaps: Sequence[str], now: datetime
) -> JsonValue:
    differences: list[JsonValue] = [
        {
            "effect": each.effect.value,
            "task": task_as_json(*which(each.task), each.old.observation.task.spec),
            "status": standing(each.task),
            "action": each.new.action.value,
            "old": {"outcome": each.old.outcome, "message": each.old.message},
            "new": {"outcome": each.new.outcome, "message": each.new.message},
        }
        for each in found
    ]
    return {
        "at": format_time(now),
        "liveTasks": total,
        "notAsked": unasked,
        "differences": differences,
        "notKnown": list(gaps),
    }
