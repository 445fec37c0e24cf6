"""Has the leading operator show once a second that it lives, in each namespace that decision points watch.

It comes through the same watch as the tasks, so that a decision point sees how old what it knows is. Whatever
goes wrong with it, the operator's other work goes on: decision points deny meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.heartbeats import Heartbeats
from agentid.controller.core import Core
from agentid.controller.errors import NotLeadingError
from agentid.process.clocks import boottime

_log = structlog.get_logger("agentid.heartbeat")

BEAT_SECONDS: Final = 1.0
AT_ONCE: Final = 8
"""However many namespaces are watched, no more writes than that are under way."""


class Heart:
    """The heartbeats of one operator; only the active one has any."""

    def __init__(  # noqa: PLR0913 - what is written, where, when, and its time
        self,
        beats: Heartbeats,
        namespaces: Sequence[str],
        *,
        leads: Callable[[], bool],
        now: Callable[[], datetime],
        elapsed: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make it.

        Args:
            beats: Writes them.
            namespaces: In which of them; none: no heartbeat is wanted.
            leads: Whether this operator is the active one.
            now: The time of day.
            elapsed: Seconds of a clock that nobody can set.
            sleep: Waits for so many seconds.
        """
        self._beats = beats
        self._leads = leads
        self._now = now
        self._elapsed = elapsed
        self._sleep = sleep
        self._places = asyncio.Semaphore(AT_ONCE)
        self._written = dict.fromkeys(namespaces, elapsed())
        self._failing: set[str] = set()

    def age(self) -> float:
        """Return how many seconds ago the last was written, of the namespace that has waited longest.

        0 where none is wanted, or another operator leads.
        """
        if not self._leads() or not self._written:
            return 0.0
        return self._elapsed() - min(self._written.values())

    async def run(self) -> None:
        """Beat until cancelled, in each namespace by itself: where one gets no answer, others go on."""
        if not self._written:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for number, namespace in enumerate(self._written):
                # Spread over the second, so that the API server gets them one after the other.
                group.create_task(self._run(namespace, BEAT_SECONDS * number / len(self._written)))

    async def _run(self, namespace: str, after_seconds: float) -> None:
        await self._sleep(after_seconds)
        while True:
            began = self._elapsed()
            if self._leads():
                await self._once(namespace)
            else:
                self._written[namespace] = began
            await self._sleep(max(0.0, BEAT_SECONDS - (self._elapsed() - began)))

    async def _once(self, namespace: str) -> None:
        try:
            async with self._places:
                await self._beats.beat(namespace, self._now())
        except (ApiAnswerError, NotLeadingError) as error:
            if namespace not in self._failing:
                self._failing.add(namespace)
                _log.warning("heartbeat not written", namespace=namespace, error=str(error))
        except Exception:  # noqa: BLE001 - whatever it is, issuing and ending must not stop for it
            _log.exception("heartbeat failed unexpectedly", namespace=namespace)
        else:
            self._written[namespace] = self._elapsed()
            if namespace in self._failing:
                self._failing.discard(namespace)
                _log.info("heartbeat written again", namespace=namespace)


def heart_of(core: Core) -> Heart:
    """Return the operator's heart, and have its metric served."""
    settings = core.settings
    heart = Heart(
        Heartbeats(core.connection, core.leader.require, settings.admission().operator_username),
        settings.heartbeat_namespaces(),
        leads=lambda: core.duty.is_on,
        now=core.clock.now,
        elapsed=boottime,
    )
    core.metrics.watch(
        "agentid_heartbeat_age_seconds",
        "How long ago the last heartbeat for decision points was written; 0 where none is wanted.",
        heart.age,
    )
    return heart
