"""The ledger as this operator knows it: read and checked at a takeover, made whole, and then gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from agentid.api.names import LEDGER_KEY_SECRET
from agentid.cluster.ledger_key_store import LedgerKeyStore, StoredLedgerKey
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.reads import Reads
from agentid.controller.ledger_check import first_wrong
from agentid.controller.ledger_followers import Follower
from agentid.controller.ledger_upkeep import LedgerUpkeep
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.unrecorded import Comparison, tasks_that_go_on
from agentid.controller.world import World
from agentid.errors import AgentidError
from agentid.ledger.batch import GENESIS, Batch
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.errors import LedgerBrokenError, LedgerError
from agentid.ledger.finding import Finding
from agentid.ledger.inventory import Inventory
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import LedgerKind, Record, ledger_started
from agentid.ledger.retention import KeptBatch, Retention
from agentid.lifecycle.journal import Kind
from agentid.lifecycle.model import Blocked

_log = structlog.get_logger("agentid.ledger")

_RETRY_SECONDS: Final = 2.0


class Ledger:
    """What passes record in. On duty it is read once, and what a predecessor left unrecorded is recorded."""

    def __init__(  # noqa: PLR0913, PLR0917 - where it is, what it is compared with, and who is told
        self,
        store: LedgerStore,
        keys: LedgerKeyStore,
        writer: LedgerWriter,
        upkeep: LedgerUpkeep,
        retention: Retention,
        world: World,
        reads: Reads,
        followers: Sequence[Follower],
        *,
        trust_domain: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._keys = keys
        self._writer = writer
        self._upkeep = upkeep
        self._retention = retention
        self._world = world
        self._reads = reads
        self._followers = followers
        self._trust_domain = trust_domain
        self._clock = clock
        self._due = asyncio.Event()
        self._on_duty = False
        self._problem = ""
        self._broken = False
        self._ended: set[str] = set()

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing can be recorded, so that nothing may be issued; None while it is read."""
        if problem := self._problem or self._upkeep.broken:
            return Blocked(f"nothing is issued: the ledger can't be used: {problem}")
        return self._writer.blocked

    @property
    def is_read(self) -> bool:
        """Whether it was compared with the statuses: what they lose from then on is for who sees it."""
        return self._on_duty and not self._due.is_set()

    def has_ended(self, uid: str) -> bool:
        """Whether it held the end of that task when it was read, which went on as far as was known then."""
        return uid in self._ended

    @property
    def is_whole(self) -> bool:
        """Whether nothing was wrong with its chain when it was last looked through."""
        return not (self._broken or self._upkeep.broken)

    async def append(self, record: bytes, undo: Callable[[], bytes] | None = None) -> None:
        """Have `record` written, and wait until it is durable.

        Raises:
            LedgerUnavailableError: it is not known to be.
            NotLeadingError: another operator may be the active one by now.
        """
        await self._writer.append(record, undo)

    def note(self, record: bytes) -> None:
        """Have `record` written, however long it takes; whoever is on duty next finds what is left."""
        if self._on_duty:
            self._writer.note(record)

    def take_over(self) -> None:
        """Read it and go on with it; what is to be recorded waits until then."""
        self._on_duty = True
        self._due.set()

    def step_down(self) -> None:
        """Let go of it."""
        self._on_duty = False
        self._due.clear()
        self._problem, self._broken = "", False
        self._upkeep.stop()
        self._writer.stop()

    @property
    def waiting(self) -> int:
        """How many records are not durable yet."""
        return self._writer.waiting

    async def drain(self) -> None:
        """Wait until all that was to be recorded is."""
        await self._writer.drain()

    async def run(self) -> None:
        """Read it whenever that is due, and write, until cancelled.

        Raises:
            LedgerOvertakenError: another operator has written to the chain; this one has to start again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._writer.run())
                group.create_task(self._keep_read())
                group.create_task(self._upkeep.run())
        except BaseExceptionGroup as failed:
            # Whoever ends the process says the one reason in one sentence, and waits for no record any more.
            self.step_down()
            self._problem = str(failed.exceptions[0])
            raise failed.exceptions[0] from None

    async def _keep_read(self) -> None:
        while True:
            await self._due.wait()
            try:
                await self._read()
            except AgentidError as error:
                self._problem, self._broken = str(error), isinstance(error, LedgerError)
                _log.error("ledger not read", error=str(error), retry_seconds=_RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _read(self) -> None:
        """Read the chain, check it, record what was left unrecorded, and go on with it.

        Raises:
            ClusterError: it could not be read.
            LedgerError: it is not whole, or not this operator's.
        """
        stored = await self._keys.load_or_create()
        read = await self._read_batches(stored)
        comparison = Comparison(read.inventory, self._world)
        await comparison.look(self._reads, self._clock())
        if not self._due.is_set():
            return
        now, head = self._clock(), read.last.head if read.last is not None else GENESIS
        key = _signing(stored, read.signer)
        # What waits to be written is as good as written: it is not found a second time.
        read.inventory.feed(Record.parse(each) for each in self._writer.noted())
        first = [] if read.last is not None else [ledger_started(now, key.public, self._trust_domain)]
        self._upkeep.begin(stored, read.began or now, read.last)
        for follower in self._followers:
            follower.begun(read.first or 1, head.sequence, read.inventory)
        self._writer.begin(head, key, [*first, *comparison.unrecorded(now)])
        self._due.clear()
        self._problem, self._broken, self._ended = "", False, read.ended
        _log.info("ledger read", batches=len(self._retention), sequence=head.sequence)

    async def _read_batches(self, stored: StoredLedgerKey) -> _Read:
        """Read and check all that there is.

        Raises:
            ClusterError: it could not be read.
            LedgerError: it is not whole, or not signed by this operator's key.
        """
        self._retention.clear()
        keys = [LedgerKey.from_pem(each) for each in (stored.current, stored.following) if each is not None]
        known = KnownHead.from_json(stored.head) if stored.head is not None else None
        chain = ChainVerifier(keys=[key.public for key in keys], known=known)
        read = _Read(Inventory(self._clock()), tasks_that_go_on(self._world))
        async for page in self._store.pages():
            for body in page:
                checked = chain.feed(body["metadata"]["name"], body.get("spec"))
                _refuse(checked.findings)
                if checked.batch is not None:
                    self._retention.add(KeptBatch.of(checked.batch, body["metadata"]["uid"], checked.records))
                    read.take(checked.batch, checked.records)
            # Ends go on meanwhile.
            await asyncio.sleep(0)
        if read.last is not None or known is not None:
            _refuse(chain.finish()[1])
        read.signer = chain.signer
        return read


@dataclass(slots=True)
class _Read:
    """What was read: what is out, when the first of all was made, first and last, who signs the next.

    `ended` has those of the tasks that `go_on`, as far as is known, that have ended by it.
    """

    inventory: Inventory
    go_on: set[str]
    ended: set[str] = field(default_factory=set)
    began: datetime | None = None
    first: int | None = None
    last: Batch | None = None
    signer: str | None = None

    def take(self, batch: Batch, records: Iterable[Record]) -> None:
        """Take in the next batch."""
        self.first, self.last = self.first or batch.sequence, batch
        self.inventory.feed(records)
        for record in records:
            if record.kind == Kind.ENDED and record.text("uid") in self.go_on:
                self.ended.add(record.text("uid"))
            if self.began is None and record.kind == LedgerKind.LEDGER_STARTED:
                self.began = record.at
            elif self.began is None and record.kind == LedgerKind.CHECKPOINT:
                self.began = record.time("started")


def _signing(stored: StoredLedgerKey, signer: str | None) -> LedgerKey:
    """Return the key that signs what comes next: where a rotation is recorded, the one that follows.

    Args:
        stored: What is stored.
        signer: The ID of the key that the chain names; None: it has no batch yet.

    Raises:
        LedgerBrokenError: what comes next has to be signed by a key that is not there.
    """
    keys = [LedgerKey.from_pem(each) for each in (stored.current, stored.following) if each is not None]
    for key in keys:
        if signer is None or key.key_id == signer:
            return key
    raise LedgerBrokenError(
        f"key {signer} has to sign what comes next, and Secret {LEDGER_KEY_SECRET} holds another; "
        "restore it from a backup (docs/operations.md)"
    )


def _refuse(findings: Iterable[Finding]) -> None:
    if wrong := first_wrong(findings):
        raise LedgerBrokenError(
            f"{wrong}; look at all of it with agentid audit verify --cluster (docs/operations.md)"
        )
