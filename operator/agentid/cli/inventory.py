"""`agentid inventory`: which tasks hold live credentials, whose they are, and when they expire."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import intern

import typer

from agentid.api.names import GROUP
from agentid.cli.errors import NotSeenError, finish
from agentid.cli.holdings import Holding, Inventory, Owners, holding_of
from agentid.cli.inventory_telling import as_json, as_table, summary
from agentid.cli.options import By, ListOutput
from agentid.cli.printing import shown, told
from agentid.cli.progress import Progress
from agentid.cli.selecting import TRIES, Selection, which
from agentid.cli.session import Session, session
from agentid.cli.where import Where
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import AGENTS, TASKS
from agentid.cluster.watching import list_chunks
from agentid.watched.facts import mapping, text


@dataclass(frozen=True, slots=True)
class Question:
    """Which live credentials are asked about.

    Attributes:
        chosen: Of which tasks; whom they are done for is `delegator`.
        owner: Whose agents; None: anybody's.
        delegator: Whom they are done for; None: anybody.
        within: In which time all that a task holds expires; None: at any.
        by: By what they are counted; None: each task is listed.
    """

    chosen: Selection
    owner: str | None = None
    delegator: str | None = None
    within: timedelta | None = None
    by: By | None = None


def run(where: Where, asked: Question, output: ListOutput) -> None:
    """Tell which tasks hold live credentials."""
    finish("inventory", _tell(where, asked, output))


async def _tell(where: Where, asked: Question, output: ListOutput) -> int:
    async with session(where) as here:
        with Progress(time.monotonic()) as progress:
            found = await take(here, asked, progress.tell)
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(as_json(found, asked.by), output))
        return 0
    if output is ListOutput.NAME:
        for each in found.holdings:
            typer.echo(f"agenttask.{GROUP}/{each.task}")
    elif found.holdings:
        wide = output is ListOutput.WIDE
        typer.echo(as_table(found, asked.by, everywhere=where.everywhere, wide=wide))
    for gap in found.gaps:
        typer.echo(f"not known to you: {shown(gap)}", err=True)
    typer.echo(summary(found, here.place), err=True)
    return 0


async def take(here: Session, asked: Question, progress: Callable[[str], None]) -> Inventory:
    """Return the live credentials that are asked about, by the API server's clock, soonest expired first.

    Only what is told of a task is kept: never a page of whole tasks more than one.

    Raises:
        NotSeenError: the caller may not see what the answer takes.
    """
    owners, gap = await _owners(here)
    if gap is not None and asked.owner is not None:
        raise NotSeenError(f"you cannot know {gap}. Ask somebody who may, or ask by --agent")
    now = await here.connection.server_date()
    holdings: list[Holding] = []
    looked_at = 0
    try:
        pages = list_chunks(
            here.connection, TASKS, here.scope, label_selector=asked.chosen.labels, tries=TRIES
        )
        async for bodies, _ in pages:
            fitting = (holding_of(each, now) for each in bodies if asked.chosen.fits(each))
            holdings += [each for each in fitting if each is not None and _fits(each, asked, owners, now)]
            looked_at += len(bodies)
            progress(f"inventory: {looked_at} tasks looked at")
    except ForbiddenError as error:
        raise NotSeenError(f"you may not list agenttasks.{GROUP} {here.place}{here.advice}") from error
    holdings.sort(key=lambda each: (each.expires or now, each.namespace, each.task))
    gaps = [gap] if gap is not None else list(_without_agent(holdings, owners))
    return Inventory(now, holdings, owners, tuple(gaps))


async def _owners(here: Session) -> tuple[Owners, str | None]:
    """Return who answers for each Agent; and what is not known for want of rights."""
    owners = {}
    try:
        async for bodies, _ in list_chunks(here.connection, AGENTS, here.scope, tries=TRIES):
            for each in bodies:
                owners[which(each)] = intern(text(mapping(each.get("spec")).get("owner")))
    except ForbiddenError:
        return {}, f"who owns the agents, as you may not list agents.{GROUP} {here.place}"
    return owners, None


def _fits(holding: Holding, asked: Question, owners: Owners, now: datetime) -> bool:
    return (
        asked.delegator in {None, holding.delegator}
        and asked.owner in {None, owners.get((holding.namespace, holding.agent))}
        and (asked.within is None or holding.expires_by(now + asked.within))
    )


def _without_agent(holdings: Sequence[Holding], owners: Owners) -> Iterator[str]:
    missing = {(each.namespace, each.agent) for each in holdings} - owners.keys()
    for namespace, agent in sorted(missing):
        yield f"who owns Agent {namespace}/{agent}, which is not there"
