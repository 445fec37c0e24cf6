"""Whether what the watches have shown can be relied on: a stale view issues nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta

from agentid.cluster.watch_activity import STALE_SECONDS, WatchActivity
from agentid.lifecycle.model import Blocked
from agentid.lifecycle.wording import at


class Freshness:
    """Whether every watch of `paths` was heard lately."""

    def __init__(
        self,
        activity: WatchActivity,
        paths: tuple[str, ...],
        *,
        clock: Callable[[], datetime],
        is_behind: Callable[[], bool],
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._activity = activity
        self._paths = paths
        self._clock = clock
        self._is_behind = is_behind
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
