"""The clocks of the process: one that nobody can set, and the time of day that is counted with it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def boottime() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The time of day by which the operator works: read once from the wall clock, and counted on from there.

    Whoever sets the wall clock later changes nothing, until `anchor` is called; see `ClockProof`.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = boottime
    ) -> None:
        self._wall = wall
        self.elapsed = elapsed
        self.anchor()

    def anchor(self, at: datetime | None = None) -> None:
        """Count on from `at`; None: from what the wall clock says now."""
        self._anchored_at = self.elapsed()
        self._anchor = at or self.wall()

    def now(self) -> datetime:
        """Return the time of day (UTC)."""
        return self._anchor + timedelta(seconds=self.elapsed() - self._anchored_at)

    def wall(self) -> datetime:
        """Return what the wall clock says now, right or wrong."""
        return datetime.fromtimestamp(self._wall(), UTC)
