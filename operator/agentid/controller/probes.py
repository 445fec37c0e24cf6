"""What is wrong with a running operator, for its probes, and the gauges that show it coming."""

from collections.abc import Callable
from typing import Final

from agentid.cluster.watch_activity import DEAD_SECONDS, WatchActivity
from agentid.controller.deadlines import Deadlines
from agentid.controller.issuing import Hindrance
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.queue import WorkQueue
from agentid.process.tracing import lost_spans

STUCK_SECONDS: Final = 180.0
"""Where work is there and not one pass has ended for so long, failed ones included, none will."""


class Probes:
    """Answers for /healthz (begin again) and /readyz (not of use yet)."""

    def __init__(
        self,
        *,
        activity: WatchActivity,
        paths: tuple[str, ...],
        queue: WorkQueue,
        leader: Leader,
        issuing: Hindrance,
    ) -> None:
        self._activity = activity
        self._paths = paths
        self._queue = queue
        self._leader = leader
        self._issuing = issuing
        self._started = activity.clock()
        self.synced = False

    def unhealthy(self) -> list[str]:
        """Return why this process will not recover by itself."""
        ages, running = self._activity.ages(), self._activity.clock() - self._started
        problems = []
        for path in self._paths:
            if (age := ages.get(path, running)) > DEAD_SECONDS:
                what = "been silent" if path in ages else "not begun"
                problems.append(f"the watch of {path} has {what} for {age:.0f} s")
        if (stalled := self._queue.stalled_seconds()) > STUCK_SECONDS:
            problems.append(f"the queue is stuck: there is work, but no pass has ended for {stalled:.0f} s")
        return problems

    def unready(self) -> list[str]:
        """Return why this operator is neither at work nor a standby of one that is."""
        problems = [] if self.synced else ["not everything has been listed yet"]
        if (blocked := self._issuing.blocked) is not None:
            problems.append(blocked.message)
        if not self._leader.decided:
            problems.append("it is not decided yet which operator leads")
        return problems

    def add_gauges(
        self,
        metrics: Metrics,
        deadlines: Deadlines,
        *,
        admission_in_force: Callable[[], bool],
        is_behind: Callable[[], bool],
        clock_skew_seconds: Callable[[], float],
    ) -> None:
        """Add the gauges that show what goes on inside."""
        queue = self._queue
        metrics.watch("agentid_workqueue_depth", "Tasks that wait to be looked at.", lambda: queue.depth)
        metrics.watch("agentid_workqueue_active", "Tasks that are looked at.", lambda: queue.active)
        metrics.watch("agentid_workqueue_retrying", "Tasks whose last pass failed.", lambda: queue.retrying)
        metrics.watch(
            "agentid_workqueue_oldest_seconds",
            "Age of the oldest work that is waiting or under way.",
            queue.oldest_age,
        )
        metrics.watch("agentid_traces_lost_spans", "Spans since the start that nobody took.", lost_spans)
        metrics.watch("agentid_deadlines", "Tasks with a time set.", lambda: len(deadlines))
        metrics.watch(
            "agentid_watch_silence_seconds",
            "For how long the quietest watch has brought nothing.",
            lambda: max(self._activity.ages().values(), default=0.0),
        )
        metrics.watch(
            "agentid_view_behind",
            "1 while what a watch missed that has begun anew is looked for; nothing is issued then.",
            lambda: float(is_behind()),
        )
        metrics.watch(
            "agentid_leader", "1 while this operator holds the lease.", lambda: float(self._leader.leading)
        )
        metrics.watch(
            "agentid_admission_in_force",
            "1 while every admission rule is installed as it should be and in force; 0: nothing is issued.",
            lambda: float(admission_in_force()),
        )
        metrics.watch(
            "agentid_clock_skew_seconds",
            "By how much the operator's clock is ahead of the API server's, as last seen; negative: behind.",
            clock_skew_seconds,
        )
