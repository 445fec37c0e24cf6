"""What was recorded as given and may be in a status or not is remembered for as long as it matters."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.fields import format_time
from agentid.controller.recording import Recorder
from agentid.controller.records import Record
from agentid.controller.world import World
from agentid.ledger.record import Record as Line
from agentid.lifecycle.journal import Entry, Kind
from agentid.lifecycle.model import Blocked
from tests.unit.ledger_batches import UID, at


class LedgerInMemory:
    """Takes each record at once."""

    blocked: Blocked | None = None
    is_read = True

    def __init__(self) -> None:
        self.records: list[Line] = []
        self.ended: set[str] = set()

    def has_ended(self, uid: str) -> bool:
        """Whether it is said to."""
        return uid in self.ended

    async def append(self, record: bytes, undo: Callable[[], bytes] | None = None) -> None:
        """Keep it."""
        del undo
        self.note(record)

    def note(self, record: bytes) -> None:
        """Keep it."""
        self.records.append(Line.parse(record))

    def told(self, kind: Kind) -> list[str]:
        """The serial numbers in the records of one kind."""
        return [each.text("serial") for each in self.records if each.kind == kind]


def given(serial: str | None, now: datetime, life: timedelta) -> Entry:
    """What is recorded of a credential, or of a grant, which has none."""
    return Entry(
        kind=Kind.ISSUED if serial is not None else Kind.GRANTED,
        at=format_time(now),
        namespace="support",
        task="refund-4711",
        uid=UID,
        generation=1,
        reason="Running",
        message="",
        serial=serial,
        not_after=format_time(now + life) if serial is not None else None,
        deadline=format_time(now + life),
    )


@pytest.mark.parametrize("gives", [Kind.ISSUED, Kind.GRANTED])
async def test_no_more_is_remembered_as_given_than_counts(gives: Kind) -> None:
    now = at(0)
    ledger, record = LedgerInMemory(), Record(("support", "refund-4711"))
    recorder = Recorder(ledger, lambda: now)

    # A day of status writes that nobody answers: no pass learns what became of what it gave.
    for number in range(1440):
        now = at(60 * number)
        serial = f"{number:x}" if gives is Kind.ISSUED else None
        await recorder.before(record, given(serial, now, timedelta(minutes=5)))
        assert len(record.given) <= 5

    # None of them was released; that of a grant is said by its task's end.
    assert len(ledger.told(gives)) == 1440
    assert ledger.told(Kind.VOIDED) == ([f"{each:x}" for each in range(1435)] if gives is Kind.ISSUED else [])


async def test_what_may_count_yet_is_voided_once_its_task_is_gone() -> None:
    now = at(0)
    ledger, record = LedgerInMemory(), Record(("support", "refund-4711"))
    recorder = Recorder(ledger, lambda: now)
    await recorder.before(record, given("4f", now, timedelta(minutes=5)))
    await recorder.before(record, given("5a", now, timedelta(minutes=5)))

    recorder.settle(record, UID, None)

    assert (ledger.told(Kind.VOIDED), record.given) == (["4f", "5a"], ())


def _status(*serials: str, over: bool = False) -> dict[str, Any]:
    finished = {
        "type": "Finished",
        "status": str(over),
        "reason": "Ended" if over else "Running",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": format_time(at(0)),
    }
    credentials = [
        {
            "generation": number,
            "serial": serial,
            "notBefore": format_time(at(0)),
            "notAfter": format_time(at(300)),
        }
        for number, serial in enumerate(serials, start=1)
    ]
    return {"startTime": format_time(at(0)), "conditions": [finished], "credentials": credentials}


def _body(version: int, status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": "support", "name": "refund-4711", "uid": UID, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (_status("4f", "5a"), []),
        (_status("5a"), [("revoked", ["4f"])]),
        (_status("6b"), [("revoked", ["4f", "5a"])]),
        (_status(over=True), [("ended", ["4f", "5a"])]),
        ({"credentials": "unreadable"}, []),
    ],
)
def test_what_the_status_of_another_takes_away_is_recorded_by_who_sees_it(
    now: dict[str, Any], said: list[tuple[str, list[str]]]
) -> None:
    ledger = LedgerInMemory()
    recorder = Recorder(ledger, lambda: at(0))
    world = World(lambda _: None, lambda: at(0), recorder.overwritten)
    world.take_task(_body(1, _status("4f", "5a")))

    world.take_task(_body(2, now))

    assert [(each.kind, [serial for serial, _ in each.revoked()]) for each in ledger.records] == said


def test_what_this_operator_takes_away_or_what_is_compared_yet_is_not_recorded_here() -> None:
    ledger = LedgerInMemory()
    recorder = Recorder(ledger, lambda: at(0))
    world = World(lambda _: None, lambda: at(0), recorder.overwritten)
    world.take_task(_body(1, _status("4f", "5a", "6b")))
    record = world.record(("support", "refund-4711"))
    assert record is not None

    # Its own write, with its answer.
    world.begin_own_write(record)
    world.end_own_write(record, _body(2, _status("4f", "5a")))
    # Its own write, whose answer was lost: what is owed then is recorded once that is sure.
    status = AgentTaskStatus.model_validate(_status("4f"))
    recorder.doubt(record, given("4f", at(0), timedelta(minutes=5)), "2", status)
    world.take_task(_body(3, _status("4f")))
    # The ledger is to be read, and what it holds compared with the statuses.
    ledger.is_read = False
    world.take_task(_body(4, _status()))

    assert ledger.records == []


def test_end_that_was_recorded_before_a_watch_shows_it_is_not_recorded_again() -> None:
    ledger = LedgerInMemory()
    ledger.ended = {UID}
    recorder = Recorder(ledger, lambda: at(0))
    world = World(lambda _: None, lambda: at(0), recorder.overwritten)
    world.take_task(_body(1, _status("4f")))

    world.take_task(_body(2, _status(over=True)))

    assert [(each.kind, [serial for serial, _ in each.revoked()]) for each in ledger.records] == [
        ("revoked", ["4f"])
    ]
