"""One chain grows by group commit; what is not durable is not released, and nobody writes over another's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AlreadyExistsError,
    ConnectionLostError,
    ForbiddenError,
    ServerError,
)
from agentid.controller import ledger_queue, ledger_writer
from agentid.controller.errors import LedgerOvertakenError, LedgerUnavailableError, NotLeadingError
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.metrics import Metrics
from agentid.ledger.batch import GENESIS, Batch, seal
from agentid.ledger.canonical import decode
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import encode, ledger_started

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY = LedgerKey.create()
_FIRST = seal(
    GENESIS, [ledger_started(_NOW, _KEY.public, "example.org")], key=_KEY, writer="w", nonce="e" * 32, at=_NOW
)
_LIMIT_SECONDS = 10


class Store:
    """Keeps batches by their names.

    Attributes:
        before: What goes wrong before a batch is kept; one for each write.
        after: What goes wrong once it is kept.
        gate: While it is closed, no write begins.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {_FIRST.name: {"spec": _FIRST.to_spec()}}
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def create(self, name: str, spec: Body) -> str:
        self.asked += 1
        await self.gate.wait()
        if self.before:
            raise self.before.pop(0)
        if name in self.kept:
            raise AlreadyExistsError(name)
        self.kept[name] = {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}
        if self.after:
            raise self.after.pop(0)
        return f"uid-{name}"

    async def read(self, sequence: int) -> Body:
        return self.kept[f"{sequence:016d}"]

    def batches(self) -> list[Batch]:
        """All but the first, which was there."""
        return [Batch.from_spec(name, each["spec"]) for name, each in sorted(self.kept.items())][1:]

    def records(self) -> list[str]:
        """The `n` of the records of tests, and the kinds of others, in their order."""
        found = [decode(each) for batch in self.batches() for each in batch.records]
        return [str(each.get("n") or each["kind"]) for each in found]


def record(number: object) -> bytes:
    return encode(
        {"schema": "agentid.dev/record/v1", "kind": "test", "at": "2026-05-31T14:00:00Z", "n": str(number)}
    )


class Scene:
    """A writer and what it writes to."""

    def __init__(self) -> None:
        self.store, self.now, self.written = Store(), 0.0, list[tuple[int, str]]()
        nonces, self.metrics, self.worth = count(), Metrics(), 0
        self.writer = LedgerWriter(
            self.store,
            writer="operator-1",
            clock=lambda: _NOW + timedelta(seconds=self.now),
            monotonic=lambda: self.now,
            randomness=lambda: 0.0,
            nonce=lambda: f"{next(nonces):032x}",
            on_written=lambda batch, uid: self.written.append((batch.sequence, uid)),
            worth_waiting_for=lambda: self.worth,
            metrics=self.metrics,
        )

    @asynccontextmanager
    async def running(self, *, begun: bool = True) -> AsyncIterator["asyncio.Task[None]"]:
        run = asyncio.create_task(self.writer.run())
        if begun:
            self.writer.begin(_FIRST.head, _KEY)
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                yield run
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError, LedgerOvertakenError):
                await run

    def append(self, number: object, undo: Callable[[], bytes] | None = None) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.writer.append(record(number), undo))  # type: ignore[return-value]

    def is_whole(self) -> bool:
        chain = ChainVerifier(keys=[_KEY.public])
        found = [
            each
            for name, body in sorted(self.store.kept.items())
            for each in chain.feed(name, body["spec"]).findings
        ]
        return not [*found, *chain.finish()[1]]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is looked at are plain attributes
        await asyncio.sleep(0)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(ledger_writer, "_LONGEST_PAUSE_SECONDS", 0.0)
    return Scene()


async def test_while_one_batch_is_written_the_next_one_gathers(scene: Scene) -> None:
    async with scene.running():
        scene.store.gate.clear()
        first = scene.append(0)
        await until(lambda: scene.store.asked == 1)
        others = [scene.append(number) for number in range(1, 31)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in [first, *others])
        scene.store.gate.set()
        await asyncio.gather(first, *others)
    assert [len(each.records) for each in scene.store.batches()] == [1, 30]
    assert scene.store.records() == [str(number) for number in range(31)]
    assert scene.written == [(2, "uid-0000000000000002"), (3, "uid-0000000000000003")]
    assert scene.is_whole()


async def test_a_batch_waits_until_it_is_full_enough(scene: Scene) -> None:
    scene.worth = 3
    async with scene.running():
        first = scene.append("first")
        await asyncio.sleep(0.01)
        scene.writer.note(record("second"))
        await asyncio.sleep(0.01)
        assert scene.store.asked == 0
        await scene.append("third")
        await first
    assert [len(each.records) for each in scene.store.batches()] == [3]


async def test_a_batch_waits_for_nobody_for_long(scene: Scene) -> None:
    scene.worth = 3
    async with scene.running():
        first = scene.append("first")
        await asyncio.sleep(0.01)
        assert scene.store.asked == 0
        scene.now += ledger_writer.GATHER_SECONDS
        await first
        # Those who were at work are done, and had nothing to record.
        second = scene.append("second")
        await asyncio.sleep(0.01)
        assert not second.done()
        scene.worth = 1
        await second
    assert [len(each.records) for each in scene.store.batches()] == [1, 1]


async def test_what_gathers_when_the_lease_is_lost_is_told_so_and_not_written(scene: Scene) -> None:
    scene.worth = 2
    async with scene.running():
        waiting = scene.append("first")
        await asyncio.sleep(0.01)
        scene.writer.stop()
        scene.now += ledger_writer.GATHER_SECONDS
        with pytest.raises(NotLeadingError):
            await waiting
        await asyncio.sleep(0.01)
    assert scene.store.asked == 0


async def test_what_is_withdrawn_while_a_batch_gathers_leaves_nothing_to_write(scene: Scene) -> None:
    scene.worth = 2
    async with scene.running() as run:
        waiting = scene.append("first")
        await asyncio.sleep(0.01)
        waiting.cancel()
        await scene.writer.drain()
        scene.now += ledger_writer.GATHER_SECONDS
        await asyncio.sleep(0.01)
        assert (scene.store.asked, run.done()) == (0, False)
        scene.worth = 1
        await scene.append("second")
    assert scene.store.records() == ["second"]


async def test_a_chain_that_is_begun_anew_while_a_batch_gathers_goes_on(scene: Scene) -> None:
    scene.worth = 2
    async with scene.running() as run:
        waiting = scene.append("first")
        await asyncio.sleep(0.01)
        scene.writer.stop()
        scene.writer.begin(_FIRST.head, _KEY)
        scene.now += ledger_writer.GATHER_SECONDS
        with pytest.raises(NotLeadingError):
            await waiting
        await asyncio.sleep(0.01)
        assert (scene.store.asked, run.done()) == (0, False)
        scene.worth = 1
        await scene.append("second")
    assert scene.store.records() == ["second"]


async def test_nothing_is_written_before_the_chain_was_read(scene: Scene) -> None:
    async with scene.running(begun=False):
        waiting = scene.append("first")
        await asyncio.sleep(0)
        scene.writer.note(record("second"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert (scene.store.asked, waiting.done()) == (0, False)
        scene.writer.begin(_FIRST.head, _KEY, [record("found out")])
        await scene.writer.drain()
        await waiting
    assert scene.store.records() == ["found out", "first", "second"]


async def test_more_than_a_batch_may_hold_goes_into_the_next(scene: Scene) -> None:
    async with scene.running():
        for number in range(2500):
            scene.writer.note(record(number))
        await scene.writer.drain()
    assert [len(each.records) for each in scene.store.batches()] == [1000, 1000, 500]
    assert scene.is_whole()


@pytest.mark.parametrize("error", [ConnectionLostError("cut"), ServerError("500")])
async def test_batch_whose_reply_was_lost_is_known_by_its_nonce(scene: Scene, error: Exception) -> None:
    scene.store.after = [error]
    async with scene.running():
        await scene.append("once")
        await scene.append("next")
    assert scene.store.records() == ["once", "next"]
    assert scene.written[0] == (2, "uid-0000000000000002")
    assert scene.is_whole()


async def test_batch_that_may_be_there_is_sent_again_as_it_was(scene: Scene) -> None:
    scene.store.before = [ConnectionLostError("cut"), ServerError("500")]
    async with scene.running():
        first = scene.append("first")
        await until(lambda: scene.store.asked == 1)
        scene.writer.note(record("second"))
        await first
        await scene.writer.drain()
    assert [len(each.records) for each in scene.store.batches()] == [1, 1], "it was sealed already"
    assert scene.writer.blocked is None


async def test_who_meets_anothers_batch_stops_and_releases_nothing(scene: Scene) -> None:
    others = seal(_FIRST.head, [record("another's")], key=_KEY, writer="operator-2", nonce="f" * 32, at=_NOW)
    await scene.store.create(others.name, dict(others.to_spec()))
    async with scene.running() as run:
        mine = scene.append("mine")
        with pytest.raises(LedgerOvertakenError, match="written by another operator"):
            await run
        with pytest.raises(NotLeadingError):
            await mine
    assert scene.store.records() == ["another's"]
    assert scene.writer.head is None


async def test_record_that_is_refused_is_not_released_and_the_task_learns_why(scene: Scene) -> None:
    scene.store.before = [ForbiddenError("RBAC says no"), ForbiddenError("RBAC says no")]
    async with scene.running():
        scene.writer.note(record("an end"))
        refused = scene.append("an issue")
        with pytest.raises(LedgerUnavailableError, match="RBAC says no"):
            await refused
        await scene.writer.drain()
    assert scene.store.records() == ["an end"], "it was kept and tried again; the issue was given up"


async def test_while_it_is_refused_nothing_is_issued_and_it_is_tried_until_it_is_taken_again(
    scene: Scene,
) -> None:
    scene.store.before = [ForbiddenError("RBAC says no") for _ in range(5)]
    said = []
    async with scene.running():
        with pytest.raises(LedgerUnavailableError):
            await scene.append("an issue")
        with pytest.raises(LedgerUnavailableError):
            await scene.append("another issue")
        await until(lambda: said.append(scene.writer.blocked) or not scene.store.before)  # type: ignore[func-returns-value]
        await scene.writer.drain()
    assert "the ledger can't be written: RBAC says no" in str(said[0])
    assert scene.writer.blocked is None
    assert scene.store.records() == ["lost"], "there was nothing else to write"
    (found,) = scene.store.batches()[0].records
    assert (decode(found)["count"], decode(found)["since"]) == (0, "2026-05-31T14:00:00Z")


async def test_write_without_an_answer_blocks_what_comes_and_does_not_hold_who_waits_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_writer, "APPEND_SECONDS", 0.05)
    scene.store.gate.clear()
    async with scene.running():
        waiting = scene.append("an issue", lambda: record("taken back"))
        await until(lambda: scene.store.asked == 1)
        assert scene.writer.blocked is None
        scene.now = 2.5
        assert "is not answered" in str(scene.writer.blocked)
        assert scene.writer.lag_seconds == 2.5
        with pytest.raises(LedgerUnavailableError, match="did not take the record"):
            await waiting
        scene.store.gate.set()
        await scene.writer.drain()
    assert scene.store.records() == ["an issue", "taken back"]
    assert (scene.writer.blocked, scene.writer.lag_seconds) == (None, 0.0)


async def test_what_was_given_up_is_taken_back_before_the_end_of_its_task_is_recorded(scene: Scene) -> None:
    scene.store.gate.clear()
    async with scene.running():
        waiting = scene.append("an issue", lambda: record("taken back"))
        await until(lambda: scene.store.asked == 1)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        scene.writer.note(record("an end"))
        scene.store.gate.set()
        await scene.writer.drain()
    assert scene.store.records() == ["an issue", "taken back", "an end"]


async def test_what_was_given_up_before_it_was_sent_leaves_no_trace(scene: Scene) -> None:
    scene.store.gate.clear()
    async with scene.running():
        first = scene.append("first")
        await until(lambda: scene.store.asked == 1)
        given_up = scene.append("second", lambda: record("taken back"))
        await asyncio.sleep(0)
        given_up.cancel()
        scene.store.gate.set()
        await first
        await scene.writer.drain()
    assert scene.store.records() == ["first"]


async def test_who_is_ended_at_the_moment_of_the_answer_takes_it_back(scene: Scene) -> None:
    async with scene.running():
        waiting = scene.append("an issue", lambda: record("taken back"))
        scene.store.gate.clear()
        await until(lambda: scene.store.asked == 1)
        scene.store.gate.set()
        await until(lambda: bool(scene.written))
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        await scene.writer.drain()
    assert scene.store.records() == ["an issue", "taken back"]


async def test_whoever_steps_down_writes_nothing_more(scene: Scene) -> None:
    scene.store.gate.clear()
    async with scene.running():
        waiting = scene.append("an issue")
        scene.writer.note(record("an end"))
        await until(lambda: scene.store.asked == 1)
        with capture_logs() as logs:
            scene.writer.stop()
        assert logs == [{"event": "records forgotten", "records": 1, "log_level": "warning"}]
        with pytest.raises(NotLeadingError):
            await waiting
        scene.store.before = [NotLeadingError("late")]
        scene.store.gate.set()
        await scene.writer.drain()
    assert scene.store.records() == []


async def test_what_cannot_be_kept_is_counted_and_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_queue, "MOST_WAITING", 3)
    scene.store.gate.clear()
    async with scene.running():
        scene.writer.note(record(0))
        await until(lambda: scene.store.asked == 1)
        for number in range(1, 8):
            scene.writer.note(record(number))
        scene.store.gate.set()
        await scene.writer.drain()
    assert scene.store.records() == ["0", "lost", "1", "2", "3"]
    assert decode(scene.store.batches()[1].records[0])["count"] == 4
