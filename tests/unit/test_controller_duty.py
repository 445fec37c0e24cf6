"""Work that comes while the lease is late is tried again, never dropped; a standby does none."""

from datetime import UTC, datetime
from typing import cast

import pytest

from agentid.cluster.lease import Takeover
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
from agentid.controller.errors import NotLeadingError
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.queue import WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.records import Key
from agentid.controller.world import World

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY: Key = ("ns", "t")


class LateLeader:
    """A leader whose lease is not held for the moment."""

    def require(self) -> None:
        raise NotLeadingError("the lease is not held")


@pytest.fixture
def duty() -> Duty:
    metrics = Metrics()
    queue = WorkQueue(lambda: 0.0, metrics.count_failed_pass)
    world = World(queue.add, lambda: _NOW)
    return Duty(world, queue, Deadlines(lambda: _NOW, queue.add), metrics)


async def _look(duty: Duty) -> None:
    leader, reconciler = cast("Leader", LateLeader()), cast("Reconciler", None)
    await duty.look_at(leader, reconciler, _KEY)


async def test_a_standby_looks_at_nothing(duty: Duty) -> None:
    await _look(duty)


async def test_a_late_lease_fails_the_pass_so_that_it_is_tried_again(duty: Duty) -> None:
    assert duty.take_over(Takeover(_NOW))
    with pytest.raises(NotLeadingError):
        await _look(duty)
    duty.step_down()
    await _look(duty)
