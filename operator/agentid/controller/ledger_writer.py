"""Writes the ledger: while one batch is on its way the next one gathers; what is not durable counts not."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, Protocol

import structlog

from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AlreadyExistsError,
    ApiAnswerError,
    PassingError,
    TooManyRequestsError,
)
from agentid.controller.errors import (
    LedgerOvertakenError,
    LedgerUnavailableError,
    NotLeadingError,
)
from agentid.controller.ledger_queue import LedgerQueue, Waiting
from agentid.controller.metrics import Metrics
from agentid.ledger.batch import Batch, Head, seal
from agentid.ledger.key import LedgerKey, LedgerPublicKey
from agentid.lifecycle.model import Blocked
from agentid.watched.pauses import retry_pause

_log = structlog.get_logger("agentid.ledger")

APPEND_SECONDS: Final = 3.0
"""How long an issue waits for its record before it is given up: ends wait for its turn meanwhile."""
GATHER_SECONDS: Final = 0.05
"""How long a batch waits, at the most, for others who may record something."""
_GATHER_STEP_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 2.0
"""How long a write may take before nothing more is decided to be issued."""
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LEASE_PAUSE_SECONDS: Final = 0.25


class Store(Protocol):
    """Where batches are kept."""

    async def create(self, name: str, spec: Body) -> str:
        """Create a batch, if its name is free, and return its UID."""

    async def read(self, sequence: int) -> Body:
        """Return a batch."""


class LedgerWriter:
    """The end of the chain that grows. One operator writes it; whoever meets another's batch stops."""

    def __init__(  # noqa: PLR0913 - what a batch is made of, and who is told
        self,
        store: Store,
        *,
        writer: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        randomness: Callable[[], float],
        nonce: Callable[[], str],
        on_written: Callable[[Batch, str], None],
        worth_waiting_for: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        """Take what it writes with.

        Args:
            store: Where batches are kept; it refuses a write while the lease is not held.
            writer: The identity of this process.
            clock: The time, aware, in UTC.
            monotonic: Seconds that only grow.
            randomness: Numbers from 0 to 1, for pauses.
            nonce: Returns 32 hexadecimal digits that were never returned before.
            on_written: Is told of each batch that is durable, with the UID of its object.
            worth_waiting_for: Of how many records a batch is full enough to be sent at once.
            metrics: Where failures and losses are counted.
        """
        self._store = store
        self._writer = writer
        self._clock = clock
        self._monotonic = monotonic
        self._randomness = randomness
        self._nonce = nonce
        self._on_written = on_written
        self._worth_waiting_for = worth_waiting_for
        self._metrics = metrics
        self._head: Head | None = None
        self._key: LedgerKey | None = None
        self._queue = LedgerQueue()
        # The batch that was sent, or is to be, exactly as it is: whether it is there may be unknown.
        self._sealed: Batch | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0
        self._problem = ""
        self._sent_at: float | None = None

    @property
    def head(self) -> Head | None:
        """The last batch that is known to be there; None: the chain was not read yet."""
        return self._head

    @property
    def public_key(self) -> LedgerPublicKey | None:
        """That of the key which signs what is written next; None: the chain was not read yet."""
        return self._key.public if self._key is not None else None

    @property
    def waiting(self) -> int:
        """How many records are not durable yet."""
        return len(self._queue)

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest of them has waited."""
        since = self._queue.oldest_since
        return self._monotonic() - since if since is not None else 0.0

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued: the last write failed, or takes too long."""
        if self._failures > 1:
            return Blocked(f"nothing is issued: the ledger can't be written: {self._problem}")
        if self._sent_at is not None and self._monotonic() - self._sent_at > _PATIENCE_SECONDS:
            return Blocked("nothing is issued: a write to the ledger is not answered")
        return None

    def begin(self, head: Head, key: LedgerKey, first: Iterable[bytes] = ()) -> None:
        """Go on after `head`, signing with `key`; the records in `first` come before all that waits."""
        self._head, self._key = head, key
        self._queue.put_first(first, self._monotonic())
        self._stir()

    def stop(self) -> None:
        """Forget the chain: another operator may go on with it. Whoever waits is told so.

        What was only noted is forgotten too: whoever comes next finds ends that are not recorded yet.
        """
        if forgotten := sum(1 for _ in self.noted()):
            _log.warning("records forgotten", records=forgotten)
        self._head = self._key = None
        self._sealed = None
        self._failures, self._sent_at = 0, None
        for each in self._queue.clear():
            self._fail(each, NotLeadingError("the lease is not held; nothing may be recorded"))
        self._stir()

    async def append(self, record: bytes, undo: Callable[[], bytes] | None = None) -> None:
        """Have `record` written, and wait until it is durable.

        Args:
            record: One record, canonical.
            undo: What is recorded if the record becomes durable after this was given up.

        Raises:
            LedgerUnavailableError: it is not known to be durable; nothing may be released.
            NotLeadingError: another operator may be the active one by now.
        """
        waiting = Waiting(record, self._monotonic(), asyncio.get_running_loop().create_future(), undo)
        self._queue.put(waiting)
        self._stir()
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                await self._until_written(waiting)
        except TimeoutError as error:
            raise LedgerUnavailableError(
                f"nothing is issued: the ledger did not take the record within {APPEND_SECONDS:.0f} s"
            ) from error

    async def rotate(self, record: bytes, key: LedgerKey) -> None:
        """Have `record` written, which says that `key` signs what comes after it, however long it takes.

        Given up after some time, it might come all the same, and be said a second time, by a key that it is
        not about.

        Raises:
            LedgerUnavailableError: it is not known to be durable.
            NotLeadingError: another operator may be the active one by now.
        """
        waiting = Waiting(record, self._monotonic(), asyncio.get_running_loop().create_future(), next_key=key)
        self._queue.put(waiting)
        self._stir()
        await self._until_written(waiting)

    async def _until_written(self, waiting: Waiting) -> None:
        done = waiting.done
        if done is None:
            return
        try:
            await done
        except asyncio.CancelledError:
            if not waiting.is_sealed:
                # Never sent, so that nothing has to be taken back.
                self._queue.withdraw(waiting)
                self._stir()
            elif done.done() and not done.cancelled() and done.exception() is None and waiting.undo:
                self.note(waiting.undo())
            raise

    def note(self, record: bytes) -> None:
        """Have `record` written, however long it takes; those that cannot be kept are said to be lost."""
        if self._queue.note(record, self._monotonic(), self._clock()):
            self._stir()
        else:
            self._metrics.ledger_lost.inc()

    def noted(self) -> Iterator[bytes]:
        """Yield what was only noted and is not durable yet."""
        return self._queue.noted()

    async def drain(self) -> None:
        """Wait until all is durable."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            LedgerOvertakenError: another operator has written to the chain; this one has to start again.
        """
        while True:
            await self._work.wait()
            await self._gather()
            try:
                await self._write_next()
            except NotLeadingError:
                # Held again in time, it goes on; otherwise the election says so. Until then nothing is sent.
                await asyncio.sleep(_LEASE_PAUSE_SECONDS)
            except LedgerOvertakenError:
                self.stop()
                raise
            except ApiAnswerError as error:
                await self._pause_after(error)

    async def _gather(self) -> None:
        """Let others join the batch: a write costs the API server the same, whatever the batch holds."""
        until = self._monotonic() + GATHER_SECONDS
        while self._may_gather and self._monotonic() < until:  # noqa: ASYNC110 - nobody tells who is done
            await asyncio.sleep(_GATHER_STEP_SECONDS)

    @property
    def _may_gather(self) -> bool:
        is_next = self._sealed is None and self._head is not None
        return is_next and 0 < len(self._queue) < self._worth_waiting_for()

    async def _write_next(self) -> None:
        head, key = self._head, self._key
        if head is None or key is None:
            self._work.clear()
            return
        if self._queue.is_idle:
            # What was to be written was withdrawn meanwhile.
            self._stir()
            return
        sealed = self._sealed = self._sealed or self._seal(head, key)
        self._sent_at = self._monotonic()
        try:
            uid = await self._store.create(sealed.name, dict(sealed.to_spec()))
        except AlreadyExistsError:
            uid = await self._see_whose(sealed)
        except ApiAnswerError as error:
            if isinstance(error, TooManyRequestsError) or not isinstance(error, PassingError):
                self._unseal(sealed, error)
            raise
        finally:
            self._sent_at = None
        if self._sealed is sealed:
            self._written(sealed, uid)

    def _seal(self, head: Head, key: LedgerKey) -> Batch:
        """Take what waits, as much of it as a batch may hold."""
        records = self._queue.seal(self._monotonic(), self._clock())
        return seal(
            head,
            [each.record for each in records],
            key=key,
            writer=self._writer,
            nonce=self._nonce(),
            at=self._clock(),
        )

    async def _see_whose(self, mine: Batch) -> str:
        """Return the UID of the batch of this sequence, if it is this one, whose reply was lost.

        Raises:
            LedgerOvertakenError: it is another's.
        """
        there = await self._store.read(mine.sequence)
        spec = there.get("spec")
        if not isinstance(spec, dict) or spec.get("nonce") != mine.nonce:
            raise LedgerOvertakenError(
                f"LedgerBatch {mine.name} was written by another operator; "
                "this one stops, and reads the chain anew when it starts again"
            )
        uid: str = there["metadata"]["uid"]
        return uid

    def _unseal(self, sealed: Batch, error: ApiAnswerError) -> None:
        """Let go of a batch that was refused: who waits is told, and what was noted is tried again."""
        if self._sealed is not sealed:
            # Stopped meanwhile: forgotten is forgotten.
            return
        self._sealed = None
        for each in self._queue.give_back():
            self._fail(each, LedgerUnavailableError(f"nothing is issued: the ledger refused it: {error}"))

    def _written(self, sealed: Batch, uid: str) -> None:
        records = self._queue.written()
        self._sealed, self._head = None, sealed.head
        if self._failures:
            _log.info("ledger written again", sequence=sealed.sequence)
        self._failures = 0
        self._key = records[-1].next_key or self._key
        self._on_written(sealed, uid)
        # Given up meanwhile: what it was for was never released. Its task may have ended since, and that end
        # waits to be recorded: it is the last that is said of a task.
        given_up = [each.undo() for each in records if each.undo and each.done and each.done.done()]
        self._queue.put_first(given_up, self._monotonic())
        for each in records:
            if each.done is not None and not each.done.done():
                each.done.set_result(None)
        self._stir()

    async def _pause_after(self, error: ApiAnswerError) -> None:
        self._failures += 1
        self._metrics.ledger_failures.inc()
        self._problem = str(error)
        if self._failures > 1 and self._queue.is_idle:
            # There has to be something to write, or nobody finds out that it can be written again.
            self._queue.interrupt(self._clock())
        pause = min(retry_pause(self._failures, self._randomness(), error), _LONGEST_PAUSE_SECONDS)
        _log.warning("ledger not written", error=str(error), retry_seconds=round(pause, 2))
        await asyncio.sleep(pause)
        self._stir()

    def _stir(self) -> None:
        if self._queue.is_idle:
            self._work.clear()
            self._idle.set()
        else:
            self._idle.clear()
            self._work.set()

    @staticmethod
    def _fail(waiting: Waiting, error: Exception) -> None:
        if waiting.done is not None and not waiting.done.done():
            waiting.done.set_exception(error)
