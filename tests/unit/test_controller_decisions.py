"""Reports of decision points on their way into the ledger: durable before they go, and none fills it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.api.decisioncheckpoint import MAX_REPORT_LENGTH
from agentid.cluster.decision_checkpoints import Found
from agentid.cluster.errors import ConnectionLostError
from agentid.controller.decisions import PACE_SECONDS, Decisions
from agentid.controller.errors import LedgerUnavailableError
from agentid.controller.metrics import Metrics
from agentid.ledger.decisions import Report
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.record import Record

LOG = "0123456789abcdef" * 2
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
USE = {
    "uid": "5c0e9a10-0000-4000-8000-000000000001",
    "namespace": "support",
    "task": "refund-4711",
    "agent": "refund-agent",
    "action": "orders:read",
    "count": 3,
    "first": "2026-11-23T11:59:01Z",
    "last": "2026-11-23T11:59:58Z",
}


def told(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "log": LOG,
        "number": number,
        "started": "2026-11-23T11:00:00Z",
        "since": "2026-11-23T11:59:00Z",
        "until": "2026-11-23T12:00:00Z",
        "allowed": 3,
        "denied": 0,
        "uses": [USE],
        **changes,
    }


def found(name: str = "gate-1", number: int = 1, **changes: object) -> Found:
    text = orjson.dumps(told(number, **changes), option=orjson.OPT_SORT_KEYS).decode()
    return Found(name, f"uid-{name}-{number}", {"log": LOG, "number": number, "report": text})


@dataclass
class Operator:
    """What takes reports, and a ledger."""

    there: list[Found] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    refuses: Exception | None = None
    refuses_deletion: Exception | None = None
    seconds: float = 1000.0

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.decisions = Decisions(
            self,
            self.append,
            self.metrics,
            leads=lambda: True,
            now=lambda: NOW,
            clock=lambda: self.seconds,
        )

    async def some(self) -> list[Found]:
        return list(self.there)

    async def delete(self, found: Found) -> None:
        if self.refuses_deletion is not None:
            raise self.refuses_deletion
        self.there.remove(found)

    async def append(self, record: bytes) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.records.append(record)

    def kept(self) -> list[Record]:
        return [Record.parse(each) for each in self.records]

    def counted(self, result: str) -> float:
        return self.metrics.decision_reports.labels(result=result)._value.get()  # noqa: SLF001


async def test_a_report_becomes_a_record_that_names_the_pod_and_is_gone_then() -> None:
    operator = Operator([found("gate-1"), found("gate-2.end", 7, closed=True)])
    await operator.decisions.once()
    first, second = operator.kept()
    assert (first.kind, first.at, first.text("replica")) == ("decisions", NOW, "gate-1")
    assert first.fields["uses"] == [USE]
    assert (second.text("replica"), second.fields["closed"], second.number("number")) == ("gate-2", True, 7)
    assert Report.of(first).uses[0].count == 3
    assert not operator.there
    assert operator.counted("taken") == 2


async def test_what_the_ledger_did_not_take_stays() -> None:
    operator = Operator([found()], refuses=LedgerUnavailableError("not now"))
    with pytest.raises(LedgerUnavailableError):
        await operator.decisions.once()
    assert len(operator.there) == 1
    operator.refuses = None
    await operator.decisions.once()
    assert (len(operator.records), operator.there) == (1, [])


async def test_what_could_not_be_deleted_is_recorded_once_while_the_operator_lives() -> None:
    operator = Operator([found()], refuses_deletion=ConnectionLostError("gone"))
    for _ in range(2):
        with pytest.raises(ConnectionLostError):
            await operator.decisions.once()
    operator.refuses_deletion = None
    await operator.decisions.once()
    assert (len(operator.records), operator.there) == (1, [])


async def test_whoever_reports_ever_faster_is_taken_at_its_pace() -> None:
    operator = Operator()
    for number in range(1, 10):
        operator.there = [found(number=number)]
        await operator.decisions.once()
        operator.seconds += PACE_SECONDS / 3
    assert [each.number("number") for each in operator.kept()] == [1, 4, 7]


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"log": LOG, "number": 1, "report": "{}"},
        {"log": LOG, "number": 2, "report": orjson.dumps(told(), option=orjson.OPT_SORT_KEYS).decode()},
        {"log": LOG, "number": 1, "report": orjson.dumps(told()).decode() + " "},
        {"log": LOG, "number": 0, "report": "{}"},
        {"log": "x", "number": 1, "report": "{}"},
    ],
)
async def test_what_is_no_report_is_recorded_nowhere_and_in_nobodys_way(spec: object) -> None:
    operator = Operator([Found("gate-1", "uid-1", spec), found("gate-2")])
    await operator.decisions.once()
    assert [each.text("replica") for each in operator.kept()] == ["gate-2"]
    assert not operator.there
    assert operator.counted("refused") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"allowed": -1},
        {"allowed": 1.5},
        {"allowed": True},
        {"allowed": 2**53},
        {"denied": "1"},
        {"until": "2026-11-23T12:00:00.5Z"},
        {"started": "yesterday"},
        {"head": "sha256:x"},
        {"head": f"sha256:{'a' * 64}"},
        {"first": 3, "through": 2, "head": f"sha256:{'a' * 64}"},
        {"closed": 1},
        {"log": "A" * 32},
        {"uses": [{**USE, "count": 0}]},
        {"uses": [{**USE, "uid": "x"}]},
        {"uses": [{**USE, "task": "a\nb"}]},
        {"uses": [{**USE, "action": "Orders Read"}]},
        {"uses": [{**USE, "reason": "<script>"}]},
        {"uses": [USE] * 257},
        {"uses": USE},
    ],
)
def test_a_report_is_strict(changes: dict[str, object]) -> None:
    text = orjson.dumps(told(**changes), option=orjson.OPT_SORT_KEYS).decode()  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError):
        Report.parse(text)


def test_what_a_newer_version_adds_is_left_out() -> None:
    text = orjson.dumps(told(more="x"), option=orjson.OPT_SORT_KEYS).decode()  # type: ignore[arg-type]
    assert "more" not in Report.parse(text).to_json().decode()


def test_a_report_that_is_too_long_is_none() -> None:
    with pytest.raises(InvalidRecordError, match="a report has at most"):
        Report.parse(" " * (MAX_REPORT_LENGTH + 1))


@given(st.text(st.characters(), max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        Report.parse(text)
