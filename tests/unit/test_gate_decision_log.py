"""The decision log in real files: what is in it, that it is chained, and what a full disk does to it."""

import asyncio
import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.answer import Answer, Reason, TaskName
from agentid.gate.deciding import Deciding
from agentid.gate.decision_line import MAX_TEXT, Chain, Position, decided
from agentid.gate.decision_log import AT_ONCE, DecisionLog, Files, Keeping
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.ledger.canonical import decode
from agentid.ledger.decisions import NO_HEAD
from agentid.ledger.digests import digest_of
from agentid.sinks import segment_file
from agentid.sinks.errors import SinkError
from agentid.sinks.segments import SegmentSink
from tests.unit.gate_cases import LIMITS, NOW, SPIFFE_ID, UID, UPTIME, Gate, question

NAME = "0123456789abcdef" * 2
TASK = TaskName("support", "refund-4711", UID)
ALLOWED = Answer(allowed=True, reason=Reason.ALLOWED, message="", task=TASK)
DENIED = Answer(allowed=False, reason=Reason.TASK_ENDED, message="over", task=TASK)
DEADLINE_SECONDS = 10


def sink(folder: Path, *, max_bytes: int = 1 << 20, max_files: int = 4) -> SegmentSink:
    return SegmentSink(folder, max_bytes=max_bytes, max_files=max_files)


def log(
    files: Files | None,
    *,
    share: float = 1.0,
    is_required: bool = False,
    chance: float = 0.5,
    max_waiting: int = 1000,
) -> DecisionLog:
    return DecisionLog(
        files,
        Chain(NAME, "gate-1"),
        Keeping(share, is_required),
        now=lambda: NOW,
        randomness=lambda: chance,
        max_waiting=max_waiting,
    )


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """The lines in all files, each looked at: it is canonical, and says the hash of the one before."""
    found: list[dict[str, Any]] = []
    head = NO_HEAD
    for path in sorted(folder.iterdir()):
        for raw in path.read_bytes().splitlines():
            line = raw[raw.index(b'"record":') + len(b'"record":') : -1]
            fields: dict[str, Any] = decode(line)
            assert (fields["previous"], fields["sequence"]) == (head, len(found) + 1)
            assert (fields["log"], fields["replica"]) == (NAME, "gate-1")
            head = digest_of(line)
            found.append(fields)
    return found


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def written(made: DecisionLog) -> None:
    """Run it until nothing waits."""
    running = asyncio.create_task(made.run())
    await until(lambda: not made.waiting and not made.problem)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_each_line_tells_what_was_asked_and_is_chained_to_the_one_before(tmp_path: Path) -> None:
    made, gate = log(sink(tmp_path)), Gate()
    asked = question(
        trace_id="r-1", call=Call("orders:read", "order/4711", "lookup", {"card": "4111"}, "s-1")
    )
    made.told(asked, gate.ask(asked), NOW + timedelta(milliseconds=7))
    other = question(call=Call("orders:write", "order/4711"))
    made.told(other, gate.ask(other), NOW)
    await written(made)

    first, second = lines_in(tmp_path)
    assert first | {"previous": ""} == {
        "schema": "agentid.dev/decision/v1",
        "log": NAME,
        "replica": "gate-1",
        "sequence": 1,
        "previous": "",
        "kind": "decision",
        "at": "2026-06-03T10:00:00.007Z",
        "allowed": True,
        "reason": "Allowed",
        "asker": "spiffe://prod.example.com/ns/edge/sa/envoy",
        "identity": SPIFFE_ID,
        "serial": "4f" * 16,
        "namespace": "support",
        "task": "refund-4711",
        "uid": UID,
        "action": "orders:read",
        "resource": "order/4711",
        "tool": "lookup",
        "session": "s-1",
        "trace_id": "r-1",
        "policies": first["policies"],
        "policy_digests": first["policy_digests"],
    }
    assert first["policies"]
    assert (second["allowed"], second["reason"], second["action"]) == (
        False,
        "ActionNotGranted",
        "orders:write",
    )
    assert made.written.sequence == 2


async def test_every_denial_and_each_first_use_is_kept_and_a_share_of_the_others(tmp_path: Path) -> None:
    made = log(sink(tmp_path), share=0.5, chance=0.5)
    for _ in range(3):
        made.told(question(), ALLOWED, NOW)
        made.told(question(), DENIED, NOW)
    made.told(question(call=Call("orders:list")), ALLOWED, NOW)
    await written(made)
    assert [each["reason"] for each in lines_in(tmp_path)] == [
        "Allowed",
        *["TaskEnded"] * 3,
        "Allowed",
    ]


async def test_the_share_is_by_chance(tmp_path: Path) -> None:
    made = log(sink(tmp_path), share=0.5, chance=0.49)
    for _ in range(3):
        made.told(question(), ALLOWED, NOW)
    await written(made)
    assert len(lines_in(tmp_path)) == 3


async def test_old_files_go_and_a_process_that_starts_anew_writes_on_in_the_same_folder(
    tmp_path: Path,
) -> None:
    for _ in range(6):
        made = log(sink(tmp_path, max_bytes=2000, max_files=2))
        for _ in range(10):
            made.told(question(), DENIED, NOW)
        await written(made)
        await made.close(1)
    assert names_in(tmp_path) == [f"{5:016d}.jsonl", f"{6:016d}.jsonl"]


class FullDisk(SegmentSink):
    """A folder on a disk that is full until there is room."""

    is_full = True

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        if self.is_full:
            raise SinkError("/log: No space left on device")
        await super().deliver(records, sequence)


async def test_decisions_go_on_on_a_full_disk_and_what_is_lost_is_counted_in_the_log(tmp_path: Path) -> None:
    files = FullDisk(tmp_path, max_bytes=1 << 20, max_files=4)
    made = log(files, max_waiting=3)
    running = asyncio.create_task(made.run())
    for _ in range(5):
        made.told(question(), DENIED, NOW)
    await until(lambda: "No space left" in made.problem)
    for _ in range(5):
        made.told(question(), DENIED, NOW)
    assert made.hindrance() is None
    assert made.lost > 0
    lost = made.lost

    files.is_full = False
    await until(lambda: not made.waiting and not made.problem)
    running.cancel()
    await made.close(1)

    found = lines_in(tmp_path)
    assert sum(each["count"] for each in found if each["kind"] == "lost") == lost
    assert len([each for each in found if each["kind"] == "decision"]) == 10 - lost


async def test_a_real_write_error_is_one_and_what_was_half_written_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, budget = segment_file.os.write, [40]

    def short(descriptor: int, content: memoryview) -> int:
        if budget and budget[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        if budget:
            content = content[: budget[0]]
            budget[0] -= len(content)
        return write(descriptor, content)

    monkeypatch.setattr(segment_file.os, "write", short)
    made = log(sink(tmp_path))
    running = asyncio.create_task(made.run())
    made.told(question(), DENIED, NOW)
    await until(lambda: "No space left on device" in made.problem)
    budget.clear()
    await until(lambda: not made.waiting and not made.problem)
    running.cancel()
    assert len(lines_in(tmp_path)) == 1


def deciding(gate: Gate, made: DecisionLog) -> Deciding:
    return Deciding(
        gate.view,
        LIMITS,
        gate.asking,
        now=lambda: NOW,
        uptime=lambda: UPTIME,
        told=made.told,
        hindrance=made.hindrance,
    )


async def test_where_a_log_is_required_nothing_is_allowed_that_cannot_be_written(tmp_path: Path) -> None:
    files = FullDisk(tmp_path, max_bytes=1 << 20, max_files=4)
    made = log(files, is_required=True, max_waiting=2)
    decide = deciding(Gate(), made)

    answer = decide(question())
    assert (answer.allowed, answer.reason) == (False, Reason.NOT_RECORDED)
    assert "it is not open yet" in answer.message
    running = asyncio.create_task(made.run())
    await until(lambda: "No space left" in made.problem)
    assert "No space left on device" in decide(question()).message

    files.is_full = False
    await until(lambda: not made.waiting and not made.problem)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert decide(question()).allowed
    assert decide(question()).allowed
    assert "more is decided than it takes" in decide(question()).message
    assert [each["reason"] for each in lines_in(tmp_path)] == ["NotRecorded"] * 2


async def test_a_denial_stays_what_it_is_where_nothing_can_be_written(tmp_path: Path) -> None:
    decide = deciding(Gate(), log(sink(tmp_path), is_required=True))
    assert decide(question(call=Call("orders:write"))).reason is Reason.ACTION_NOT_GRANTED


async def test_what_waits_at_the_end_is_written(tmp_path: Path) -> None:
    made = log(sink(tmp_path))
    for _ in range(AT_ONCE * 2 + 1):
        made.told(question(), DENIED, NOW)
    await made.close(DEADLINE_SECONDS)
    assert len(lines_in(tmp_path)) == AT_ONCE * 2 + 1


async def test_an_end_on_a_full_disk_is_an_end(tmp_path: Path) -> None:
    made = log(FullDisk(tmp_path, max_bytes=1 << 20, max_files=4))
    made.told(question(), DENIED, NOW)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await made.close(DEADLINE_SECONDS)
    assert made.waiting == 1


async def test_without_a_folder_decisions_are_counted_only() -> None:
    made = log(None)
    made.told(question(), DENIED, NOW)
    await made.run()
    await made.close(1)
    assert (made.waiting, made.problem, made.hindrance(), made.written) == (0, "", None, Position())
    assert not made.tally.is_empty


texts = st.text(st.characters(), max_size=MAX_TEXT + 10)


@given(texts, texts, texts, texts, texts)
def test_whatever_is_asked_can_be_written(
    identity: str, action: str, resource: str, tool: str, trace: str
) -> None:
    asked = Question(
        EnforcementPoint(tool), identity, resource, Call(action, resource, tool, session=trace), trace
    )
    chain = Chain(NAME, "gate-1")
    for answer in (DENIED, replace(ALLOWED, step=TASK), replace(DENIED, task=None)):
        line = chain.add(decided(asked, answer, NOW))
        assert json.loads(line)["allowed"] is answer.allowed
        assert b"\n" not in line
        assert len(line) < 64 * 1024
