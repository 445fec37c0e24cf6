"""What begins with a takeover and ends with the lease: which tasks to look at, and what is unsettled."""

from datetime import UTC, datetime

import structlog

from agentid.cluster.lease import Takeover
from agentid.controller.deadlines import Deadlines
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.queue import WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.records import Key
from agentid.controller.world import World

_log = structlog.get_logger("agentid.operator")


class Duty:
    """The active operator's work. A standby keeps its world up to date and looks at nothing."""

    def __init__(self, world: World, queue: WorkQueue, deadlines: Deadlines, metrics: Metrics) -> None:
        self._world = world
        self._queue = queue
        self._deadlines = deadlines
        self._metrics = metrics
        self._on_duty = False
        self._unsettled: set[Key] = set()
        self.last_at_work = datetime.fromtimestamp(0, UTC)

    def take_over(self, takeover: Takeover) -> bool:
        """Begin: what was remembered of Secrets counts no longer, every task is looked at once.

        Returns whether there is nothing to look at.
        """
        self._on_duty = True
        self.last_at_work = takeover.last_at_work
        self._unsettled = {key for key, _ in self._world.records()}
        self._world.begin_anew()
        self.look_at_all()
        return not self._unsettled

    def step_down(self) -> None:
        """End: nothing more is due."""
        self._on_duty = False
        self._deadlines.clear()

    def look_at_all(self) -> None:
        """Have every task looked at."""
        for key, _ in self._world.records():
            self._queue.add(key)

    async def look_at(self, leader: Leader, reconciler: Reconciler, key: Key) -> None:
        """Make one pass, if this operator is the active one.

        Raises:
            AgentidError: the pass has to be made again.
        """
        if not self._on_duty:
            self._world.forget_departed(key)
            return
        # Held a moment ago and perhaps soon again, without a takeover between: tried again, not dropped.
        leader.require()
        if (record := self._world.record(key)) is not None and record.task is not None:
            structlog.contextvars.bind_contextvars(uid=record.task.uid)
        with self._metrics.pass_seconds.time():
            await reconciler.reconcile(key)
        self._metrics.passes.labels(result="success").inc()
        if key in self._unsettled:
            self._unsettled.discard(key)
            if not self._unsettled:
                # Nothing that the predecessor may have left half done is in doubt any more.
                leader.settle()
                _log.info("settled")
