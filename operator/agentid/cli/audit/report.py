"""`agentid report`: what each agent was given, how its tasks ended, and what follows from that."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import typer

from agentid.cli.audit import doubts
from agentid.cli.audit.advice import Ceiling
from agentid.cli.audit.reading import Reading
from agentid.cli.audit.report_telling import Told, as_json, rows, title_of
from agentid.cli.audit.source import Opened, Source, opened
from agentid.cli.audit.tally import Key, Tallies
from agentid.cli.errors import finish
from agentid.cli.options import Output
from agentid.cli.printing import paragraphs, printer, told
from agentid.cli.progress import Progress
from agentid.cli.selecting import TRIES, which
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import AGENTS
from agentid.cluster.watching import list_chunks
from agentid.watched.facts import mapping


@dataclass(frozen=True, slots=True)
class Question:
    """Of which agent, and from when on; None: of all, and from the beginning."""

    agent: str | None
    since: datetime | None


def run(source: Source, asked: Question, output: Output) -> None:
    """Report on agents."""
    finish("report", _report(source, asked, output))


async def _report(source: Source, asked: Question, output: Output) -> int:
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            ceilings, gaps = await _ceilings(ledger)
            reading = Reading(ledger.parcels, progress.tell)
            tallies = Tallies(asked.agent, ledger.tasks_in, asked.since)
            async for part in reading.parts():
                for each in part.records:
                    tallies.take(each.record)
    notes = [*doubts.notes_of(reading), *tallies.reports.notes()]
    watched = tallies.reports.is_any
    found = [Told(key, tally, ceilings.get(key), watched) for key, tally in sorted(tallies.of.items())]
    if output is not Output.TEXT:
        typer.echo(told(as_json(found, asked.since, reading.ends, [*gaps, *notes]), output))
        return doubts.tell(reading, notes)
    console = printer()
    for number, about in enumerate(found):
        if number:
            typer.echo()
        paragraphs(*title_of(about), list(rows(about)), console)
    if not found:
        typer.echo(f"no record of such an agent {doubts.until_told(reading)}", err=True)
    return doubts.tell(reading, [*gaps, *notes])


async def _ceilings(ledger: Opened) -> tuple[Mapping[Key, Ceiling], list[str]]:
    """Return what the Agents may have at most now; and what is not known of that."""
    if ledger.here is None:
        return {}, ["what the Agents list is not in the ledger, so it is not compared with what was given"]
    found = {}
    try:
        async for bodies, _ in list_chunks(ledger.here.connection, AGENTS, ledger.tasks_in, tries=TRIES):
            found.update({which(each): Ceiling.of(mapping(each.get("spec"))) for each in bodies})
    except ForbiddenError:
        where = ledger.here.place
        return {}, [
            f"what the Agents list is not known to you, as you may not list agents.agentid.dev {where}"
        ]
    return found, []
