"""What decision points reported: in a task's story, in the report on an agent, and where it is missing."""

import json
from pathlib import Path

from agentid.cli.audit.advice import narrower
from agentid.cli.audit.tally import Tallies
from agentid.ledger.audit import Auditor
from agentid.ledger.decisions import Report, Use, decisions
from agentid.ledger.record import Record
from tests.unit.audit_files import agentid, audit, lines_of, written
from tests.unit.ledger_batches import UID, at, chain, ended, issued, record, sealed, started

LOG = "0123456789abcdef" * 2
STEP = "5b0c3a3e-3a33-4b4b-9c9c-000000000007"
KEY = ("support", "refund-agent")
GIVEN = {"actions": ["orders:read", "refunds:create"], "sensitivity": "Internal"}


def use(
    action: str | None = "orders:read",
    reason: str | None = None,
    *,
    uid: str = UID,
    count: int = 1,
    first: float = 20,
    last: float = 20,
    step: str | None = None,
) -> Use:
    return Use(
        uid=uid,
        namespace="support",
        task="refund-4711",
        agent="refund-agent",
        action=action,
        reason=reason,
        step=step,
        count=count,
        first=at(first),
        last=at(last),
    )


def report(number: int, *uses: Use, seconds: float = 60, log: str = LOG, closed: bool = False) -> bytes:
    made = Report(
        log=log,
        number=number,
        started=at(1),
        since=at(seconds - 60 if seconds >= 60 else 0),
        until=at(seconds),
        allowed=sum(each.count for each in uses if each.reason is None),
        denied=sum(each.count for each in uses if each.reason is not None),
        closed=closed,
        uses=list(uses),
    )
    return decisions(at(seconds), "gate-1", made)


def file_of(folder: Path, *records: bytes) -> Path:
    begin = [started(), issued("4f", seconds=10, ends=310, started_at=10, **GIVEN)]
    return written(folder, lines_of(chain([begin, *([list(records)] if records else [])])))


def test_the_story_tells_what_was_used_and_what_was_refused_after_the_end(tmp_path: Path) -> None:
    end = ended(100, namespace="support", task="refund-4711", agent="refund-agent")
    file = file_of(
        tmp_path,
        report(1, use(count=3, last=50), use("refunds:create", step=STEP, first=40, last=40)),
        end,
        report(
            2,
            use(count=2, first=70, last=80),
            use(reason="TaskEnded", count=5, first=120, last=140),
            use(None, "ActionNotGranted", first=30, last=30),
            use("refunds:create", uid=STEP),
            seconds=150,
        ),
    )
    code, out, err = audit("show", UID, "--file", file)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    parts = [
        "2026-11-23T12:00:10Z issued",
        "2026-11-23T12:00:20Z used orders:read, 5 times until 2026-11-23T12:01:20Z",
        "2026-11-23T12:00:30Z refused something that is no action (ActionNotGranted)",
        f"2026-11-23T12:00:40Z used refunds:create by step {STEP}",
        "2026-11-23T12:01:40Z ended (Completed)",
        "2026-11-23T12:02:00Z refused orders:read (TaskEnded), 5 times until 2026-11-23T12:02:20Z",
    ]
    positions = [said.find(each) for each in parts]
    assert -1 not in positions, (parts[positions.index(-1)], out)
    assert positions == sorted(positions)
    (task,) = json.loads(audit("show", UID, "--file", file, "-o", "json")[1])["tasks"]
    assert task["uses"][0] == {
        "allowed": True,
        "action": "orders:read",
        "count": 5,
        "first": "2026-11-23T12:00:20Z",
        "last": "2026-11-23T12:01:20Z",
    }
    assert task["uses"][-1]["reason"] == "TaskEnded"
    assert "usesUnknown" not in task


def test_not_asked_is_told_from_not_recorded(tmp_path: Path) -> None:
    assert "used not recorded in this ledger" in " ".join(
        audit("show", UID, "--file", file_of(tmp_path))[1].split()
    )
    watched = file_of(tmp_path, report(1))
    assert "used no decision point that reports here was asked about it" in " ".join(
        audit("show", UID, "--file", watched)[1].split()
    )
    assert json.loads(audit("show", UID, "--file", watched, "-o", "json")[1])["tasks"][0]["uses"] == []


def test_a_report_that_stands_twice_counts_once_and_a_missing_one_is_said(tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        report(1, use(count=3)),
        report(1, use(count=3)),
        report(4, use(count=1)),
        report(3, use(count=1)),
        record("decisions", log="x"),
    )
    code, out, err = audit("show", UID, "--file", file)
    assert code == 0
    assert "orders:read, 5 times" in out
    assert f"note: of log {LOG} of decision point gate-1 these reports are missing: 2\n" in err
    assert "note: 1 reports of decision points cannot be read\n" in err


def findings(*records: bytes, seconds: float = 60) -> list[str]:
    auditor, batch = Auditor(), sealed(chain([[started()]])[0].head, [started()], seconds=0)
    found = auditor.feed(batch, [Record.parse(each) for each in records])
    return [f"{each.kind}: {each.message}" for each in (*found, *auditor.finish(at(seconds)))]


def test_an_audit_finds_reports_that_are_missing() -> None:
    assert findings(report(1), report(2), report(2), report(4), report(3)) == []
    assert findings(report(1), report(4)) == [
        f"reportsMissing: of log {LOG} of decision point gate-1 these reports are missing: 2, 3"
    ]
    # The log began after the ledger did: so its first reports have to be here.
    assert "are missing: 1, 2" in findings(report(3))[0]
    assert findings(record("decisions"))[0].startswith("unusable: a record is no report of a decision point")


def test_the_ends_of_many_logs_are_told_apart() -> None:
    logs = [f"{number:032x}" for number in range(50)]
    lines = [report(number, log=each, closed=number == 2) for each in logs for number in (1, 2)]
    assert findings(*lines) == []


def test_a_report_on_an_agent_sets_what_was_given_against_what_was_used(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, report(1, use(count=4), use("refunds:create", "PolicyDenied", count=2)), report(2, use())
    )
    said = " ".join(agentid("report", "--file", file)[1].split())
    for part in (
        "granted orders:read to 1 task",
        "refunds:create to 1 task used orders:read, 5 times",
        "used orders:read, 5 times",
        "use refused PolicyDenied: 2",
    ):
        assert part in said
    (agent,) = json.loads(agentid("report", "--file", file, "-o", "json")[1])["agents"]
    assert (agent["used"], agent["usesRefused"]) == ({"orders:read": 5}, {"PolicyDenied": 2})
    assert "usedUnknown" not in agent
    none = " ".join(agentid("report", "--file", file_of(tmp_path, report(1)))[1].split())
    assert "used no decision point that reports here was asked about it" in none


def test_what_is_given_and_never_used_could_be_taken_away() -> None:
    tallies = Tallies(None, None, None)
    for number in range(5):
        uid = f"00000000-0000-4000-8000-{number:012d}"
        begin = {"uid": uid, "task": f"t-{number}", **GIVEN}
        tallies.take(Record.parse(issued(f"{number}a", seconds=10, ends=310, started_at=10, **begin)))
        end = ended(90, uid=uid, namespace="support", task=f"t-{number}", agent="refund-agent")
        tallies.take(Record.parse(end))
    unused = "tasks were given refunds:create, and no decision point was asked to allow that"
    assert not any("no decision point" in each for each in narrower(tallies.of[KEY], None))
    tallies.take(Record.parse(report(1, use())))
    assert any(each.startswith(unused) for each in narrower(tallies.of[KEY], None))


def test_uses_of_others_are_not_counted() -> None:
    for tallies in (
        Tallies("other", None, None),
        Tallies(None, "elsewhere", None),
        Tallies(None, None, at(999)),
    ):
        tallies.take(Record.parse(report(1, use())))
        assert not tallies.of
