"""Keeps the ledger from growing for ever, and its key from growing old, while this operator writes it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from agentid.api.fields import format_time
from agentid.cluster.errors import ClusterError
from agentid.cluster.ledger_key_store import LedgerKeyStore, StoredLedgerKey
from agentid.cluster.ledger_store import LedgerStore
from agentid.controller.errors import LedgerUnavailableError, NotLeadingError
from agentid.controller.ledger_check import why_not_whole
from agentid.controller.ledger_writer import LedgerWriter
from agentid.ledger.batch import Batch, Head
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import checkpoint, key_rotated, read_time
from agentid.ledger.retention import Retention

_log = structlog.get_logger("agentid.ledger")

_INTERVAL_SECONDS: Final = 30.0
_CHECKED_EVERY: Final = timedelta(hours=1)
_CHECKED_AGAIN: Final = timedelta(minutes=5)
"""How soon a ledger that was found not to be whole is looked through again: somebody may mend it."""


class LedgerUpkeep:
    """Lets batches go that are of no use any more, and puts another key in the place of an old one.

    In its Secret a head of the chain is kept beside the key, so that nobody cuts off the end, or all of it,
    unseen by whoever reads it next.
    """

    def __init__(  # noqa: PLR0913 - what it looks after, and when something is due
        self,
        store: LedgerStore,
        keys: LedgerKeyStore,
        writer: LedgerWriter,
        retention: Retention,
        *,
        clock: Callable[[], datetime],
        delivered: Callable[[], int],
        key_life: timedelta,
    ) -> None:
        """Take what it works on.

        Args:
            store: Where batches are.
            keys: Where the key is.
            writer: What writes to the ledger.
            retention: The batches that there are.
            clock: The time.
            delivered: Returns the number of the last batch that every sink has that must have it.
            key_life: After what time a key is replaced.
        """
        self._store = store
        self._keys = keys
        self._writer = writer
        self._retention = retention
        self._clock = clock
        self._delivered = delivered
        self._key_life = key_life
        self._stored: StoredLedgerKey | None = None
        self._began: datetime | None = None
        self._last: Batch | None = None
        self._checked_at: datetime | None = None
        self._broken = ""

    @property
    def broken(self) -> str:
        """What is wrong with the chain in the cluster, by the last look through it; empty: nothing."""
        return self._broken

    def begin(self, stored: StoredLedgerKey, began: datetime, last: Batch | None) -> None:
        """Look after the chain that began then and whose last batch is `last`; None: it has none yet."""
        self._stored, self._began, self._last = stored, began, last
        # It was read just now.
        self._checked_at, self._broken = self._clock(), ""

    def stop(self) -> None:
        """Leave it to another operator."""
        self._stored, self._broken = None, ""

    def written(self, batch: Batch) -> None:
        """Take in that `batch` is the last one now."""
        self._last = batch

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            try:
                await self.once()
            except (ClusterError, LedgerUnavailableError, NotLeadingError) as error:
                _log.warning("ledger not looked after", error=str(error))

    async def once(self) -> None:
        """Do what is due now.

        Raises:
            ClusterError: it could not be done; it is due again.
            LedgerUnavailableError: the same.
            NotLeadingError: another operator looks after it.
        """
        stored, last = self._stored, self._last
        if stored is None or last is None:
            return
        if stored.since is None:
            since = format_time(self._clock()).encode()
            stored = await self._keep(stored, last, since=since)
        if not self._broken:
            await self._prune(stored)
            await self._rotate(stored)
        await self._look_through()

    async def _keep(self, stored: StoredLedgerKey, last: Batch, **changed: bytes | None) -> StoredLedgerKey:
        """Keep `last` as a head that was there, and what else has `changed`."""
        head = KnownHead.of(last).to_json()
        self._stored = await self._keys.replace(stored, head=head, **changed)
        return self._stored

    async def _prune(self, stored: StoredLedgerKey) -> None:
        through, began = self._retention.may_go(self._clock(), self._delivered()), self._began
        key = self._writer.public_key
        if through is None or began is None or key is None:
            return
        await self._writer.append(checkpoint(self._clock(), through.sequence, through.hash, key, began))
        if self._last is not None:
            # What goes now must not be looked for by whoever reads the ledger next.
            await self._keep(stored, self._last)
        await self._let_go(through)

    async def _let_go(self, through: Head) -> None:
        for batch in self._retention.let_go(through.sequence):
            await self._store.delete(batch.head.sequence, batch.uid)
        _log.info("ledger pruned", through=through.sequence)

    async def _rotate(self, stored: StoredLedgerKey) -> None:
        """Begin a rotation that is due, or end one that was begun."""
        stored = self._stored or stored
        if stored.since is None or self._last is None:
            return
        since = read_time(stored.since.decode(), "since")
        if stored.following is None and self._clock() - since < self._key_life:
            return
        if stored.following is None:
            stored = await self._keep(stored, self._last, following=LedgerKey.create().to_pem())
        following = stored.following
        if following is None or self._writer.public_key is None:
            return
        old, new = LedgerKey.from_pem(stored.current), LedgerKey.from_pem(following)
        if self._writer.public_key != new.public:
            await self._writer.rotate(key_rotated(self._clock(), old.public, new.public), new)
        if self._last.key_id != new.key_id:
            # Until it has signed something, the key before it alone shows whose ledger this is.
            return
        now = format_time(self._clock()).encode()
        await self._keep(stored, self._last, current=following, following=None, since=now)
        _log.info("ledger key rotated", key=new.key_id)

    async def _look_through(self) -> None:
        """Verify the chain as it is in the cluster, if that is due; nothing is deleted meanwhile."""
        stored, last, now = self._stored, self._last, self._clock()
        every = _CHECKED_AGAIN if self._broken else _CHECKED_EVERY
        if (
            stored is None
            or last is None
            or (self._checked_at is not None and now - self._checked_at < every)
        ):
            return
        keys = [LedgerKey.from_pem(each) for each in (stored.current, stored.following) if each is not None]
        broken = await why_not_whole(self._store, [each.public for each in keys], KnownHead.of(last))
        if self._stored is None:
            return
        if broken:
            _log.error("ledger not whole", error=broken)
        elif self._broken:
            _log.info("ledger whole again")
        self._broken, self._checked_at = broken, self._clock()
