"""Who leads may write, for as long as nobody else can lead; who does not may not."""

import pytest

from agentid.cluster.lease import LeaseLock
from agentid.controller.errors import NotLeadingError
from agentid.controller.leader import Leader
from tests.unit.one_lease import TIMES, OneLease, Time, attempt, candidate


async def _leader(lock: LeaseLock) -> Leader:
    leader = Leader(lock, TIMES, lambda _: True, lambda: None)
    assert await attempt(lock)
    await leader._started()  # noqa: SLF001 - what the election calls once it is won
    return leader


async def test_a_write_may_take_until_another_can_lead() -> None:
    time = Time()
    leader = await _leader(candidate(OneLease(), time, "a"))
    assert leader.require() == 15
    time.pass_seconds(9.9)
    assert leader.require() == pytest.approx(5.1)
    time.pass_seconds(0.2)
    with pytest.raises(NotLeadingError):
        leader.require()


async def test_nothing_may_be_written_before_the_takeover_and_after_the_release() -> None:
    server, time = OneLease(), Time()
    lock = candidate(server, time, "a")
    standing = Leader(lock, TIMES, lambda _: True, lambda: None)
    assert await attempt(lock)
    with pytest.raises(NotLeadingError):
        standing.require()
    leader = await _leader(lock)
    await leader.release(settled=True)
    with pytest.raises(NotLeadingError):
        leader.require()
