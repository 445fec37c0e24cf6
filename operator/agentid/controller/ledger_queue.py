"""What waits to be recorded, in its order: what goes into the next batch, and what is said to be lost."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentid.ledger.batch import take
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import lost

MOST_WAITING: Final = 100_000
"""How many records may wait to be written: more than there are tasks that can end meanwhile."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A record that is to be written; `done` is who waits for that, `undo` what to record if nobody does.

    `since` is when that began, in seconds that only grow. One that nobody waits for was only noted.

    What comes after a `next_key` is signed by that: it is the last of its batch.
    """

    record: bytes
    since: float
    done: asyncio.Future[None] | None = None
    undo: Callable[[], bytes] | None = None
    is_sealed: bool = False
    next_key: LedgerKey | None = None


@dataclass(slots=True)
class _Interruption:
    """Since when nothing could be written, and how many records were lost by that."""

    since: datetime
    lost: int = 0


class LedgerQueue:
    """Records that are not durable yet: those of the batch that is on its way, and those that come after."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._queue: deque[Waiting] = deque()
        self._under_way: tuple[Waiting, ...] | None = None
        self._interruption: _Interruption | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._under_way or ())

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to write."""
        return self._under_way is None and not self._queue and self._interruption is None

    @property
    def oldest_since(self) -> float | None:
        """Since when the oldest has waited; None: none does."""
        waiting = self._under_way if self._under_way is not None else self._queue
        return waiting[0].since if waiting else None

    def noted(self) -> Iterator[bytes]:
        """Yield what was only noted."""
        return (each.record for each in (*(self._under_way or ()), *self._queue) if each.done is None)

    def put(self, waiting: Waiting) -> None:
        """Take in a record after all others, however many these are: who waits for it gives up in time."""
        self._queue.append(waiting)

    def put_first(self, records: Iterable[bytes], since: float) -> None:
        """Take in `records` before all that waits."""
        self._queue.extendleft(reversed([Waiting(each, since) for each in records]))

    def note(self, record: bytes, since: float, at: datetime) -> bool:
        """Take in a record that nobody waits for; where there is no room, count it lost and return False."""
        if len(self._queue) >= MOST_WAITING:
            self.interrupt(at)
            if self._interruption is not None:
                self._interruption.lost += 1
            return False
        self._queue.append(Waiting(record, since))
        return True

    def withdraw(self, waiting: Waiting) -> None:
        """Forget a record that is in no batch yet. It may have gone at this moment."""
        with suppress(ValueError):
            self._queue.remove(waiting)

    def interrupt(self, at: datetime) -> None:
        """Have the next batch say that nothing could be written since `at`, or since it was first said so."""
        self._interruption = self._interruption or _Interruption(at)

    def seal(self, since: float, at: datetime) -> tuple[Waiting, ...]:
        """Take what goes into the next batch: what waits, as much of it as one may hold."""
        if (was := self._interruption) is not None:
            self._queue.appendleft(Waiting(lost(at, was.lost, was.since), since))
            self._interruption = None
        number = take(each.record for each in _up_to_rotation(self._queue))
        self._under_way = tuple(self._queue.popleft() for _ in range(number))
        for each in self._under_way:
            each.is_sealed = True
        return self._under_way

    def written(self) -> tuple[Waiting, ...]:
        """Forget what was in the batch on its way, as it is durable; return what that was."""
        records, self._under_way = self._under_way or (), None
        return records

    def give_back(self) -> list[Waiting]:
        """Have what was noted in the batch on its way wait again; return the others, the last first."""
        others = []
        for each in reversed(self._under_way or ()):
            each.is_sealed = False
            if each.done is None:
                self._queue.appendleft(each)
            else:
                others.append(each)
        self._under_way = None
        return others

    def clear(self) -> list[Waiting]:
        """Forget all of it; return what that was."""
        given_up = [*(self._under_way or ()), *self._queue]
        self._queue.clear()
        self._under_way = self._interruption = None
        return given_up


def _up_to_rotation(waiting: Iterable[Waiting]) -> Iterator[Waiting]:
    for each in waiting:
        yield each
        if each.next_key is not None:
            return
