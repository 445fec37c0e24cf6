"""What begins with a takeover and ends with the lease: which tasks to look at, and what is unsettled."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from agentid.cluster.lease import Takeover
from agentid.controller.deadlines import Deadlines
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.packed_task import Standing
from agentid.controller.queue import WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.records import Record
from agentid.controller.world import World
from agentid.lifecycle.model import SecretState
from agentid.watched.facts import Key

_log = structlog.get_logger("agentid.operator")

_SURE: Final = frozenset({SecretState.ABSENT, SecretState.FILLED, SecretState.EMPTIED})


class Duty:
    """The active operator's work. A standby keeps its world up to date and looks at nothing."""

    def __init__(  # noqa: PLR0913 - what it hands out work to, and what tells when a late write cannot come
        self,
        world: World,
        queue: WorkQueue,
        deadlines: Deadlines,
        metrics: Metrics,
        *,
        wipe_grace: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._queue = queue
        self._deadlines = deadlines
        self._metrics = metrics
        self._wipe_grace = wipe_grace
        self._clock = clock
        self._on_duty = False
        self._unsettled: set[Key] = set()
        self._half_done: set[Key] = set()
        self.takeover = Takeover(datetime.fromtimestamp(0, UTC))

    def take_over(self, takeover: Takeover) -> bool:
        """Begin: what was remembered of Secrets counts no longer, every task is looked at once.

        Those without a credential come first, while most others only have to be seen to be in order: what
        happens meanwhile does not wait for them. Of each, what changed last comes first: that is where nobody
        has done anything yet.

        Returns whether there is nothing to look at.
        """
        self._on_duty = True
        self.takeover = takeover
        self._unsettled = {key for key, _ in self._world.records()}
        self._world.begin_anew()
        newest = sorted(self._world.records(), key=_change, reverse=True)
        self._queue.begin_anew(
            (key for key, record in newest if not _is_served(record)),
            (key for key, record in newest if _is_served(record)),
        )
        return not self._unsettled

    @property
    def is_on(self) -> bool:
        """Whether this operator has taken over and not stepped down; its lease may be late."""
        return self._on_duty

    @property
    def settled(self) -> bool:
        """Whether nothing is half done: no pass was begun that did not end well, and no Secret is in doubt.

        A successor then takes what the statuses say for what there is.
        """
        return (
            self._on_duty
            and not self._unsettled
            and not self._half_done
            and not any(self._in_doubt(record) for _, record in self._world.records())
        )

    def step_down(self) -> None:
        """End: nothing more is due."""
        self._on_duty = False
        self._deadlines.clear()

    def look_at_all(self) -> None:
        """Have every task looked at, those first that may wait for just this."""
        for key, record in self._world.records():
            if _is_served(record):
                self._queue.add_later(key)
            else:
                self._queue.add(key)

    def look_at_layer(self, namespace: str | None) -> None:
        """Have every task decided again that a layer of policies is about; None: the cluster's, about all.

        There may be thousands: what happens to tasks meanwhile comes first. Whoever has a credential comes
        before those that wait for one, and who is over not at all.
        """
        waiting = []
        for key, record in self._world.records():
            if namespace not in {None, key[0]} or record.task is None:
                continue
            if record.task.standing is Standing.LIVE:
                self._queue.add_later(key)
            elif record.task.standing is not Standing.OVER:
                waiting.append(key)
        for key in waiting:
            self._queue.add_later(key)

    async def look_at(self, leader: Leader, reconciler: Reconciler, key: Key) -> None:
        """Make one pass, if this operator is the active one.

        Raises:
            AgentidError: the pass has to be made again.
        """
        if not self._on_duty:
            self._half_done.discard(key)
            self._world.forget_departed(key)
            return
        # Held a moment ago and perhaps soon again, without a takeover between: tried again, not dropped.
        leader.require()
        if (record := self._world.record(key)) is not None and record.task is not None:
            structlog.contextvars.bind_contextvars(uid=record.task.uid)
        # It stays there when the pass fails, runs out of time or is cancelled, until one ends well.
        self._half_done.add(key)
        with self._metrics.pass_seconds.time():
            await reconciler.reconcile(key)
        self._half_done.discard(key)
        self._metrics.passes.labels(result="success").inc()
        if key in self._unsettled:
            self._unsettled.discard(key)
            if not self._unsettled:
                # Nothing that the predecessor may have left half done is in doubt any more.
                leader.settle()
                _log.info("settled")

    def _in_doubt(self, record: Record) -> bool:
        """Whether more than the task's status is needed to know how its Secret stands."""
        if record.secret.state is None:
            return record.task is not None or bool(record.departed)
        may_come = record.secret.may_come(self._clock(), self._wipe_grace)
        return may_come or record.failed_write is not None or record.secret.state not in _SURE


def _is_served(record: Record) -> bool:
    """Whether there is a task that has its credential, or is over."""
    return record.task is not None and record.task.standing in {Standing.LIVE, Standing.OVER}


def _change(entry: tuple[Key, Record]) -> float:
    """Return a number that grows with the time of the last change; a task that is gone is the latest."""
    task = entry[1].task
    return task.version if task is not None else math.inf
