"""What a decision point reports about once a minute: each use is told once, whatever fails."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.api.decisioncheckpoint import MAX_REPORT_LENGTH, DecisionCheckpointSpec
from agentid.cluster.errors import ConnectionLostError, ForbiddenError
from agentid.gate.answer import Answer, Reason, TaskName
from agentid.gate.decision_line import Chain, Position
from agentid.gate.decision_log import DecisionLog, Keeping
from agentid.gate.question import Call
from agentid.gate.reporting import Reporting
from agentid.gate.use_tally import MAX_DENIED_ACTIONS, UseTally
from agentid.ledger.decisions import MAX_USES, Report, decisions
from agentid.ledger.record import MAX_RECORD_BYTES, Record
from tests.unit.gate_cases import NOW, SPIFFE_ID, STEP_UID, UID, question

NAME = "0123456789abcdef" * 2
POD = "agentid-gate-7d9f-x2x"
MINUTE = timedelta(minutes=1)
WITHIN_SECONDS = 10


def task(uid: str = UID, name: str = "refund-4711") -> TaskName:
    return TaskName("support", name, uid)


def uid(number: int) -> str:
    return f"5c0e9a10-0000-4000-8000-{number:012d}"


def allowed(of: TaskName | None = None, step: TaskName | None = None) -> Answer:
    return Answer(allowed=True, reason=Reason.ALLOWED, message="", task=of or task(), step=step)


def denied(reason: Reason = Reason.TASK_ENDED, of: TaskName | None = None) -> Answer:
    return Answer(allowed=False, reason=reason, message="", task=of or task())


@dataclass
class Objects:
    """Where reports are written; the operator takes one with `take`."""

    there: dict[str, dict[str, object]] = field(default_factory=dict)
    failing: list[Exception | None] = field(default_factory=list)
    loses_answers: bool = False
    taken: list[Report] = field(default_factory=list)

    async def write(self, name: str, spec: dict[str, object]) -> bool:
        if self.failing and (error := self.failing.pop(0)) is not None:
            raise error
        is_there = self.there.setdefault(name, spec) == spec
        if self.loses_answers:
            raise ConnectionLostError("no answer")
        return is_there

    def take(self, name: str = POD) -> Report:
        spec = DecisionCheckpointSpec.model_validate(self.there.pop(name))
        report = Report.parse(spec.report)
        assert (report.log, report.number) == (spec.log, spec.number)
        self.taken.append(report)
        return report


class Reports:
    """A log that keeps nothing, and what is reported of it."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.now = NOW
        keeping = Keeping(0.0)
        self.log = DecisionLog(None, Chain(NAME, POD), keeping, now=lambda: self.now, randomness=lambda: 0.5)
        self.reporting = Reporting(
            self.log,
            self.objects.write,
            name=NAME,
            pod=POD,
            now=lambda: self.now,
            interval_seconds=0.01,
            retry_seconds=0.01,
        )

    def tell(self, answer: Answer, action: str = "orders:read", at: datetime | None = None) -> None:
        self.log.told(question(call=Call(action)), answer, at or self.now)


async def test_a_log_that_begins_is_told_at_once_and_then_only_what_happened() -> None:
    made = Reports()
    assert await made.reporting.once()
    first = made.objects.take()
    assert (first.number, first.allowed, first.denied, first.uses) == (1, 0, 0, [])
    assert first.started == NOW
    assert await made.reporting.once()
    assert not made.objects.there

    made.now += MINUTE
    made.tell(allowed())
    assert await made.reporting.once()
    second = made.objects.take()
    assert (second.number, second.since, second.until) == (2, NOW, NOW + MINUTE)


async def test_uses_are_told_by_task_action_and_reason_with_how_often_and_when() -> None:
    made = Reports()
    for seconds in (0, 5, 9):
        made.tell(allowed(), at=NOW + timedelta(seconds=seconds, milliseconds=900))
    made.tell(allowed(step=task(STEP_UID, "step")), "refunds:create")
    made.tell(denied(Reason.ACTION_NOT_GRANTED), "refunds:create")
    made.tell(denied())
    made.tell(replace(denied(Reason.UNKNOWN_TASK), task=None))
    made.tell(denied(), "no action!")
    await made.reporting.once()
    report = made.objects.take()

    assert (report.allowed, report.denied, report.unlisted) == (4, 4, 0)
    told = [(each.action, each.reason, each.step, each.count) for each in report.uses]
    assert told == [
        ("orders:read", None, None, 3),
        ("refunds:create", None, STEP_UID, 1),
        ("refunds:create", "ActionNotGranted", None, 1),
        ("orders:read", "TaskEnded", None, 1),
        (None, "TaskEnded", None, 1),
    ]
    first = report.uses[0]
    assert (first.uid, first.namespace, first.task, first.agent) == (
        UID,
        "support",
        "refund-4711",
        "refund-agent",
    )
    assert (first.first, first.last) == (NOW, NOW + timedelta(seconds=9))


async def test_a_report_that_nobody_has_taken_is_followed_by_one_that_tells_all_since() -> None:
    made = Reports()
    await made.reporting.once()
    made.tell(allowed())
    assert not await made.reporting.once()
    made.now += MINUTE
    assert made.reporting.waited_seconds() == 60
    made.tell(denied())
    assert not await made.reporting.once()
    assert made.objects.take().number == 1

    assert await made.reporting.once()
    second = made.objects.take()
    assert (second.number, second.allowed, second.denied) == (2, 1, 0)
    assert made.reporting.waited_seconds() == 0
    assert await made.reporting.once()
    assert made.objects.take().denied == 1


async def test_a_report_whose_answer_was_lost_is_the_same_the_next_time() -> None:
    made = Reports()
    made.tell(allowed())
    made.objects.loses_answers = True
    assert not await made.reporting.once()
    made.objects.loses_answers = False
    made.tell(allowed())
    assert await made.reporting.once()
    assert made.objects.take().allowed == 1
    assert await made.reporting.once()
    assert (made.objects.take().allowed, len(made.objects.taken)) == (1, 2)


@pytest.mark.parametrize("error", [ForbiddenError("no"), ConnectionLostError("gone")])
async def test_a_report_that_is_refused_is_tried_again(error: Exception) -> None:
    made = Reports()
    made.objects.failing = [error, error]
    made.tell(allowed())
    assert [await made.reporting.once() for _ in range(3)] == [False, False, True]
    assert made.objects.take().number == 1


async def test_an_orderly_end_is_told_beside_a_report_that_nobody_has_taken() -> None:
    made = Reports()
    await made.reporting.once()
    made.tell(allowed())
    await made.reporting.once()
    made.tell(denied())
    await made.reporting.close(0.05)

    last = made.objects.take(f"{POD}.end")
    assert (last.number, last.closed, last.allowed, last.denied) == (3, True, 0, 1)
    assert made.objects.take().number == 1


async def test_an_end_waits_for_no_report_that_may_not_be_written() -> None:
    made = Reports()
    made.objects.failing = [ForbiddenError("no")] * 2
    async with asyncio.timeout(WITHIN_SECONDS):
        await made.reporting.close(2 * WITHIN_SECONDS)
    assert not made.objects.there


async def test_it_goes_on_by_itself() -> None:
    made = Reports()
    running = asyncio.create_task(made.reporting.run())
    for number in (1, 2, 3):
        made.tell(allowed())
        await until(lambda: POD in made.objects.there)
        assert made.objects.take().number == number
    running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def test_lines_are_told_as_far_as_they_are_on_the_disk() -> None:
    made = Reports()
    made.log.written, made.log.lost = Position(7, f"sha256:{'a' * 64}"), 2
    await made.reporting.once()
    first = made.objects.take()
    assert (first.first, first.through, first.head, first.lost) == (1, 7, f"sha256:{'a' * 64}", 2)
    made.log.written = Position(9, f"sha256:{'b' * 64}")
    await made.reporting.once()
    second = made.objects.take()
    assert (second.first, second.through, second.lost) == (8, 9, 0)


async def test_more_uses_than_a_report_holds_come_with_the_next_ones_the_first_uses_before_all() -> None:
    made = Reports()
    for number in range(MAX_USES):
        made.tell(denied(of=task(uid(number))), at=NOW)
    made.tell(allowed(task(uid(9_999), "late")))
    counts: Counter[str] = Counter()
    for _ in range(8):
        await made.reporting.once()
        if made.objects.there:
            counts.update({each.uid: each.count for each in made.objects.take().uses})
    assert made.objects.taken[0].uses[0].task == "late"
    assert len(made.objects.taken) > 1
    assert (len(counts), counts.total()) == (MAX_USES + 1, MAX_USES + 1)


async def test_the_longest_report_fits_into_a_record() -> None:
    made = Reports()
    spiffe_id = SPIFFE_ID.replace("refund-agent", "a" * 63)
    for number in range(MAX_USES):
        of = TaskName("n" * 63, "t" * 63, uid(number))
        asked = question(call=Call("a" * 128), spiffe_id=spiffe_id)
        made.log.told(asked, replace(allowed(of), step=of), NOW)
    await made.reporting.once()
    report = made.objects.take()
    assert len(report.to_json()) <= MAX_REPORT_LENGTH
    line = decisions(NOW, "p" * 253, report)
    assert len(line) < MAX_RECORD_BYTES
    assert Report.of(Record.parse(line)) == report


def test_made_up_actions_of_denied_calls_fill_no_report() -> None:
    tally = UseTally()
    for number in range(1000):
        tally.take(question(call=Call(f"orders:x{number}")), denied(Reason.ACTION_NOT_GRANTED), NOW)
    told = tally.tell(MAX_REPORT_LENGTH)
    assert len(told) == MAX_DENIED_ACTIONS + 1
    assert sum(each.count for each in told) == 1000
    assert told[-1].action is None


def test_a_use_is_the_first_of_its_kind_once() -> None:
    tally = UseTally(max_seen=2)
    calls = [question(call=Call(action)) for action in ("a", "b", "a", "c", "b")]
    # The oldest is forgotten where there is no room, and counts as new again.
    assert [tally.take(each, allowed(), NOW) for each in calls] == [True, True, False, True, True]
    assert not tally.take(question(call=Call("z")), denied(), NOW)


asked = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["orders:read", "refunds:create", "Ü", ""]),
    st.sampled_from(list(Reason)),
)


@settings(max_examples=50)
@given(st.lists(st.lists(asked, max_size=30), max_size=5), st.integers(1, 12), st.integers(400, 3000))
def test_every_decision_is_told_once(
    minutes: list[list[tuple[int, str, Reason]]], pending: int, room: int
) -> None:
    tally = UseTally(max_pending=pending)
    expected, found, unlisted = Counter[tuple[str, bool]](), Counter[tuple[str, bool]](), 0
    total = 0
    for minute in [*minutes, *[[]] * 60]:
        for number, action, reason in minute:
            is_allowed = reason is Reason.ALLOWED
            answer = Answer(is_allowed, reason, "", task(uid(number)))
            tally.take(question(call=Call(action)), answer, NOW)
            expected[uid(number), is_allowed] += 1
            total += 1
        for each in tally.tell(room):
            found[each.uid, each.reason is None] += each.count
        numbers = tally.numbers()
        unlisted += numbers.unlisted
        assert numbers.allowed + numbers.denied == len(minute)
    assert found.total() + unlisted == total
    assert found <= expected
    assert tally.is_empty
