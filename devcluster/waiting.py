"""Waiting for a condition with a deadline, and a failure that shows the last thing seen."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from devcluster.errors import ConditionNotMetError

Seen = TypeVar("Seen")


def wait_until(
    what: str,
    look: Callable[[], Seen],
    good: Callable[[Seen], bool] = bool,
    *,
    within: timedelta = timedelta(seconds=30),
    every: timedelta = timedelta(milliseconds=100),
) -> Seen:
    """Look again and again until what is seen is good.

    Args:
        what: What is waited for, as the beginning of a sentence: "pod web runs".
        look: Takes one look; what it raises is not caught.
        good: Says whether that is what was waited for.
        within: How long to go on.
        every: The pause between two looks.

    Returns:
        The first thing seen that is good.

    Raises:
        ConditionNotMetError: Time is up; the message holds the last thing seen.
    """
    end = time.monotonic() + within.total_seconds()
    while not good(seen := look()):
        if time.monotonic() >= end:
            raise not_met(what, within, seen)
        time.sleep(every.total_seconds())
    return seen


def not_met(what: str, within: timedelta, seen: object) -> ConditionNotMetError:
    """The error that says what was waited for, for how long, and the last thing seen."""
    return ConditionNotMetError(
        f"{what}: not so after {within.total_seconds():g} s; last seen: {_short(seen)}"
    )


def _short(seen: object, most: int = 4000) -> str:
    """The text of what was seen, its end left out when it would fill the screen."""
    text = seen if isinstance(seen, str) else repr(seen)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
