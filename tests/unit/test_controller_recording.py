"""What was recorded as given and may be in a status or not is remembered for as long as it matters."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from agentid.api.fields import format_time
from agentid.controller.recording import Recorder
from agentid.controller.records import Record
from agentid.ledger.record import Record as Line
from agentid.lifecycle.journal import Entry, Kind
from agentid.lifecycle.model import Blocked
from tests.unit.ledger_batches import UID, at


class LedgerInMemory:
    """Takes each record at once."""

    blocked: Blocked | None = None

    def __init__(self) -> None:
        self.records: list[Line] = []

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
