"""Brings the record to one sink: batch after batch, from memory or the ledger, until each is taken."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from agentid.errors import AgentidError
from agentid.sinks.errors import SinkError
from agentid.sinks.lag import Lag, Waiting
from agentid.sinks.sink import Sink, SinkName

_log = structlog.get_logger("agentid.sinks")

MAX_BATCHES: Final = 64
MAX_BYTES: Final = 8 * 1024 * 1024
"""What a lane holds in memory at most; what does not fit is read from the ledger when its turn comes."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0

Read = Callable[[int], Awaitable[Sequence[bytes] | None]]
"""Returns the records of the batch with that sequence number in the ledger, None where it is gone for good.

Raises an AgentidError where that cannot be told.
"""


class Told(Protocol):
    """Who counts what goes wrong."""

    def failed(self, sink: SinkName) -> None:
        """Take in that a batch was not surely taken."""

    def skipped(self, sink: SinkName, batches: int) -> None:
        """Take in that batches are gone which the sink never got."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where delivery begins.

    Attributes:
        first: Sequence number of the first batch in the ledger.
        head: That of the last; `first - 1` where there is none.
        known: What a sink is known to have that cannot tell itself.
    """

    first: int
    head: int
    known: int | None = None


class Lane:
    """One sink and the batches that it does not have yet."""

    def __init__(  # noqa: PLR0913 - what it brings, from where, and when
        self,
        sink: Sink,
        read: Read,
        told: Told,
        *,
        required: bool,
        may_deliver: Callable[[], bool],
        clock: Callable[[], float],
        randomness: Callable[[], float],
    ) -> None:
        self.sink = sink
        self.required = required
        self._read = read
        self._told = told
        self._may_deliver = may_deliver
        self._randomness = randomness
        self._waiting = Waiting(clock)
        self._news = asyncio.Event()
        self._queue: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._queued_bytes = 0
        self._start: Start | None = None
        self._position: int | None = None
        self._remembered: int | None = None
        self._head = 0
        self._failures = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.problem: str | None = None
        """Why the sink takes nothing, as it was when that began; None: it does."""

    @property
    def position(self) -> int | None:
        """The last batch that the sink surely has, with all before it; None: that is not known yet."""
        return self._position

    @property
    def sure(self) -> int:
        """The last batch that the sink surely has and a successor of this process would know of; 0: none.

        For a sink that cannot tell itself, that is what is remembered of it.
        """
        return (self._position or 0) if self._remembered is None else self._remembered

    def remembered(self, position: int) -> None:
        """Take in up to where it is remembered, for good, what the sink has."""
        if self._remembered is not None:
            self._remembered = position

    def begin(self, start: Start) -> None:
        """Begin, or begin anew after somebody else led."""
        self._start, self._position, self._head = start, None, start.head
        self._remembered = None
        self._queue.clear()
        self._queued_bytes = 0
        self._waiting.begin(start.first - 1 if start.known is None else start.known, start.head)
        if self.problem is None:
            self._at_rest.clear()
        self._news.set()

    def appended(self, sequence: int, records: Sequence[bytes]) -> None:
        """Take in a batch that the ledger has now; never waits."""
        self._head = max(self._head, sequence)
        self._waiting.came(sequence)
        size = sum(map(len, records))
        if len(self._queue) < MAX_BATCHES and self._queued_bytes + size <= MAX_BYTES:
            self._queue.append((sequence, tuple(records)))
            self._queued_bytes += size
        if self.problem is None:
            self._at_rest.clear()
        self._news.set()

    async def drain(self) -> None:
        """Wait until the sink has all that there is, or takes nothing for now."""
        await self._at_rest.wait()

    def lag(self) -> Lag:
        """Return how far the sink is behind; nothing before it is known what there is."""
        if self._start is None:
            return Lag(0, 0.0)
        position = self._start.first - 1 if self._position is None else self._position
        return Lag(max(0, self._head - position), self._waiting.seconds())

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._news.clear()
            if self._start is None or not self._may_deliver() or self._position == self._head:
                self._at_rest.set()
                await _wait(self._news, _LOOK_SECONDS)
                continue
            start = self._start
            try:
                await self._go_on(start)
            except AgentidError as error:
                await self._pause(error)
            except Exception as error:  # noqa: BLE001 - one sink's defect is not to end tasks' operator
                _log.exception("sink failed unexpectedly", sink=self.sink.name.value)
                await self._pause(error)
            else:
                self._took()

    async def _go_on(self, start: Start) -> None:
        """Deliver one batch; before the first one, find out which that is."""
        if self._position is None:
            position = await self._first_position(start)
            if start is self._start:
                self._reached(position)
            return
        sequence = self._position + 1
        records = await self._records_of(sequence)
        if records is None:
            self._skip(sequence, sequence)
        else:
            await self.sink.deliver(records, sequence)
        if start is self._start:
            self._reached(sequence)

    async def _first_position(self, start: Start) -> int:
        found = await self.sink.position()
        self._remembered = (start.known or 0) if found is None else None
        if found is not None and found > start.head:
            raise SinkError(
                f"it has batch {found}, and the ledger ends at {start.head}: what it has is of another ledger"
            )
        position = found if found is not None else start.known
        if position is None or position > start.head:
            return start.first - 1
        if position < start.first - 1:
            if position:
                self._skip(position + 1, start.first - 1)
            return start.first - 1
        return position

    async def _records_of(self, sequence: int) -> Sequence[bytes] | None:
        while self._queue and self._queue[0][0] < sequence:
            _, records = self._queue.popleft()
            self._queued_bytes -= sum(map(len, records))
        if self._queue and self._queue[0][0] == sequence:
            return self._queue[0][1]
        return await self._read(sequence)

    def _reached(self, position: int) -> None:
        self._position = position
        self._waiting.reached(position, self._head)

    def _skip(self, first: int, last: int) -> None:
        _log.error("batches gone before a sink had them", sink=self.sink.name.value, first=first, last=last)
        self._told.skipped(self.sink.name, last - first + 1)

    async def _pause(self, error: Exception) -> None:
        self._failures += 1
        self._told.failed(self.sink.name)
        if self.problem is None:
            self.problem = str(error)
            self._at_rest.set()
            _log.warning("sink takes nothing", sink=self.sink.name.value, error=str(error))
        asked = error.retry_after_seconds if isinstance(error, SinkError) else None
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 16), LONGEST_PAUSE_SECONDS)
        # Never all at once, and never before the time that was asked for.
        await asyncio.sleep(max(pause * (0.5 + self._randomness() / 2), asked or 0.0))

    def _took(self) -> None:
        self._failures = 0
        if self.problem is not None:
            self.problem = None
            self._at_rest.clear()
            _log.info("sink takes the record again", sink=self.sink.name.value)


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return
