"""Compares the operator's clock with the API server's every minute; while they differ, nothing is issued."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError, ClockError
from agentid.lifecycle.model import Blocked
from agentid.process.clocks import Clock

_log = structlog.get_logger("agentid.clock")

MOST_SKEW_SECONDS: Final = 10.0
"""How far the two clocks may be apart; less than the shortest life of a credential by far."""
_RETRY_SECONDS: Final = 2.0


class ClockProof:
    """Whether the operator's clock is right, as far as the API server can tell, as last seen."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        interval_seconds: float,
        on_set: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._interval = interval_seconds
        self._on_set = on_set
        self._compared_at: float | None = None
        self._was_right = False
        self._wrong_by: float | None = None
        self._unanswered = False
        self._tried = asyncio.Event()
        self.skew_seconds = 0.0
        """By how much the clock is ahead of the API server's for certain; negative: behind.

        It is the operator's clock while that is right, otherwise the machine's, which is to be mended.
        """

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued, or None. A comparison that is too old is none."""
        if self._compared_at is None:
            return Blocked(
                "nothing is issued: this machine's clock has not been compared with the API server's yet; "
                "wait a moment"
            )
        if self._wrong_by is not None:
            direction = "ahead of" if self._wrong_by > 0 else "behind"
            return Blocked(
                f"nothing is issued: this machine's clock is {abs(self._wrong_by):.0f} s {direction} the API "
                "server's; mend the time synchronisation of the one that is wrong"
            )
        limit = 2 * self._interval + _RETRY_SECONDS
        if self._clock.elapsed() - self._compared_at > limit:
            return Blocked(
                "nothing is issued: this machine's clock could not be compared with the API server's for "
                f"more than {limit:.0f} s; see the operator's log"
            )
        return None

    def sure_now(self) -> datetime:
        """Return the time of day for what is to last, such as a root certificate.

        Raises:
            ClockError: the clock is not known to be right.
        """
        if (blocked := self.blocked) is not None:
            raise ClockError(blocked.message)
        return self._clock.now()

    async def first_try(self) -> None:
        """Wait until the clocks were compared once, or could not be."""
        await self._tried.wait()

    async def run(self) -> None:
        """Compare again and again, until cancelled."""
        while True:
            if await self.compare():
                self._on_set()
            at_rest = self.blocked is None and not self._unanswered
            await asyncio.sleep(self._interval if at_rest else min(_RETRY_SECONDS, self._interval))

    async def compare(self) -> bool:
        """Compare once; return whether the operator's clock was set."""
        try:
            asked = self._clock.now()
            server = await self._connection.server_date()
        except ApiAnswerError as error:
            if not self._unanswered:
                _log.warning("clock not compared", error=str(error))
            self._unanswered = True
            return False
        finally:
            self._tried.set()
        self._unanswered = False
        self._compared_at = self._clock.elapsed()
        answered = self._clock.now()
        wall_ahead = self._clock.wall() - answered
        return self._judge(
            server,
            by_own=ahead_of(server, asked, answered),
            by_wall=ahead_of(server, asked + wall_ahead, answered + wall_ahead),
        )

    def _judge(self, server: datetime, *, by_own: float, by_wall: float) -> bool:
        own_is_right, wall_is_right = abs(by_own) <= MOST_SKEW_SECONDS, abs(by_wall) <= MOST_SKEW_SECONDS
        if wall_is_right or (own_is_right and self._was_right):
            self._was_right, self._wrong_by = True, None
            if own_is_right:
                self.skew_seconds = by_own
                return False
            # Mended since it was read, or set together with the API server's.
            self._clock.anchor()
            self.skew_seconds = by_wall
            _log.warning("clock set", was_ahead_seconds=round(by_own, 1))
            return True
        # Told anew only when it is another error: each change of the message is a write of every status.
        if self._wrong_by is None or abs(self._wrong_by - by_wall) > MOST_SKEW_SECONDS:
            self._wrong_by = by_wall
            _log.error("clock wrong", ahead_seconds=round(by_wall, 1))
        self.skew_seconds = by_wall
        if own_is_right or self._was_right:
            return False
        # No time of this machine's was ever right. The times of tasks are the API server's: ends follow it.
        self._clock.anchor(server)
        return True


def ahead_of(server: datetime, asked: datetime, answered: datetime) -> float:
    """Return by how many seconds a clock is ahead of the API server's for certain; negative: behind.

    The answer was made between `asked` and `answered`, and says whole seconds, the rest of them cut off.

    Args:
        server: What the API server said.
        asked: What the clock said before the request.
        answered: What it said after the answer.
    """
    least = (asked - server - timedelta(seconds=1)).total_seconds()
    most = (answered - server).total_seconds()
    return max(least, 0.0) + min(most, 0.0)
