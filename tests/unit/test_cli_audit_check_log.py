"""`agentid audit check-log`: what was changed in a log is found, by itself or by the ledger."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.decision_line import Chain, missing
from agentid.ledger.decisions import Report, decisions
from agentid.ledger.log_chain import LogCheck
from agentid.sinks.segment_file import lines_of, records_in
from tests.unit.audit_files import audit, written
from tests.unit.audit_files import lines_of as ledger_lines
from tests.unit.ledger_batches import NOW, at, chain, started

LOG = "0123456789abcdef" * 2


def log_of(number: int, name: str = LOG) -> list[bytes]:
    """A log of so many lines, the third of which tells of lost ones."""
    made = Chain(name, "gate-1")
    return [
        made.add(missing(7, NOW, NOW) if each == 2 else {"kind": "decision", "action": f"a{each}"})
        for each in range(number)
    ]


def report_of(lines: list[bytes], through: int, number: int = 1) -> Report:
    check = LogCheck()
    for line in lines[:through]:
        check.feed(line)
    (log,) = check.finish()
    return Report(
        log=LOG,
        number=number,
        started=NOW,
        since=NOW,
        until=NOW,
        allowed=0,
        denied=0,
        first=1,
        through=through,
        head=log.head,
    )


def ledger(folder: Path, *reports: Report) -> Path:
    told = [decisions(at(1), "gate-1", each) for each in reports]
    return written(folder, ledger_lines(chain([[started(), *told]])))


def files(folder: Path, *parts: list[bytes]) -> list[Path]:
    return [
        written(folder, lines_of(part, number), f"{number}.jsonl")
        for number, part in enumerate(parts, start=1)
    ]


def test_a_log_that_is_whole_agrees_with_the_ledger(tmp_path: Path) -> None:
    lines = log_of(6)
    of = ledger(tmp_path, report_of(lines, 2), report_of(lines, 5, 2))
    code, out, err = audit("check-log", *files(tmp_path, lines[:3], lines[3:]), "--file", of)
    assert (code, err) == (0, "")
    assert out == (
        f"log {LOG} of gate-1: lines 1 to 6, whole; the ledger has the hashes of 2 of them; "
        "7 more there was no room for\n"
    )
    only = json.loads(audit("check-log", *files(tmp_path, lines[3:]), "--file", of, "-o", "json")[1])
    assert [(each["first"], each["last"], each["inLedger"]) for each in only["logs"]] == [(4, 6, 1)]


def test_two_logs_in_one_folder_are_two(tmp_path: Path) -> None:
    code, out, _ = audit(
        "check-log", *files(tmp_path, log_of(3), log_of(2, "f" * 32)), "--file", ledger(tmp_path)
    )
    assert code == 0
    assert out.count(", whole; the ledger has none of them") == 2


def changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:1], lines[1].replace(b'"a1"', b'"a9"'), *lines[2:]]


def made_anew(_: list[bytes]) -> list[bytes]:
    made = Chain(LOG, "gate-1")
    return [made.add({"kind": "decision", "action": "else"}) for _ in range(6)]


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (changed, "line 3 follows another line than the one before it: one was changed"),
        (lambda lines: [*lines[:1], *lines[2:]], "line 3 comes after line 1"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 comes after line 2"),
        (lambda lines: lines[:4], "it ends with line 4, and the ledger has the hash of line 5"),
        (made_anew, "line 5 is not the one whose hash the ledger has"),
        (lambda lines: [*lines, b"{}"], "a line is not of a decision point's log"),
        (lambda lines: [*lines, b'{"log": 1}'], "a line is not in canonical form"),
    ],
)
def test_what_was_changed_is_found(tmp_path: Path, tamper: object, said: str) -> None:
    lines = log_of(6)
    assert callable(tamper)
    code, out, _ = audit(
        "check-log", *files(tmp_path, tamper(lines)), "--file", ledger(tmp_path, report_of(lines, 5))
    )
    assert code == 1
    assert f"wrong: {said}" in out


@given(st.data())
def test_every_change_up_to_what_was_reported_is_found(data: st.DataObject) -> None:
    lines = log_of(8)
    through = data.draw(st.integers(2, 8))
    number = data.draw(st.integers(0, through - 1))
    at_byte = data.draw(st.integers(0, len(lines[number]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda each: each != lines[number][at_byte]))
    line = bytearray(lines[number])
    line[at_byte] = other
    check = LogCheck([report_of(lines, through)])
    for each in [*lines[:number], bytes(line), *lines[number + 1 :]]:
        check.feed(each)
    assert check.findings or any(each.findings for each in check.finish())


def test_a_torn_end_is_left_out_and_what_is_no_log_is_said(tmp_path: Path) -> None:
    whole = lines_of(log_of(3), 1)
    torn = written(tmp_path, whole[:-10], "torn.jsonl")
    assert len(list(records_in(torn))) == 2
    other = written(tmp_path, b"no log\n" + whole, "other.jsonl")
    code, _, err = audit("check-log", other, "--file", ledger(tmp_path))
    assert (code, "other.jsonl has no record in line 1" in err) == (1, True)
    assert audit("check-log", tmp_path / "none.jsonl", "--file", ledger(tmp_path))[0] == 1
    assert audit("check-log", "--file", ledger(tmp_path))[0] == 2
