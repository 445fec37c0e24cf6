"""Every sink gets every batch, in order and at its own pace; a required one that lags stops issuing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agentid.cluster.errors import ConnectionLostError
from agentid.sinks import lane
from agentid.sinks.delivery import Delivery, Route
from agentid.sinks.errors import SinkError
from agentid.sinks.lag import Waiting
from agentid.sinks.sink import SinkName
from agentid.sinks.stdout import StdoutSink

WITHIN_SECONDS = 10.0
PATIENCE = 30.0


def records_of(sequence: int) -> list[bytes]:
    return [b'{"sequence":%d}\n' % sequence]


class MemorySink:
    """Takes what it is given, unless a test has it refuse."""

    def __init__(self, name: SinkName, has: int | None = None) -> None:
        self.name = name
        self.has = has
        self.taken: list[int] = []
        self.refusals: list[Exception] = []
        self.refuses: Exception | None = None
        self.stuck: asyncio.Event | None = None
        self.attempts = 0

    async def position(self) -> int | None:
        return self.has

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        self.attempts += 1
        if self.stuck is not None:
            await self.stuck.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        if self.refuses is not None:
            raise self.refuses
        assert list(records) == records_of(sequence)
        self.taken.append(sequence)

    async def close(self) -> None:
        """Nothing is held."""


class Scene:
    """A ledger, sinks and what is told of them."""

    def __init__(self, *sinks: MemorySink, required: tuple[SinkName, ...] = ()) -> None:
        self.now = 0.0
        self.leads = True
        self.first, self.head = 1, 0
        self.reads: list[int] = []
        self.gone: set[int] = set()
        self.api_server_is_there = True
        self.told: list[tuple[str, SinkName, int]] = []
        self.delivery = Delivery(
            [Route(each, each.name in required) for each in sinks],
            self.read,
            self,
            may_deliver=lambda: self.leads,
            patience_seconds=PATIENCE,
            clock=lambda: self.now,
            randomness=lambda: 0.0,
        )

    async def read(self, sequence: int) -> Sequence[bytes] | None:
        if not self.api_server_is_there:
            raise ConnectionLostError("no answer")
        assert self.first <= sequence <= self.head
        self.reads.append(sequence)
        return None if sequence in self.gone else records_of(sequence)

    def append(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.head += 1
            self.delivery.appended(self.head, records_of(self.head))

    def begin(self, **known: int) -> None:
        self.delivery.begin(self.first, self.head, known)

    def failed(self, sink: SinkName) -> None:
        self.told.append(("failed", sink, 1))

    def skipped(self, sink: SinkName, batches: int) -> None:
        self.told.append(("skipped", sink, batches))

    async def until(self, what: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not what():
            assert time.monotonic() < deadline, f"lag {self.delivery.lag()}, told {self.told[-3:]}"
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    task = asyncio.create_task(scene.delivery.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lane, "LONGEST_PAUSE_SECONDS", 0.02)


def stdout() -> MemorySink:
    return MemorySink(SinkName.STDOUT)


def http() -> MemorySink:
    return MemorySink(SinkName.HTTP)


async def test_every_sink_gets_every_batch_once_and_in_order() -> None:
    sinks = stdout(), MemorySink(SinkName.SEGMENTS, has=0)
    scene = Scene(*sinks)
    async with running(scene):
        scene.begin()
        for _ in range(20):
            scene.append(5)
            await asyncio.sleep(0)
        await scene.until(lambda: all(len(each.taken) == 100 for each in sinks))
    assert [each.taken for each in sinks] == [list(range(1, 101))] * 2
    assert {lag.batches for lag in scene.delivery.lag().values()} == {0}


async def test_what_came_while_it_is_kept_in_memory_is_not_read_again() -> None:
    sink = stdout()
    scene = Scene(sink)
    async with running(scene):
        scene.begin()
        await scene.until(lambda: SinkName.STDOUT in scene.delivery.reached())
        scene.append(lane.MAX_BATCHES)
        await scene.until(lambda: len(sink.taken) == lane.MAX_BATCHES)
    assert scene.reads == []


async def test_slow_sink_holds_up_nothing_and_what_does_not_fit_is_read_from_the_ledger() -> None:
    slow, quick = http(), stdout()
    slow.stuck = asyncio.Event()
    scene = Scene(slow, quick)
    async with running(scene):
        scene.begin()
        await scene.until(lambda: len(scene.delivery.reached()) == 2)
        scene.append(10 * lane.MAX_BATCHES)
        await scene.until(lambda: len(quick.taken) == 10 * lane.MAX_BATCHES)
        held = scene.delivery._lanes[SinkName.HTTP]._queue  # noqa: SLF001 - that it is bounded
        assert len(held) <= lane.MAX_BATCHES
        assert slow.taken == []
        slow.stuck.set()
        await scene.until(lambda: len(slow.taken) == 10 * lane.MAX_BATCHES)
    assert slow.taken == quick.taken


async def test_memory_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MAX_BYTES", 3 * len(records_of(1)[0]))
    sink = http()
    sink.stuck = asyncio.Event()
    scene = Scene(sink)
    async with running(scene):
        scene.begin()
        await scene.until(lambda: len(scene.delivery.reached()) == 1)
        scene.append(9)
        assert len(scene.delivery._lanes[SinkName.HTTP]._queue) == 3  # noqa: SLF001
        sink.stuck.set()
        await scene.until(lambda: len(sink.taken) == 9)
        scene.append(1)
        await scene.until(lambda: len(sink.taken) == 10)


async def test_batch_that_was_refused_is_given_again_until_it_is_taken_and_that_is_told_once() -> None:
    sink = http()
    sink.refusals = [SinkError("status 503", 0.01) for _ in range(4)]
    scene = Scene(sink)
    with capture_logs() as logs:
        async with running(scene):
            scene.begin()
            scene.append(2)
            await scene.until(lambda: sink.taken == [1, 2])
    assert scene.told == [("failed", SinkName.HTTP, 1)] * 4
    assert [each["event"] for each in logs] == ["sink takes nothing", "sink takes the record again"]


async def test_pause_that_was_asked_for_is_kept() -> None:
    sink = http()
    sink.refusals = [SinkError("status 503", 0.4)]
    scene = Scene(sink)
    async with running(scene):
        scene.begin()
        scene.append()
        began = time.monotonic()
        await scene.until(lambda: sink.taken == [1])
    assert time.monotonic() - began >= 0.4


async def test_defect_of_a_sink_ends_nothing() -> None:
    broken, other = http(), stdout()
    broken.refusals = [ZeroDivisionError("a defect")]
    scene = Scene(broken, other)
    with capture_logs() as logs:
        async with running(scene):
            scene.begin()
            scene.append()
            await scene.until(lambda: broken.taken == other.taken == [1])
    assert "sink failed unexpectedly" in {each["event"] for each in logs}


# ---- Where it begins ----


async def test_sink_that_can_tell_goes_on_where_it_ended() -> None:
    sink = MemorySink(SinkName.SEGMENTS, has=3)
    scene = Scene(sink)
    scene.head = 5
    async with running(scene):
        scene.begin(segments=1)
        await scene.until(lambda: sink.taken == [4, 5])


async def test_sink_that_cannot_tell_goes_on_where_it_is_remembered_to_have_been() -> None:
    known, unknown = http(), stdout()
    scene = Scene(known, unknown)
    scene.first, scene.head = 3, 6
    async with running(scene):
        scene.begin(http=4)
        await scene.until(lambda: known.taken == [5, 6] and unknown.taken == [3, 4, 5, 6])
    assert scene.told == []


async def test_what_was_pruned_before_a_sink_had_it_is_told() -> None:
    sink = MemorySink(SinkName.SEGMENTS, has=2)
    scene = Scene(sink)
    scene.first, scene.head = 5, 6
    with capture_logs() as logs:
        async with running(scene):
            scene.begin()
            await scene.until(lambda: sink.taken == [5, 6])
    assert scene.told == [("skipped", SinkName.SEGMENTS, 2)]
    (told,) = [each for each in logs if each["event"] == "batches gone before a sink had them"]
    assert (told["first"], told["last"]) == (3, 4)


async def test_batch_that_is_gone_is_told_and_the_next_ones_are_brought() -> None:
    sink = http()
    scene = Scene(sink)
    scene.head, scene.gone = 3, {2}
    async with running(scene):
        scene.begin()
        await scene.until(lambda: sink.taken == [1, 3])
    assert scene.told == [("skipped", SinkName.HTTP, 1)]


async def test_sink_with_more_than_the_ledger_is_not_that_ledgers() -> None:
    sink = MemorySink(SinkName.SEGMENTS, has=900)
    scene = Scene(sink, required=(SinkName.SEGMENTS,))
    scene.head = 42
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: scene.told)
        scene.now += PATIENCE + 1
        await scene.until(lambda: scene.delivery.blocked)
    assert sink.taken == []
    assert scene.delivery.blocked is not None
    assert "of another ledger" in scene.delivery.blocked.message


async def test_ledger_that_does_not_answer_is_asked_again() -> None:
    sink = http()
    scene = Scene(sink)
    scene.head, scene.api_server_is_there = 2, False
    async with running(scene):
        scene.begin()
        await scene.until(lambda: scene.told)
        scene.api_server_is_there = True
        await scene.until(lambda: sink.taken == [1, 2])


async def test_nothing_is_brought_while_another_leads_and_a_later_takeover_begins_anew() -> None:
    sink = http()
    scene = Scene(sink)
    scene.leads = False
    async with running(scene):
        scene.begin()
        scene.append(2)
        await asyncio.sleep(0.05)
        assert sink.attempts == 0
        scene.head, scene.leads = 7, True
        scene.begin(http=6)
        await scene.until(lambda: sink.taken == [7])


async def test_delivery_of_an_earlier_time_does_not_say_where_a_later_one_begins() -> None:
    sink = http()
    sink.stuck = asyncio.Event()
    scene = Scene(sink)
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: sink.attempts)
        scene.head = 7
        scene.begin(http=6)
        sink.stuck.set()
        await scene.until(lambda: sink.taken == [1, 7])


# ---- What it means for issuing and pruning ----


async def test_required_sink_that_takes_nothing_for_longer_than_its_patience_stops_issuing() -> None:
    sink = http()
    sink.refuses = SinkError("the receiver answered with status 503")
    scene = Scene(sink, stdout(), required=(SinkName.HTTP,))
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: len(scene.told) > 3)
        scene.now += PATIENCE
        assert scene.delivery.blocked is None
        scene.now += 1
        blocked = scene.delivery.blocked
        assert blocked is not None
        assert "required sink http: the receiver answered with status 503" in blocked.message
        sink.refuses = SinkError("the receiver answered with status 500")
        scene.now += 10
        # The same words as long as it lasts, since all tasks are looked at when they change.
        assert scene.delivery.blocked == blocked
        sink.refuses = None
        await scene.until(lambda: scene.delivery.blocked is None)


async def test_optional_sink_that_takes_nothing_stops_nothing() -> None:
    sink = http()
    sink.refuses = SinkError("status 503")
    scene = Scene(sink, stdout(), required=(SinkName.STDOUT,))
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: len(scene.told) > 3)
        scene.now += 100 * PATIENCE
        assert scene.delivery.blocked is None
        assert scene.delivery.lag()[SinkName.HTTP].batches == 1
        assert scene.delivery.lag()[SinkName.HTTP].seconds == 100 * PATIENCE


async def test_required_sink_that_hangs_stops_issuing_too() -> None:
    sink = http()
    sink.stuck = asyncio.Event()
    scene = Scene(sink, required=(SinkName.HTTP,))
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: sink.attempts)
        scene.now += PATIENCE + 1
        blocked = scene.delivery.blocked
    assert blocked is not None
    assert "more slowly" in blocked.message


async def test_idle_sink_is_never_late() -> None:
    sink = http()
    scene = Scene(sink, required=(SinkName.HTTP,))
    async with running(scene):
        scene.begin()
        scene.append()
        await scene.until(lambda: sink.taken == [1])
        scene.now += 100 * PATIENCE
        assert scene.delivery.blocked is None
        assert scene.delivery.lag()[SinkName.HTTP].seconds == 0


async def test_pruning_is_told_what_each_required_sink_surely_has() -> None:
    segments, other, optional = MemorySink(SinkName.SEGMENTS, has=0), http(), stdout()
    scene = Scene(segments, other, optional, required=(SinkName.SEGMENTS, SinkName.HTTP))
    assert scene.delivery.positions() == {SinkName.SEGMENTS: 0, SinkName.HTTP: 0}
    async with running(scene):
        scene.begin()
        scene.append(3)
        await scene.until(lambda: set(scene.delivery.reached().values()) == {3})
        # What a receiver has is sure for a successor only when it is remembered.
        assert scene.delivery.positions() == {SinkName.SEGMENTS: 3, SinkName.HTTP: 0}
        scene.delivery.remembered({SinkName.HTTP: 2, SinkName.SEGMENTS: 2})
        assert scene.delivery.positions() == {SinkName.SEGMENTS: 3, SinkName.HTTP: 2}


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["append", "refuse", "hang", "turn", "take over"]), max_size=30),
    st.booleans(),
)
def test_whatever_happens_nothing_is_left_out_and_nothing_comes_before_its_turn(
    plays: list[str],
    can_tell: bool,  # noqa: FBT001 - drawn
) -> None:
    async def play() -> list[int]:
        sink = MemorySink(SinkName.SEGMENTS, has=0 if can_tell else None)
        scene = Scene(sink)
        async with running(scene):
            scene.begin()
            for what in plays:
                if what == "append":
                    scene.append()
                elif what == "refuse":
                    sink.refusals.append(SinkError("no"))
                elif what == "hang":
                    sink.stuck = asyncio.Event()
                elif what == "take over":
                    if can_tell:
                        sink.has = max(sink.taken, default=0)
                    scene.begin(segments=max(sink.taken, default=0))
                else:
                    await asyncio.sleep(0)
                if what != "hang" and sink.stuck is not None:
                    sink.stuck.set()
            scene.append()
            if sink.stuck is not None:
                sink.stuck.set()
            await scene.until(lambda: scene.head in sink.taken)
        assert scene.told.count(("skipped", SinkName.SEGMENTS, 1)) == 0
        return [*sink.taken, -scene.head]

    *taken, head = asyncio.run(play())
    assert sorted(set(taken)) == list(range(1, 1 - head))
    # Twice only where a takeover came in between, and never one before another.
    first_times = list(dict.fromkeys(taken))
    assert first_times == sorted(first_times)


def test_time_of_the_oldest_batch_is_never_told_too_short_and_its_memory_is_bounded() -> None:
    now = [0.0]
    waiting = Waiting(lambda: now[0])
    waiting.begin(0, 0)
    assert waiting.seconds() == 0
    for sequence in range(1, 5001):
        now[0] += 1.0
        waiting.came(sequence)
    assert len(waiting._marks) <= 512  # noqa: SLF001
    for position in range(0, 5000, 7):
        waiting.reached(position, 5000)
        came = float(position + 1)
        assert now[0] - came <= waiting.seconds() <= now[0]
    waiting.reached(5000, 5000)
    assert waiting.seconds() == 0


# ---- Standard output ----


async def test_record_on_standard_output_is_what_it_was_with_its_place_in_the_ledger() -> None:
    records = [b'{"kind":"issued","serial":"4a"}\n', b'{"kind":"ended"}']
    with capture_logs() as logs:
        await StdoutSink().deliver(records, 7)
    assert logs == [
        {"event": "record", "log_level": "info", "kind": "issued", "serial": "4a", "sequence": 7, "index": 0},
        {"event": "record", "log_level": "info", "kind": "ended", "sequence": 7, "index": 1},
    ]
    assert await StdoutSink().position() is None


@given(st.binary(max_size=30))
def test_what_is_no_record_is_not_written(content: bytes) -> None:
    async def deliver() -> list[Any]:
        with capture_logs() as logs:
            try:
                await StdoutSink().deliver([content], 1)
            except SinkError:
                assert not logs
        return list(logs)

    for line in asyncio.run(deliver()):
        assert orjson.loads(content).items() <= line.items()
