"""One heap for all the times at which some task has to be looked at although nothing happened."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentid.watched.facts import Key

_LONGEST_SLEEP_SECONDS: Final = 5.0
"""The clock runs on while the machine is suspended, a sleep does not: it is looked at this often."""


class Deadlines:
    """For each name the next time, and the next at which a decision may turn; the last that was set counts.

    `due` is told of the former, `due_again` of the latter: on a full hour, that may be all tasks at once.
    """

    def __init__(
        self, clock: Callable[[], datetime], due: Callable[[Key], None], due_again: Callable[[Key], None]
    ) -> None:
        self._clock = clock
        self._tell = {False: due, True: due_again}
        self._heap: list[tuple[datetime, Key, bool]] = []
        self._at: dict[bool, dict[Key, datetime]] = {False: {}, True: {}}
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at[False])

    def set(self, key: Key, at: datetime | None, turns_at: datetime | None = None) -> None:
        """Have `key` looked at at `at`, decided again at `turns_at`; None: only when something happens."""
        self._set(key, at, turns=False)
        self._set(key, turns_at, turns=True)

    def _set(self, key: Key, at: datetime | None, *, turns: bool) -> None:
        times = self._at[turns]
        if at is None:
            times.pop(key, None)
            return
        if times.get(key) == at:
            return
        times[key] = at
        heapq.heappush(self._heap, (at, key, turns))
        if len(self._heap) > 64 + 2 * sum(map(len, self._at.values())):
            self._heap = [(when, which, each) for each in self._at for which, when in self._at[each].items()]
            heapq.heapify(self._heap)
        if self._heap[0] == (at, key, turns):
            self._sooner.set()

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        for times in self._at.values():
            times.clear()

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
            at, key, turns = self._heap[0]
            if self._at[turns].get(key) != at:
                heapq.heappop(self._heap)
                continue
            if at > now:
                return min((at - now).total_seconds(), _LONGEST_SLEEP_SECONDS)
            heapq.heappop(self._heap)
            del self._at[turns][key]
            self._tell[turns](key)
        return _LONGEST_SLEEP_SECONDS
