"""The decision log: every denial, each first use and a share of the others, in files, off the way of answers.

Lines gather while some are written; what there is no room for is counted, and said in the log itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from agentid.gate.answer import Answer
from agentid.gate.decision_line import Chain, Position, decided, missing
from agentid.gate.question import Question
from agentid.gate.use_tally import UseTally
from agentid.sinks.errors import SinkError

_log = structlog.get_logger("agentid.gate")

MAX_WAITING: Final = 8192
"""Lines that wait to be written; at most some 30 MiB."""
AT_ONCE: Final = 128
"""Lines that are written together: making more of them would hold up answers."""
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0


class Files(Protocol):
    """Where lines are kept."""

    async def position(self) -> int | None:
        """Return the number of the last batch that is there; 0: there is none."""

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        """Write a batch; when this returns it is on the disk. SinkError: it is not known to be."""

    async def close(self) -> None:
        """Let go of the files."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of decisions, and what becomes of them where nothing can be.

    Attributes:
        allowed_share: Of what is allowed, and is no first use, so large a share is kept, from 0 to 1.
        is_required: Whether nothing is allowed while nothing can be kept.
    """

    allowed_share: float
    is_required: bool = False


_Decided = tuple[Question, Answer, datetime]


class DecisionLog:
    """Is told of each decision, at once and without waiting; `run` writes."""

    def __init__(  # noqa: PLR0913 - what is kept where, and by which clock and chance
        self,
        files: Files | None,
        chain: Chain,
        keeping: Keeping,
        *,
        now: Callable[[], datetime],
        randomness: Callable[[], float],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """`files`: None: decisions are counted, and none is kept."""
        self._files = files
        self._chain = chain
        self._keeping = keeping
        self._now = now
        self._randomness = randomness
        self._max_waiting = max_waiting
        self.tally = UseTally()
        self._queue: deque[_Decided] = deque()
        self._batch: tuple[list[bytes], Position] | None = None
        self._work = asyncio.Event()
        self._number: int | None = None
        self._failures = 0
        self._problem = "it is not open yet"
        self._missing: tuple[int, datetime] | None = None
        self.written = Position()
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many lines are not on the disk yet."""
        return len(self._queue) + (len(self._batch[0]) if self._batch is not None else 0)

    @property
    def problem(self) -> str:
        """Why nothing can be written just now; empty: it can."""
        return self._problem if self._files is not None else ""

    def hindrance(self) -> str | None:
        """Return why nothing may be allowed; None where it may."""
        if not self._keeping.is_required:
            return None
        if self.problem:
            return self.problem
        return "more is decided than it takes" if len(self._queue) >= self._max_waiting else None

    def told(self, question: Question, answer: Answer, at: datetime) -> None:
        """Take in a decision."""
        is_new = self.tally.take(question, answer, at)
        if self._files is None:
            return
        if answer.allowed and not is_new and self._randomness() >= self._keeping.allowed_share:
            return
        if len(self._queue) >= self._max_waiting:
            self.lost += 1
            count, since = self._missing or (0, at)
            self._missing = count + 1, since
            return
        self._queue.append((question, answer, at))
        self._work.set()

    async def run(self) -> None:
        """Write until cancelled."""
        if self._files is None:
            return
        self._work.set()
        while True:
            await self._work.wait()
            pause = await self._write_next(self._files)
            if pause:
                await asyncio.sleep(pause)

    async def close(self, within_seconds: float) -> None:
        """Write what waits, as far as there is time; `run` has ended."""
        if self._files is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while (self.waiting or self._missing is not None) and not await self._write_next(self._files):
                    pass
                await self._files.close()

    async def _write_next(self, files: Files) -> float:
        """Write what waits, as much as is written at once; return after how many seconds to go on."""
        try:
            if self._number is None:
                self._number = (await files.position() or 0) + 1
            self._batch = self._batch or self._gather()
            if self._batch is None:
                self._work.clear()
            else:
                lines, position = self._batch
                await files.deliver(lines, self._number)
                self._batch, self.written, self._number = None, position, self._number + 1
        except SinkError as error:
            return self._failed(error)
        if self._failures:
            _log.info("decision log written again")
        self._failures, self._problem = 0, ""
        return 0.0

    def _failed(self, error: SinkError) -> float:
        self._failures += 1
        self._problem = str(error)
        if self._failures == 1:
            _log.error("decision log not written", error=str(error), is_required=self._keeping.is_required)
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 8), _LONGEST_PAUSE_SECONDS)

    def _gather(self) -> tuple[list[bytes], Position] | None:
        lines = []
        if self._missing is not None:
            count, since = self._missing
            self._missing = None
            lines.append(self._chain.add(missing(count, since, self._now())))
        number = min(AT_ONCE, len(self._queue))
        lines += [self._chain.add(decided(*self._queue.popleft())) for _ in range(number)]
        return (lines, self._chain.position) if lines else None
