"""The queue of task names to look at: one at a time for each name, fair between namespaces, retried.

What something happened to comes before what is only to be decided again. Neither waits for all of the other.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from agentid.errors import AgentidError
from agentid.watched.facts import Key
from agentid.watched.lanes import Lanes
from agentid.watched.pauses import retry_pause

_log = structlog.get_logger("agentid.queue")

PASS_LIMIT_SECONDS: Final = 60.0
"""A pass that takes longer is given up and tried again: something it waits for will not come."""
LATER_SHARE: Final = 4
"""Of so many passes, one is of what may wait, however much else there is."""


class WorkQueue:
    """Names to look at; one added while it waits or is worked on is looked at once more, not twice."""

    def __init__(
        self,
        clock: Callable[[], float],
        on_error: Callable[[BaseException], None],
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._on_error = on_error
        self._randomness = randomness
        self._prompt = Lanes()
        self._later = Lanes()
        self._turn = 0
        self._waiting: dict[Key, float] = {}
        self._active: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._again_later: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._progress_at: float | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._turns = asyncio.Lock()

    def add(self, key: Key) -> None:
        """Have `key` looked at as soon as possible."""
        if key in self._active:
            self._again.add(key)
            return
        if key not in self._waiting or self._later.discard(key):
            self._put(self._prompt, key)

    def add_later(self, key: Key) -> None:
        """Have `key` looked at again after what is more urgent, though nothing happened to itself."""
        if key in self._active:
            self._again_later.add(key)
        elif key not in self._waiting:
            # What failed is in the midst of something, such as an end.
            self._put(self._prompt if key in self._timers else self._later, key)

    def _put(self, lanes: Lanes, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        lanes.add(key)
        self._waiting.setdefault(key, self._clock())
        self._idle.clear()
        self._work.set()

    def begin_anew(self, keys: Iterable[Key], later: Iterable[Key] = ()) -> None:
        """Have `keys` looked at in this order, and those of `later` in theirs, in place of all that waits."""
        self._prompt.clear()
        self._later.clear()
        self._waiting.clear()
        for key in keys:
            self.add(key)
        for key in later:
            self.add_later(key)
        if not self._active and not self._waiting:
            self._idle.set()

    @property
    def depth(self) -> int:
        """How many names wait."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """How many names are worked on."""
        return len(self._active)

    @property
    def crowded(self) -> int:
        """How many names are worked on while others wait that something happened to; 0: none do."""
        return len(self._active) if self._prompt else 0

    @property
    def retrying(self) -> int:
        """How many names failed last time."""
        return len(self._failures)

    def oldest_age(self) -> float:
        """Return for how many seconds the oldest waiting or unfinished work has been there."""
        now = self._clock()
        return max((now - since for d in (self._waiting, self._active) for since in _first(d)), default=0.0)

    def stalled_seconds(self) -> float:
        """Return for how many seconds there has been work to do without any pass ending, well or not.

        However much waits: a long queue that is worked on is not a stalled one.
        """
        if self._progress_at is None:
            return 0.0
        return min(self._clock() - self._progress_at, self.oldest_age())

    async def wait_idle(self) -> None:
        """Wait until nothing waits or is worked on; what is to be retried later does not count."""
        await self._idle.wait()

    async def run(self, look_at: Callable[[Key], Awaitable[None]], concurrency: int) -> None:
        """Work until cancelled, on at most `concurrency` names at once."""
        self._progress_at = self._clock()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._keep_working(look_at))

    async def _keep_working(self, look_at: Callable[[Key], Awaitable[None]]) -> None:
        while True:
            # Most passes of a look at all wait for nothing. Ten thousand of them in a row, or one by each
            # worker, would keep the lease from being renewed, and what happened to a task from its next step.
            async with self._turns:
                await asyncio.sleep(0)
            key = await self._next()
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(namespace=key[0], task=key[1])
            try:
                async with asyncio.timeout(PASS_LIMIT_SECONDS):
                    await look_at(key)
            except (AgentidError, TimeoutError) as error:
                self._failed(key, error)
            except Exception as error:  # noqa: BLE001 - one task's surprise must not stop all the others
                _log.exception("pass failed unexpectedly", namespace=key[0], task=key[1])
                self._failed(key, error)
            else:
                self._failures.pop(key, None)
            finally:
                self._done(key)

    async def _next(self) -> Key:
        while not self._waiting:
            self._work.clear()
            await self._work.wait()
        self._turn = (self._turn + 1) % LATER_SHARE
        is_turn_of_later = self._turn == 0 or not self._prompt
        key = (self._later if self._later and is_turn_of_later else self._prompt).next()
        del self._waiting[key]
        self._active[key] = self._clock()
        return key

    def _done(self, key: Key) -> None:
        self._progress_at = self._clock()
        del self._active[key]
        again, again_later = key in self._again, key in self._again_later
        self._again.discard(key)
        self._again_later.discard(key)
        if again:
            self.add(key)
        elif again_later:
            self.add_later(key)
        if not self._active and not self._waiting:
            self._idle.set()

    def _failed(self, key: Key, error: BaseException) -> None:
        self._on_error(error)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = retry_pause(failures, self._randomness(), error)
        _log.info(
            "pass failed", namespace=key[0], task=key[1], error=str(error), retry_seconds=round(pause, 2)
        )
        if key not in self._timers:
            self._timers[key] = asyncio.get_running_loop().call_later(pause, self._retry, key)

    def _retry(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)


def _first(ages: dict[Key, float]) -> list[float]:
    # Both dictionaries are in the order of their times.
    return [next(iter(ages.values()))] if ages else []
