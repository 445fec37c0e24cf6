"""The lease: taken when free or long unchanged by our own clock; what is in doubt outlives short holders."""

from datetime import UTC, datetime, timedelta

import pytest

from agentid.cluster.lease import SETTLED_ANNOTATION, UNSETTLED_ANNOTATION, Takeover
from tests.unit.one_lease import START, OneLease, Time, attempt, candidate

_NEVER = datetime.fromtimestamp(0, UTC)


@pytest.fixture
def server() -> OneLease:
    return OneLease()


@pytest.fixture
def time() -> Time:
    return Time()


async def test_the_first_one_takes_it_and_everything_is_in_doubt(server: OneLease, time: Time) -> None:
    lock = candidate(server, time, "a")
    assert await attempt(lock)
    assert lock.held
    assert lock.takeover.last_at_work == _NEVER


async def test_of_two_at_once_one_takes_it(server: OneLease, time: Time) -> None:
    one, other = candidate(server, time, "a"), candidate(server, time, "b")
    await one.get("l", "ns")
    await other.get("l", "ns")
    assert await one.create("l", "ns", None)
    assert not await other.create("l", "ns", None)
    assert not await attempt(other)
    assert other.held_by_another
    assert not other.held


async def test_it_is_held_no_longer_than_the_renew_deadline_by_the_boot_clock(
    server: OneLease, time: Time
) -> None:
    lock = candidate(server, time, "a")
    await attempt(lock)
    time.boot += 9.9
    assert lock.held
    time.boot += 0.2  # a suspended machine: the wall clock was set back, the boot clock counts
    time.wall -= timedelta(hours=1)
    assert not lock.held


async def test_a_write_may_take_until_the_lease_may_be_anothers(server: OneLease, time: Time) -> None:
    holder, standby = candidate(server, time, "a"), candidate(server, time, "b")
    assert holder.seconds_until_anothers() == 0
    await attempt(holder)
    await attempt(standby)
    assert holder.seconds_until_anothers() == 15
    time.pass_seconds(9.5)
    assert holder.held
    assert holder.seconds_until_anothers() == 5.5
    time.pass_seconds(5)
    assert not await attempt(standby)
    time.pass_seconds(0.5)
    assert holder.seconds_until_anothers() == 0
    assert await attempt(standby)


async def test_a_jump_of_the_wall_clock_takes_the_lease_from_nobody(server: OneLease, time: Time) -> None:
    holder, standby = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(holder)
    assert not await attempt(standby)
    time.wall += timedelta(hours=1)
    assert not await attempt(standby)
    time.pass_seconds(14)
    await attempt(holder)
    assert not await attempt(standby)
    time.pass_seconds(14)
    assert not await attempt(standby)
    time.pass_seconds(1.1)
    assert await attempt(standby)


async def test_a_release_is_followed_at_once_and_still_says_who_was_at_work_when(
    server: OneLease, time: Time
) -> None:
    holder, standby = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(holder)
    holder.settle()
    time.pass_seconds(5)
    assert not await attempt(standby)
    await holder.release(settled=False)
    assert not holder.held
    assert await attempt(standby)
    assert standby.takeover == Takeover(START + timedelta(seconds=5))


async def test_a_release_that_left_nothing_half_done_says_so_to_the_next_and_to_nobody_after(
    server: OneLease, time: Time
) -> None:
    first, second = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(first)
    first.settle()
    time.pass_seconds(5)
    await first.release(settled=True)

    assert await attempt(second)
    assert second.takeover == Takeover(START + timedelta(seconds=5), settled=True)
    assert server.lease is not None
    assert SETTLED_ANNOTATION not in server.lease["metadata"]["annotations"]
    second.settle()
    await attempt(second)
    third = candidate(server, time, "c")
    await attempt(third)
    time.pass_seconds(16)
    assert await attempt(third)
    assert not third.takeover.settled


async def test_a_release_is_not_settled_while_the_predecessors_work_is_not(
    server: OneLease, time: Time
) -> None:
    first, second = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(first)
    await first.release(settled=True)
    assert await attempt(second)
    assert second.takeover == Takeover(_NEVER)


@pytest.mark.parametrize("released", [True, False], ids=["released", "died"])
async def test_who_holds_it_in_between_and_keeps_the_annotation_unsettles_it(
    *, server: OneLease, time: Time, released: bool
) -> None:
    first, second = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(first)
    first.settle()
    await first.release(settled=True)
    assert server.lease is not None
    time.pass_seconds(1)
    between = time.wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    server.lease["spec"] |= {"holderIdentity": "" if released else "x", "renewTime": between}
    assert await attempt(second) is released
    time.pass_seconds(16)
    assert await attempt(second)
    assert not second.takeover.settled


async def test_one_that_is_held_is_not_settled_whatever_it_says(server: OneLease, time: Time) -> None:
    first, second = candidate(server, time, "a"), candidate(server, time, "b")
    await attempt(first)
    first.settle()
    await first.release(settled=True)
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = "x"
    await attempt(second)
    time.pass_seconds(16)
    assert await attempt(second)
    assert not second.takeover.settled


async def test_doubt_that_nobody_settled_outlives_the_next_holder(server: OneLease, time: Time) -> None:
    first = candidate(server, time, "a")
    await attempt(first)
    first.settle()
    await attempt(first)
    time.pass_seconds(30)
    second = candidate(server, time, "b")
    await attempt(second)
    time.pass_seconds(16)
    assert await attempt(second)
    assert second.takeover.last_at_work == START
    time.pass_seconds(90)  # longer than any margin, and killed before it was through
    third = candidate(server, time, "c")
    await attempt(third)
    time.pass_seconds(16)
    assert await attempt(third)
    assert third.takeover.last_at_work == START


async def test_settled_doubt_is_over(server: OneLease, time: Time) -> None:
    lock = candidate(server, time, "a")
    await attempt(lock)
    assert server.lease is not None
    assert UNSETTLED_ANNOTATION in server.lease["metadata"]["annotations"]
    lock.settle()
    await attempt(lock)
    assert UNSETTLED_ANNOTATION not in server.lease["metadata"].get("annotations", {})


async def test_a_takeover_whose_reply_was_lost_still_knows_the_predecessor(
    server: OneLease, time: Time
) -> None:
    first = candidate(server, time, "a")
    await attempt(first)
    first.settle()
    await attempt(first)
    time.pass_seconds(1)
    second = candidate(server, time, "b")
    assert not await attempt(second)
    time.pass_seconds(16)
    server.lose = True
    assert not await attempt(second)
    assert not second.held
    time.pass_seconds(2)
    assert await attempt(second)
    assert second.held
    assert second.takeover.last_at_work == START


async def test_renewing_is_no_takeover_and_regaining_a_lost_lease_is(server: OneLease, time: Time) -> None:
    lock = candidate(server, time, "a")
    await attempt(lock)
    lock.settle()
    time.pass_seconds(2)
    assert await attempt(lock)
    assert lock.takeover.last_at_work == _NEVER
    lock.lose()
    time.pass_seconds(60)
    assert await attempt(lock)
    assert lock.takeover.last_at_work == START + timedelta(seconds=2)


async def test_no_answer_is_no_lease(server: OneLease, time: Time) -> None:
    lock = candidate(server, time, "a")
    server.down = True
    found, error = await lock.get("l", "ns")
    assert not found
    assert error is not None
    assert not await lock.create("l", "ns", None)
    assert not lock.held
