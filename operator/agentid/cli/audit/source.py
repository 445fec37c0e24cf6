"""Where a ledger is read from: the cluster, with the caller's own rights, or files and no cluster at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from agentid.api.names import OPERATOR_LEASE
from agentid.cli.audit.files import parcels_in
from agentid.cli.audit.parcels import BatchObject, Parcel
from agentid.cli.errors import CommandError
from agentid.cli.rights import reading
from agentid.cli.selecting import which
from agentid.cli.session import Session, session
from agentid.cli.where import Where
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.paths import LEASES, LEDGER_BATCHES
from agentid.cluster.watching import list_chunks

AUDITOR: Final = "agentid-auditor"
"""The chart's ClusterRole that lets its holder read the ledger."""
USUAL_NAMESPACE: Final = "agentid-system"
"""Where an operator is looked for by who may not see where its Lease is."""
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Which ledger is meant.

    Attributes:
        where: The cluster, and the namespace of tasks that the command is about.
        namespace: Where the operator keeps it; None: where its Lease is.
        files: Files to read instead; none: the cluster.
    """

    where: Where
    namespace: str | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that can be read, once.

    Attributes:
        parcels: What it comes in.
        here: The cluster; None: it is read from files.
        namespace: Where in the cluster it is; empty: it is read from files.
        now: The API server's time when it was opened; None: it is read from files, which end somewhere.
        tasks_in: Namespace of the tasks that are meant; None: all.
    """

    parcels: AsyncIterator[Parcel]
    here: Session | None
    namespace: str
    now: datetime | None
    tasks_in: str | None


@asynccontextmanager
async def opened(source: Source) -> AsyncIterator[Opened]:
    """Open a ledger for the time of the block.

    Raises:
        NotSeenError: the caller may not read it.
        CommandError: it cannot be told where it is.
    """
    if source.files:
        yield Opened(_from_files(source.files), None, "", None, source.where.namespace)
        return
    async with session(source.where) as here:
        namespace = source.namespace or await _home(here)
        now = await here.connection.server_date()
        yield Opened(batches(here, namespace), here, namespace, now, here.scope)


async def batches(here: Session, namespace: str) -> AsyncIterator[BatchObject]:
    """Yield the batches of that namespace in their order, page by page.

    Raises:
        NotSeenError: the caller may not read them.
    """
    there = Session(here.connection, namespace, everywhere=False)
    with reading(there, f"list ledgerbatches.{LEDGER_BATCHES.group}", AUDITOR):
        async for page in store(here, namespace).pages():
            for body in page:
                yield BatchObject.of(body)


def store(here: Session, namespace: str) -> LedgerStore:
    """Return the batches of a namespace, to be read only."""
    return LedgerStore(here.connection, namespace, _never_written)


def _never_written() -> float:
    raise CommandError("a command writes nothing into the ledger")


async def _from_files(files: tuple[Path, ...]) -> AsyncIterator[Parcel]:
    for number, each in enumerate(parcels_in(files)):
        yield each
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def _home(here: Session) -> str:
    """Return where the operator keeps its ledger.

    Anybody may make a Lease of that name; only the operator's own namespace has batches.
    """
    try:
        pages = list_chunks(here.connection, LEASES, None, name=OPERATOR_LEASE, metadata_only=True)
        found = sorted({which(body)[0] async for bodies, _ in pages for body in bodies})
        if len(found) > 1:
            found = [each for each in found if await _has_batches(here, each)]
    except ForbiddenError:
        return USUAL_NAMESPACE
    if len(found) > 1:
        raise CommandError(
            f"operators have been in {', '.join(found)}; say whose ledger is meant with --ledger-namespace"
        )
    return found[0] if found else USUAL_NAMESPACE


async def _has_batches(here: Session, namespace: str) -> bool:
    answer = await here.connection.get(LEDGER_BATCHES.path(namespace), {"limit": "1"})
    return bool(answer.get("items"))
