"""`agentid discover`: standing credentials that tasks should replace, by the metadata of Secrets alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import typer

from agentid.api.names import GROUP
from agentid.cli.discover_telling import as_json, as_table, next_steps, summary
from agentid.cli.errors import REFUSED, NotSeenError, finish
from agentid.cli.mounted_secrets import Name, Users, accounts_of
from agentid.cli.options import ListOutput
from agentid.cli.printing import paragraphs, printer, shown, told
from agentid.cli.progress import Progress
from agentid.cli.selecting import TRIES
from agentid.cli.session import Session, session
from agentid.cli.standing_secrets import TYPES, Discovery, Finding, Kind, finding_of, is_standing
from agentid.cli.where import Where
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import AGENTS, PODS, SECRETS
from agentid.cluster.watching import list_chunks


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for.

    Attributes:
        least: How old what an agent's pod refers to has to be.
        fails: Whether findings, and what could not be seen, are exit code 1.
    """

    least: timedelta
    fails: bool


def run(where: Where, asked: Question, output: ListOutput) -> None:
    """Look, and tell it; exit with 0, or with 1 where findings are to fail and there are any."""
    finish("discover", _tell(where, asked, output))


async def _tell(where: Where, asked: Question, output: ListOutput) -> int:
    async with session(where) as here:
        with Progress(time.monotonic()) as progress:
            found = await look(here, asked.least, progress.tell)
    code = REFUSED if asked.fails and (found.findings or found.gaps) else 0
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(as_json(found), output))
        return code
    if output is ListOutput.NAME:
        for each in found.findings:
            typer.echo(f"secret/{each.secret}")
    elif found.findings:
        wide = output is ListOutput.WIDE
        typer.echo(as_table(found, everywhere=where.everywhere, wide=wide))
        paragraphs("What to do instead", "bold", list(next_steps(found.findings)), printer())
    for gap in found.gaps:
        typer.echo(f"not known to you: {shown(gap)}", err=True)
    typer.echo(summary(found, asked.least, here.place), err=True)
    return code


async def look(here: Session, least: timedelta, progress: Callable[[str], None]) -> Discovery:
    """Return the standing credentials, by the API server's clock.

    Of Secrets, only the metadata of those of each type is asked for: no contents leave the API server.

    Raises:
        NotSeenError: the caller may not list Secrets, so that nothing could be looked at.
    """
    now = await here.connection.server_date()
    gaps: list[str] = []
    users = Users(await _accounts(here, gaps))
    agents_known = not gaps
    await _take_pods(here, users, gaps, progress)
    found: list[Finding] = []
    looked_at = 0
    for kind in TYPES:
        findings, number = await _of_kind(here, kind, users, now)
        found += findings
        looked_at += number
        progress(f"discover: {looked_at} Secrets looked at")
    standing = [each for each in found if is_standing(each, least)]
    standing.sort(key=lambda each: (each.namespace, list(Kind).index(each.kind), each.secret))
    return Discovery(
        at=now,
        findings=standing,
        younger=len(found) - len(standing),
        secrets=looked_at,
        pods=users.pods,
        agents_known=agents_known,
        gaps=tuple(gaps),
    )


async def _accounts(here: Session, gaps: list[str]) -> dict[Name, tuple[str, ...]]:
    """Return the Agents of each service account; who may not list Agents is told what is missing for it."""
    accounts: dict[Name, tuple[str, ...]] = {}
    try:
        async for bodies, _ in list_chunks(here.connection, AGENTS, here.scope, tries=TRIES):
            for account, agent in (pair for body in bodies for pair in accounts_of(body)):
                accounts[account] = (*accounts.get(account, ()), agent)
    except ForbiddenError:
        gaps.append(
            f"which service accounts are agents', as you may not list agents.{GROUP} {here.place}: only pods "
            "with the label of a task or template count as theirs"
        )
    return accounts


async def _take_pods(here: Session, users: Users, gaps: list[str], progress: Callable[[str], None]) -> None:
    looked_at = 0
    try:
        async for bodies, _ in list_chunks(here.connection, PODS, here.scope, tries=TRIES):
            for body in bodies:
                users.take(body)
            looked_at += len(bodies)
            progress(f"discover: {looked_at} pods looked at")
    except ForbiddenError:
        gaps.append(
            f"which Secrets agents use, as you may not list pods {here.place}: only tokens of service "
            "accounts are told"
        )


async def _of_kind(here: Session, kind: Kind, users: Users, now: datetime) -> tuple[list[Finding], int]:
    found: list[Finding] = []
    number = 0
    try:
        pages = list_chunks(
            here.connection, SECRETS, here.scope, secret_type=TYPES[kind], metadata_only=True, tries=TRIES
        )
        async for bodies, _ in pages:
            findings = (finding_of(each, kind, users, now) for each in bodies)
            found += [each for each in findings if each is not None]
            number += len(bodies)
    except ForbiddenError as error:
        raise NotSeenError(
            f"you may not list secrets {here.place}, whose metadata this takes; nothing could be looked at"
            + here.advice
        ) from error
    return found, number
