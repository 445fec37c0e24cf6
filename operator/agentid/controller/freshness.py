"""Whether what the watches have shown can be relied on: a stale view issues nothing."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from agentid.cluster.watch_activity import STALE_SECONDS, WatchActivity
from agentid.lifecycle.model import Blocked
from agentid.lifecycle.wording import at

_log = structlog.get_logger("agentid.freshness")

_LOOK_SECONDS: Final = 1.0


class Freshness:
    """Whether every watch of `paths` was heard lately."""

    def __init__(  # noqa: PLR0913 - what tells the view's age, and whom to tell
        self,
        activity: WatchActivity,
        paths: tuple[str, ...],
        *,
        clock: Callable[[], datetime],
        is_behind: Callable[[], bool],
        on_change: Callable[[], None],
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._activity = activity
        self._paths = paths
        self._clock = clock
        self._is_behind = is_behind
        self._on_change = on_change
        self._stale_seconds = stale_seconds

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued, or None, as of now: also right after a suspension."""
        ages = self._activity.ages()
        if missing := [path for path in self._paths if path not in ages]:
            return Blocked(
                f"nothing is issued: the watch of {missing[0]} has not begun; see the operator's log"
            )
        if self._is_behind():
            return Blocked(
                "nothing is issued: a watch has begun anew, and what it missed is still looked for; if that "
                "goes on, the operator's log says why (sweep failed)"
            )
        path = max(self._paths, key=ages.__getitem__)
        if ages[path] <= self._stale_seconds:
            return None
        # The moment and not the age: a message that changes with time is a write of every waiting status.
        since = self._clock() - timedelta(seconds=ages[path])
        return Blocked(
            f"nothing is issued: the watch of {path} has been silent since {at(since)}, so what is known may "
            "be out of date; it begins again by itself; if that does not help, look at the API server and at "
            "what is between it and the operator"
        )

    async def run(self) -> None:
        """Have all looked at when the view becomes stale or is fresh again, until cancelled."""
        was_fresh = self.blocked is None
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            blocked = self.blocked
            if (blocked is None) == was_fresh:
                continue
            was_fresh = blocked is None
            if blocked is None:
                _log.info("view fresh")
            else:
                _log.warning("view stale", problem=blocked.message)
            self._on_change()
