"""The operator's clock: who sets the machine's changes nothing, and where it is wrong nothing is issued."""

import ast
import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ClockError, ConnectionLostError
from agentid.controller.clock_proof import MOST_SKEW_SECONDS, ClockProof, ahead_of
from agentid.controller.deadlines import Deadlines
from agentid.process.clocks import Clock, boottime
from agentid.watched.facts import Key
from devcluster.places import CHECKOUT

_START = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY: Key = ("ns", "t")
_TWO_HOURS = 7200.0
_INTERVAL = 60.0
_LIMIT_SECONDS = 5
_WALL_CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.gmtime",
    "time.localtime",
}
steps = pytest.mark.parametrize("step", [-_TWO_HOURS, _TWO_HOURS], ids=["back", "forward"])


class Machine(Connection):
    """A machine whose wall clock can be set, and an API server with a clock of its own."""

    def __init__(self) -> None:
        self.boot = 1000.0
        self.wall_wrong_by = 0.0
        self.server_wrong_by = 0.0
        self.down = False
        self.asked = 0

    @property
    def true_time(self) -> datetime:
        return _START + timedelta(seconds=self.boot - 1000.0)

    def wall(self) -> float:
        return self.true_time.timestamp() + self.wall_wrong_by

    def clock(self) -> Clock:
        return Clock(self.wall, lambda: self.boot)

    async def server_date(self) -> datetime:
        self.asked += 1
        if self.down:
            raise ConnectionLostError("GET /version: no answer")
        return (self.true_time + timedelta(seconds=self.server_wrong_by)).replace(microsecond=0)


class Place:
    """A machine, its clock, and the proof that it is right; what is told to look again is counted."""

    def __init__(self, *, wall_wrong_by: float = 0.0) -> None:
        self.machine = Machine()
        self.machine.wall_wrong_by = wall_wrong_by
        self.clock = self.machine.clock()
        self.changes = 0
        self.changed = asyncio.Event()
        self.proof = ClockProof(self.machine, self.clock, interval_seconds=_INTERVAL, on_set=self._changed)

    def _changed(self) -> None:
        self.changes += 1
        self.changed.set()

    def why(self) -> str:
        blocked = self.proof.blocked
        return blocked.message if blocked is not None else ""


@steps
def test_a_step_of_the_wall_clock_changes_nothing(step: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.boot += 5
    machine.wall_wrong_by = step
    machine.boot += 55

    assert clock.now() == machine.true_time == _START + timedelta(seconds=60)
    assert clock.wall() == machine.true_time + timedelta(seconds=step)


def test_the_real_clock_counts_on() -> None:
    clock = Clock()
    before = boottime()

    assert clock.now().tzinfo is UTC
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < MOST_SKEW_SECONDS
    assert boottime() >= before


@steps
async def test_a_deadline_is_due_at_its_true_time_whatever_is_done_to_the_wall_clock(step: float) -> None:
    machine = Machine()
    due: list[Key] = []
    deadlines = Deadlines(machine.clock().now, due.append, due.append)
    deadlines.set(_KEY, _START + timedelta(seconds=30))
    machine.wall_wrong_by = step

    machine.boot += 29
    await _turn(deadlines)
    assert due == []
    machine.boot += 1
    await _turn(deadlines)
    assert due == [_KEY]


async def _turn(deadlines: Deadlines) -> None:
    """Let the deadlines look at the time once."""
    running = asyncio.create_task(deadlines.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nothing_is_issued_before_the_clocks_were_compared() -> None:
    place = Place()
    assert "has not been compared with the API server's yet" in place.why()
    with pytest.raises(ClockError, match="has not been compared"):
        place.proof.sure_now()

    await place.proof.compare()
    assert place.why() == ""
    assert place.proof.sure_now() == _START


@pytest.mark.parametrize(
    ("wrong_by", "says"),
    [
        (-_TWO_HOURS, "this machine's clock is 7200 s behind the API server's"),
        (_TWO_HOURS, "s ahead of the API"),
    ],
)
async def test_a_clock_that_is_wrong_at_start_blocks_until_it_is_mended(wrong_by: float, says: str) -> None:
    place = Place(wall_wrong_by=wrong_by)

    await place.proof.compare()
    assert says in place.why()
    assert "mend the time synchronisation" in place.why()
    assert place.proof.skew_seconds == pytest.approx(wrong_by, abs=1)
    with pytest.raises(ClockError):
        place.proof.sure_now()
    assert place.clock.now() == place.machine.true_time, "ends come when the API server's clock says so"

    place.machine.boot += 7
    assert not await place.proof.compare()
    assert says in place.why(), "that its time is the API server's does not make this machine's clock right"

    place.machine.wall_wrong_by = 0.0
    await place.proof.compare()
    assert place.why() == ""
    assert place.clock.now() == place.machine.true_time
    assert place.proof.skew_seconds == 0.0


@steps
async def test_time_that_is_set_for_the_machine_and_the_api_server_alike_is_followed(step: float) -> None:
    place = Place()
    place.machine.wall_wrong_by = place.machine.server_wrong_by = step

    assert await place.proof.compare()
    assert place.why() == ""
    assert place.clock.now() == place.machine.true_time + timedelta(seconds=step)


async def test_an_api_server_whose_clock_is_wrong_blocks_too() -> None:
    place = Place()
    place.machine.server_wrong_by = _TWO_HOURS

    assert await place.proof.compare()
    assert "7200 s behind" in place.why()


@steps
async def test_an_api_server_whose_clock_is_set_later_blocks_and_moves_no_end(step: float) -> None:
    place = Place()
    await place.proof.compare()
    place.machine.server_wrong_by = step

    assert not await place.proof.compare()
    assert f"7200 s {'behind' if step > 0 else 'ahead of'}" in place.why() or "7199 s" in place.why()
    assert place.clock.now() == place.machine.true_time
    place.machine.server_wrong_by = 0.0
    assert not await place.proof.compare()
    assert place.why() == ""


@steps
async def test_a_clock_that_was_right_needs_the_wall_clock_no_more(step: float) -> None:
    place = Place()
    await place.proof.compare()
    place.machine.wall_wrong_by = step
    place.machine.boot += 3600

    assert not await place.proof.compare()
    assert place.why() == ""
    assert place.clock.now() == place.machine.true_time


async def test_what_is_said_stays_the_same_while_the_error_does() -> None:
    place = Place(wall_wrong_by=-_TWO_HOURS)
    await place.proof.compare()
    said = place.why()
    for _ in range(20):
        place.machine.boot += 2.3
        await place.proof.compare()
        assert place.why() == said
    place.machine.wall_wrong_by = -60.0
    await place.proof.compare()
    assert "60 s behind" in place.why()


async def test_ten_seconds_are_borne_and_eleven_are_not() -> None:
    for wrong_by, borne in ((MOST_SKEW_SECONDS, True), (MOST_SKEW_SECONDS + 2, False)):
        place = Place(wall_wrong_by=wrong_by)
        await place.proof.compare()
        assert (place.why() == "") is borne, wrong_by


async def test_a_comparison_that_is_too_old_is_none_and_the_first_failures_are_borne() -> None:
    place = Place()
    await place.proof.compare()
    place.machine.down = True
    place.machine.boot += 2 * _INTERVAL
    await place.proof.compare()
    assert place.why() == ""
    place.machine.boot += 3
    assert "could not be compared with the API server's for more than 122 s" in place.why()


async def test_all_is_looked_at_when_the_clock_was_set_and_a_first_try_that_fails_holds_nobody_up() -> None:
    place = Place(wall_wrong_by=-3600)
    place.machine.down = True
    running = asyncio.create_task(place.proof.run())
    async with asyncio.timeout(_LIMIT_SECONDS):
        await place.proof.first_try()
        assert (place.machine.asked, place.changes) == (1, 0)
        assert place.why()
        place.machine.down = False
        await place.changed.wait()
    running.cancel()
    assert place.changes == 1
    assert "3600 s behind the API server's" in place.why()


@pytest.mark.parametrize(
    ("asked", "answered", "ahead"),
    [(0.0, 0.1, 0.0), (0.9, 1.5, 0.0), (5.0, 5.1, 4.0), (-5.0, -4.9, -4.9), (-9.0, 3.0, 0.0)],
)
def test_only_what_is_certain_counts_as_an_error(asked: float, answered: float, ahead: float) -> None:
    moments = (_START + timedelta(seconds=each) for each in (asked, answered))

    assert ahead_of(_START, *moments) == pytest.approx(ahead)


def test_nothing_in_the_operator_reads_the_wall_clock_but_the_one_clock() -> None:
    found = [
        (path.name, ast.unparse(node))
        for path in (CHECKOUT / "operator" / "agentid").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _WALL_CLOCKS
    ]

    # When a span ended is told to a collector, beside when it began, which the SDK reads; nothing goes by it.
    assert sorted(found) == [("clocks.py", "time.time"), ("live_spans.py", "time.time_ns")]
