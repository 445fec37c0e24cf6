"""One heap for all the times at which some task has to be looked at although nothing happened."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentid.controller.records import Key

_LONGEST_SLEEP_SECONDS: Final = 5.0
"""The clock runs on while the machine is suspended, a sleep does not: it is looked at this often."""


class Deadlines:
    """For each name the one next time; what was set before for it no longer counts.

    `due` is told of what is due, `due_again` where it is due only to be decided again: on a full hour, that
    may be all tasks at once.
    """

    def __init__(
        self, clock: Callable[[], datetime], due: Callable[[Key], None], due_again: Callable[[Key], None]
    ) -> None:
        self._clock = clock
        self._due = due
        self._due_again = due_again
        self._heap: list[tuple[datetime, Key]] = []
        self._at: dict[Key, datetime] = {}
        self._again: set[Key] = set()
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: Key, at: datetime | None, *, again: bool = False) -> None:
        """Have `key` looked at at `at`, `again`: to be decided again; None: only when something happens."""
        self._again.discard(key)
        if at is None:
            self._at.pop(key, None)
            return
        if again:
            self._again.add(key)
        if self._at.get(key) == at:
            return
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 64 + 2 * len(self._at):
            self._heap = [(when, which) for which, when in self._at.items()]
            heapq.heapify(self._heap)
        if self._heap[0] == (at, key):
            self._sooner.set()

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        self._at.clear()
        self._again.clear()

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        while True:
            self._sooner.clear()
            try:
                async with asyncio.timeout(self._tell_due()):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    def _tell_due(self) -> float:
        """Tell all that is due and return how many seconds to sleep."""
        now = self._clock()
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) != at:
                heapq.heappop(self._heap)
                continue
            if at > now:
                return min((at - now).total_seconds(), _LONGEST_SLEEP_SECONDS)
            heapq.heappop(self._heap)
            del self._at[key]
            if key in self._again:
                self._again.discard(key)
                self._due_again(key)
            else:
                self._due(key)
        return _LONGEST_SLEEP_SECONDS
