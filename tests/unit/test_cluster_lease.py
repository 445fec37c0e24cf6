"""The lease: taken when free or long unchanged by our own clock; what is in doubt outlives short holders."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentid.cluster.connection import Body, Connection, Params
from agentid.cluster.errors import AlreadyExistsError, ConflictError, ConnectionLostError, NotFoundError
from agentid.cluster.lease import SETTLED_ANNOTATION, UNSETTLED_ANNOTATION, LeaseLock, LeaseTimes, Takeover

_TIMES = LeaseTimes(duration_seconds=15, renew_deadline_seconds=10, retry_seconds=2)
_START = datetime(2026, 5, 31, 14, tzinfo=UTC)
_NEVER = datetime.fromtimestamp(0, UTC)


class OneLease(Connection):
    """An API server that serves one Lease; `lose` answers the next write with silence after it is done."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.lose = False
        self.down = False

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> Body:  # noqa: ARG002
        self._check()
        if self.lease is None:
            raise NotFoundError(path)
        return deepcopy(self.lease)

    async def post(self, path: str, body: Body, params: Params | None = None) -> Body:  # noqa: ARG002
        self._check()
        if self.lease is not None:
            raise AlreadyExistsError(path)
        return self._store(body, uid="l-1", version=1)

    async def put(self, path: str, body: Body, params: Params | None = None) -> Body:  # noqa: ARG002
        self._check()
        if self.lease is None:
            raise NotFoundError(path)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(path)
        return self._store(body, uid="l-1", version=int(body["metadata"]["resourceVersion"]) + 1)

    def _check(self) -> None:
        if self.down:
            raise ConnectionLostError("down")

    def _store(self, body: Body, uid: str, version: int) -> Body:
        self.lease = deepcopy(body)
        self.lease["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
        if self.lose:
            self.lose = False
            raise ConnectionLostError("lost")
        return deepcopy(self.lease)


class Time:
    """Wall clock and boot time, moved by hand and apart where a test says so."""

    def __init__(self) -> None:
        self.wall = _START
        self.boot = 1000.0

    def pass_seconds(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.boot += seconds


@pytest.fixture
def server() -> OneLease:
    return OneLease()


@pytest.fixture
def time() -> Time:
    return Time()


def _candidate(server: OneLease, time: Time, identity: str) -> LeaseLock:
    return LeaseLock(
        server,
        name="l",
        namespace="ns",
        identity=identity,
        times=_TIMES,
        clock=lambda: time.wall,
        boottime=lambda: time.boot,
    )


async def _try(lock: LeaseLock) -> bool:
    """Do what the election does: read, then create or update."""
    found, _ = await lock.get(lock.name, lock.namespace)
    if not found:
        return await lock.create(lock.name, lock.namespace, None)
    return await lock.update(lock.name, lock.namespace, None)


async def test_the_first_one_takes_it_and_everything_is_in_doubt(server: OneLease, time: Time) -> None:
    lock = _candidate(server, time, "a")
    assert await _try(lock)
    assert lock.held
    assert lock.takeover.last_at_work == _NEVER


async def test_of_two_at_once_one_takes_it(server: OneLease, time: Time) -> None:
    one, other = _candidate(server, time, "a"), _candidate(server, time, "b")
    await one.get("l", "ns")
    await other.get("l", "ns")
    assert await one.create("l", "ns", None)
    assert not await other.create("l", "ns", None)
    assert not await _try(other)
    assert other.held_by_another
    assert not other.held


async def test_it_is_held_no_longer_than_the_renew_deadline_by_the_boot_clock(
    server: OneLease, time: Time
) -> None:
    lock = _candidate(server, time, "a")
    await _try(lock)
    time.boot += 9.9
    assert lock.held
    time.boot += 0.2  # a suspended machine: the wall clock was set back, the boot clock counts
    time.wall -= timedelta(hours=1)
    assert not lock.held


async def test_a_jump_of_the_wall_clock_takes_the_lease_from_nobody(server: OneLease, time: Time) -> None:
    holder, standby = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(holder)
    assert not await _try(standby)
    time.wall += timedelta(hours=1)
    assert not await _try(standby)
    time.pass_seconds(14)
    await _try(holder)
    assert not await _try(standby)
    time.pass_seconds(14)
    assert not await _try(standby)
    time.pass_seconds(1.1)
    assert await _try(standby)


async def test_a_release_is_followed_at_once_and_still_says_who_was_at_work_when(
    server: OneLease, time: Time
) -> None:
    holder, standby = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(holder)
    holder.settle()
    time.pass_seconds(5)
    assert not await _try(standby)
    await holder.release(settled=False)
    assert not holder.held
    assert await _try(standby)
    assert standby.takeover == Takeover(_START + timedelta(seconds=5))


async def test_a_release_that_left_nothing_half_done_says_so_to_the_next_and_to_nobody_after(
    server: OneLease, time: Time
) -> None:
    first, second = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(first)
    first.settle()
    time.pass_seconds(5)
    await first.release(settled=True)

    assert await _try(second)
    assert second.takeover == Takeover(_START + timedelta(seconds=5), settled=True)
    assert server.lease is not None
    assert SETTLED_ANNOTATION not in server.lease["metadata"]["annotations"]
    second.settle()
    await _try(second)
    third = _candidate(server, time, "c")
    await _try(third)
    time.pass_seconds(16)
    assert await _try(third)
    assert not third.takeover.settled


async def test_a_release_is_not_settled_while_the_predecessors_work_is_not(
    server: OneLease, time: Time
) -> None:
    first, second = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(first)
    await first.release(settled=True)
    assert await _try(second)
    assert second.takeover == Takeover(_NEVER)


@pytest.mark.parametrize("released", [True, False], ids=["released", "died"])
async def test_who_holds_it_in_between_and_keeps_the_annotation_unsettles_it(
    *, server: OneLease, time: Time, released: bool
) -> None:
    first, second = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(first)
    first.settle()
    await first.release(settled=True)
    assert server.lease is not None
    time.pass_seconds(1)
    between = time.wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    server.lease["spec"] |= {"holderIdentity": "" if released else "x", "renewTime": between}
    assert await _try(second) is released
    time.pass_seconds(16)
    assert await _try(second)
    assert not second.takeover.settled


async def test_one_that_is_held_is_not_settled_whatever_it_says(server: OneLease, time: Time) -> None:
    first, second = _candidate(server, time, "a"), _candidate(server, time, "b")
    await _try(first)
    first.settle()
    await first.release(settled=True)
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = "x"
    await _try(second)
    time.pass_seconds(16)
    assert await _try(second)
    assert not second.takeover.settled


async def test_doubt_that_nobody_settled_outlives_the_next_holder(server: OneLease, time: Time) -> None:
    first = _candidate(server, time, "a")
    await _try(first)
    first.settle()
    await _try(first)
    time.pass_seconds(30)
    second = _candidate(server, time, "b")
    await _try(second)
    time.pass_seconds(16)
    assert await _try(second)
    assert second.takeover.last_at_work == _START
    time.pass_seconds(90)  # longer than any margin, and killed before it was through
    third = _candidate(server, time, "c")
    await _try(third)
    time.pass_seconds(16)
    assert await _try(third)
    assert third.takeover.last_at_work == _START


async def test_settled_doubt_is_over(server: OneLease, time: Time) -> None:
    lock = _candidate(server, time, "a")
    await _try(lock)
    assert server.lease is not None
    assert UNSETTLED_ANNOTATION in server.lease["metadata"]["annotations"]
    lock.settle()
    await _try(lock)
    assert UNSETTLED_ANNOTATION not in server.lease["metadata"].get("annotations", {})


async def test_a_takeover_whose_reply_was_lost_still_knows_the_predecessor(
    server: OneLease, time: Time
) -> None:
    first = _candidate(server, time, "a")
    await _try(first)
    first.settle()
    await _try(first)
    time.pass_seconds(1)
    second = _candidate(server, time, "b")
    assert not await _try(second)
    time.pass_seconds(16)
    server.lose = True
    assert not await _try(second)
    assert not second.held
    time.pass_seconds(2)
    assert await _try(second)
    assert second.held
    assert second.takeover.last_at_work == _START


async def test_renewing_is_no_takeover_and_regaining_a_lost_lease_is(server: OneLease, time: Time) -> None:
    lock = _candidate(server, time, "a")
    await _try(lock)
    lock.settle()
    time.pass_seconds(2)
    assert await _try(lock)
    assert lock.takeover.last_at_work == _NEVER
    lock.lose()
    time.pass_seconds(60)
    assert await _try(lock)
    assert lock.takeover.last_at_work == _START + timedelta(seconds=2)


async def test_no_answer_is_no_lease(server: OneLease, time: Time) -> None:
    lock = _candidate(server, time, "a")
    server.down = True
    found, error = await lock.get("l", "ns")
    assert not found
    assert error is not None
    assert not await lock.create("l", "ns", None)
    assert not lock.held
