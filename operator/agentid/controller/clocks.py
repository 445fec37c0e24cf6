"""The two clocks of the process."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


def boottime() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
