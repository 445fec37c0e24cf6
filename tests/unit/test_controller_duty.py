"""Work that comes while the lease is late is tried again, a standby does none; half done is not settled."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from agentid.cluster.errors import ServerError
from agentid.cluster.lease import Takeover
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
from agentid.controller.errors import NotLeadingError
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.queue import LATER_SHARE, WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.records import Record
from agentid.controller.secret_memory import SecretMemory
from agentid.controller.world import World
from agentid.lifecycle.model import FailedWrite
from agentid.watched.facts import Key

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_GRACE = timedelta(seconds=120)
_KEY: Key = ("ns", "t")


class LeaderAtWork:
    """A leader that holds its lease."""

    def require(self) -> float:
        return 15.0

    def settle(self) -> None:
        pass


class Passes:
    """Passes that end well, or as they are told."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    async def reconcile(self, key: Key) -> None:
        assert key == _KEY
        if self.error is not None:
            raise self.error


class LateLeader:
    """A leader whose lease is not held for the moment."""

    def require(self) -> float:
        raise NotLeadingError("the lease is not held")


@pytest.fixture
def world() -> World:
    return World(lambda _: None, lambda: _NOW)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue(metrics: Metrics) -> WorkQueue:
    return WorkQueue(lambda: 0.0, metrics.count_failed_pass)


@pytest.fixture
def duty(world: World, queue: WorkQueue, metrics: Metrics) -> Duty:
    return Duty(
        world,
        queue,
        Deadlines(lambda: _NOW, queue.add, queue.add_later),
        metrics,
        wipe_grace=_GRACE,
        clock=lambda: _NOW,
    )


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


async def _pass(duty: Duty, passes: Passes) -> None:
    await duty.look_at(cast("Leader", LeaderAtWork()), cast("Reconciler", passes), _KEY)


def _record(world: World) -> Record:
    world.take_task({"metadata": {"namespace": "ns", "name": "t", "uid": "u-1", "resourceVersion": "5"}})
    record = world.record(_KEY)
    assert record is not None
    return record


@pytest.mark.parametrize(
    "error", [ServerError("500"), NotLeadingError("late"), TimeoutError(), asyncio.CancelledError()]
)
async def test_a_pass_that_did_not_end_well_is_half_done_until_one_does(
    duty: Duty, error: BaseException
) -> None:
    passes = Passes()
    duty.take_over(Takeover(_NOW))
    assert duty.settled
    passes.error = error
    with pytest.raises(type(error)):
        await _pass(duty, passes)
    assert not duty.settled
    passes.error = None
    await _pass(duty, passes)
    assert duty.settled


def test_a_standby_is_never_settled(duty: Duty) -> None:
    assert not duty.settled
    duty.take_over(Takeover(_NOW))
    duty.step_down()
    assert not duty.settled


async def test_a_takeover_is_settled_once_each_task_was_looked_at_and_its_secret_is_known(
    duty: Duty, world: World
) -> None:
    record = _record(world)
    assert not duty.take_over(Takeover(_NOW))
    record.secret.absent()
    assert not duty.settled
    await _pass(duty, Passes())
    assert duty.settled


def _absent_but_asked_for(at: datetime) -> Callable[[SecretMemory], None]:
    def remember(memory: SecretMemory) -> None:
        memory.absent()
        memory.asked_for("an earlier task", at)

    return remember


_SECRETS: dict[str, tuple[Callable[[SecretMemory], None], bool]] = {
    "unknown": (lambda memory: memory.forget(), False),
    "doubtful": (lambda memory: memory.doubtful("u-1"), False),
    "taken": (lambda memory: memory.taken(), False),
    "absent": (lambda memory: memory.absent(), True),
    "filled": (lambda memory: memory.filled("u-1", 2, None), True),
    "emptied": (lambda memory: memory.emptied("u-1", _NOW, None), True),
    "one that may still come": (_absent_but_asked_for(_NOW - _GRACE + timedelta(seconds=1)), False),
    "one that cannot come any more": (_absent_but_asked_for(_NOW - _GRACE), True),
}


@pytest.mark.parametrize("secret", _SECRETS)
def test_one_secret_in_doubt_is_enough(duty: Duty, world: World, secret: str) -> None:
    duty.take_over(Takeover(_NOW))
    remember, sure = _SECRETS[secret]
    record = _record(world)
    remember(record.secret)
    assert duty.settled is sure
    record.failed_write = FailedWrite("it failed", _NOW)
    assert not duty.settled
    record.failed_write = None
    world.drop_task(_KEY, "u-1")
    assert duty.settled is sure


def test_a_pod_without_a_task_leaves_nothing_in_doubt(duty: Duty, world: World) -> None:
    duty.take_over(Takeover(_NOW))
    labels = {"agentid.dev/task": "t"}
    world.take_pod({"metadata": {"namespace": "ns", "name": "p", "uid": "u-p", "labels": labels}})
    assert duty.settled


async def test_after_a_takeover_what_is_gone_comes_first_and_then_what_changed_last(
    duty: Duty, world: World, queue: WorkQueue
) -> None:
    for name, version in (("old", 5), ("gone", 6), ("new", 90), ("newer", 100), ("older", 4)):
        metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": str(version)}
        world.take_task({"metadata": metadata})
        queue.add(("ns", name))
    world.drop_task(("ns", "gone"), "gone")
    duty.take_over(Takeover(_NOW))
    seen: list[str] = []

    async def look_at(key: Key) -> None:
        seen.append(key[1])

    runner = asyncio.create_task(queue.run(look_at, 1))
    async with asyncio.timeout(10):
        await queue.wait_idle()
    runner.cancel()
    assert seen == ["gone", "newer", "new", "old", "older"]


async def _looked_at(queue: WorkQueue) -> list[Key]:
    """Look at all that waits, one after the other."""
    seen: list[Key] = []

    async def look_at(key: Key) -> None:
        seen.append(key)

    runner = asyncio.create_task(queue.run(look_at, 1))
    async with asyncio.timeout(10):
        await queue.wait_idle()
    runner.cancel()
    # It would take the first of what comes next.
    await asyncio.gather(runner, return_exceptions=True)
    return seen


def _take(world: World, key: Key, status: dict[str, Any] | None = None) -> None:
    metadata = {"namespace": key[0], "name": key[1], "uid": "-".join(key), "resourceVersion": "5"}
    world.take_task({"metadata": metadata, "status": status or {}})


_LIVE = {"credentials": [{"generation": 1}]}
_OVER = {"conditions": [{"type": "Finished", "status": "True"}]}


@pytest.mark.parametrize(
    ("namespace", "looked_at"),
    [("a", [("a", "one"), ("a", "two")]), ("b", [("b", "one")]), ("c", []), (None, "all")],
)
async def test_every_task_that_a_layer_is_about_is_looked_at(
    duty: Duty, world: World, queue: WorkQueue, namespace: str | None, looked_at: list[Key] | str
) -> None:
    keys = [("a", "one"), ("a", "two"), ("b", "one")]
    for key in keys:
        _take(world, key)
    duty.look_at_layer(namespace)
    seen = await _looked_at(queue)
    assert sorted(seen) == (keys if looked_at == "all" else looked_at)


async def test_who_has_a_credential_is_decided_again_before_who_waits_and_who_is_over_is_not(
    duty: Duty, world: World, queue: WorkQueue
) -> None:
    for name, status in (("waits", {}), ("live", _LIVE), ("over", _OVER), ("too", _LIVE)):
        _take(world, ("a", name), status)
    duty.look_at_layer(None)
    assert [name for _, name in await _looked_at(queue)] == ["live", "too", "waits"]


async def test_who_waits_does_not_wait_for_a_look_at_all_who_are_served(
    duty: Duty, world: World, queue: WorkQueue
) -> None:
    for number in range(1000):
        _take(world, ("a", f"live-{number}"), _LIVE)
    for name, status in (("over", _OVER), ("zz-new", {})):
        _take(world, ("a", name), status)
    duty.take_over(Takeover(_NOW))
    assert (seen := await _looked_at(queue)).index(("a", "zz-new")) < LATER_SHARE
    assert len(seen) == len(set(seen)) == 1002
    duty.look_at_all()
    assert (seen := await _looked_at(queue)).index(("a", "zz-new")) < LATER_SHARE
    assert len(seen) == len(set(seen)) == 1002


async def test_change_of_policy_over_many_tasks_keeps_no_new_one_waiting(
    duty: Duty, world: World, queue: WorkQueue
) -> None:
    for number in range(10_000):
        _take(world, ("a", f"live-{number}"), _LIVE)
    duty.look_at_layer(None)
    queue.add(("a", "new"))
    queue.add(("a", "live-9999"))
    seen = await _looked_at(queue)
    assert seen.index(("a", "new")) < LATER_SHARE
    assert seen.index(("a", "live-9999")) < LATER_SHARE, "something happened to it"
    assert len(seen) == 10_001


def test_who_has_taken_over_is_on_duty_until_it_steps_down(duty: Duty) -> None:
    assert not duty.is_on
    duty.take_over(Takeover(_NOW))
    assert duty.is_on
    duty.step_down()
    assert not duty.is_on
