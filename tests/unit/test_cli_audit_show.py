"""`agentid audit show` and `query` over files: the story of a task, and records by what they say."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentid.cli.audit.standing import Place
from agentid.cli.audit.times import moment
from agentid.ledger.batch import Batch
from tests.unit.audit_files import WAITED, audit, lines_of, segment_of, written
from tests.unit.ledger_batches import UID, chain, ended, issued, record, revoked_list, started

NEXT = "5b0c3a3e-3a33-4b4b-9c9c-000000000002"
CHILD = "5b0c3a3e-3a33-4b4b-9c9c-000000000003"
RULE = "AgentPolicy/refunds/large-refunds"
ASKED = {name: value for name, value in WAITED.items() if name not in {"namespace", "task", "agent"}}
LIFE = [
    [
        started(),
        record("approvalRequired", 1, **WAITED, reason="AwaitingApproval", message="it needs an approval."),
    ],
    [
        issued("4f", seconds=10, ends=310, started_at=10, policies=[RULE], approvers=["dana"], **ASKED),
        record(
            "denied", 20, namespace="other", task="refund-4711", agent="x", uid=NEXT, reason="AwaitingPolicy"
        ),
    ],
    [
        record(
            "granted",
            30,
            uid=CHILD,
            namespace="support",
            task="step",
            chain=[UID],
            actions=["refunds:create"],
        ),
        issued("5a", "renewed", seconds=200, ends=500, started_at=10, policies=[RULE], **ASKED),
        record(
            "suspended",
            250,
            **WAITED,
            reason="Suspended",
            message="looks wrong",
            revoked=revoked_list(("5a", 500)),
        ),
    ],
    [
        issued("6b", "resumed", seconds=300, ends=600, **{**ASKED, "spec_hash": "v1:b", "requester": "bob"}),
        issued(
            "7c",
            seconds=310,
            ends=900,
            task="other",
            uid=CHILD[:-1] + "9",
            break_glass=True,
            justification="fire",
        ),
    ],
    [ended(400, namespace="support", task="refund-4711", agent="refund-agent", message="Job said Complete")],
    [
        record(
            "voided",
            450,
            uid=CHILD[:-1] + "9",
            namespace="support",
            task="other",
            revoked=revoked_list(("7c", 900)),
        )
    ],
]
BATCHES = chain(LIFE)


def file_of(folder: Path, batches: Sequence[Batch] = BATCHES) -> Path:
    return written(folder, lines_of(batches))


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_story_tells_who_asked_who_decided_what_was_issued_and_how_it_ended(tmp_path: Path) -> None:
    code, out, err = audit("show", UID, "--file", file_of(tmp_path))
    assert (code, err) == (0, "")
    said = plain(out)
    parts = [
        f"support/refund-4711 ({UID}) has ended: Completed.",
        "agent refund-agent asked by bob on behalf of carol@example.com may do refunds:create, Confidential",
        "2026-11-23T12:00:01Z asked for by orchestrator (service account support/orchestrator): refunds",
        "waits for an approval (AwaitingApproval): it needs an approval.",
        "2026-11-23T12:00:10Z issued: serial 4f until 2026-11-23T12:05:10Z, for pod pod-1",
        'decided by AgentPolicy/refunds, rule "large-refunds" approved by dana',
        f"2026-11-23T12:00:30Z child step ({CHILD}) granted to its parent",
        "2026-11-23T12:03:20Z renewed: serial 5a until 2026-11-23T12:08:20Z",
        "2026-11-23T12:04:10Z suspended (Suspended): looks wrong",
        "counts no longer: serial 5a, which would have lasted until 2026-11-23T12:08:20Z",
        "2026-11-23T12:05:00Z asked for by bob: refunds:create, Confidential",
        "resumed: serial 6b until 2026-11-23T12:10:00Z",
        "2026-11-23T12:06:40Z ended (Completed): Job said Complete",
        "used not recorded in this ledger",
    ]
    positions = [said.find(each) for each in parts]
    assert -1 not in positions, (parts[positions.index(-1)], out)
    assert positions == sorted(positions)
    assert "AwaitingPolicy" not in said
    assert "7c" not in said


def test_of_several_tasks_of_one_name_all_are_told_the_newest_last(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    titles = [line for line in audit("show", "refund-4711", "-f", file)[1].splitlines() if line[:1].strip()]
    assert [each.split(" ")[1] for each in titles] == [f"({UID})", f"({NEXT})"]
    assert "denied; no end of it is recorded." in titles[1]
    only = json.loads(audit("show", "refund-4711", "-f", file, "--uid", NEXT, "-o", "json")[1])
    assert [each["uid"] for each in only["tasks"]] == [NEXT]
    there = json.loads(audit("show", "agenttask/refund-4711", "-f", file, "-n", "support", "-o", "json")[1])
    assert [each["uid"] for each in there["tasks"]] == [UID]
    assert audit("show", UID, "-f", file, "-n", "elsewhere")[0] == 0
    code, out, err = audit("show", "refund-4711", "-f", file, "-n", "elsewhere")
    assert (code, out) == (1, "")
    assert "by 2026-11-23T12:00:05Z no record tells of a task refund-4711 in namespace elsewhere" in err


def test_an_emergency_and_what_nobody_ever_had_are_told(tmp_path: Path) -> None:
    said = plain(audit("show", "other", "-f", file_of(tmp_path))[1])
    assert "an emergency: fire" in said
    assert "never released nobody ever had: serial 7c" in said


def test_records_are_named_where_they_stand(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    names = ["1-1", "2-0", "3-0", "3-1", "3-2", "4-0", "5-0"]
    assert audit("show", UID, "-f", file, "-o", "name")[1].split() == names
    wide = audit("show", UID, "-f", file, "-o", "wide")[1]
    assert "2026-11-23T12:03:20Z  3-1" in wide
    said = yaml.safe_load(audit("show", UID, "-f", file, "-o", "yaml")[1])
    assert [each["record"] for each in said["tasks"][0]["records"]] == names
    assert said["tasks"][0]["uses"] is None


def test_what_was_tampered_with_is_not_told_and_that_is_said(tmp_path: Path) -> None:
    content = lines_of(BATCHES).replace(b"looks wrong", b"looks right")
    file = written(tmp_path, content)
    code, out, err = audit("show", UID, "-f", file)
    assert code == 1
    assert "looks right" not in out
    assert "note: batch 3: edited:" in err
    code, out, err = audit("query", "-f", file, "-o", "json")
    assert code == 1
    assert [each["record"] for each in json.loads(out)["records"]] == [
        *("1-0", "1-1", "2-0", "2-1", "4-0", "4-1", "5-0", "6-0")
    ]
    assert json.loads(out)["notes"][0].startswith("batch 3: edited:")
    many = b"".join(line for line in lines_of(BATCHES).splitlines(keepends=True)[:2] * 20)
    notes = audit("query", "-f", written(tmp_path, many))[2].splitlines()
    assert len(notes) == 6
    assert "more; agentid audit verify tells them all" in notes[-1]


def test_a_part_of_a_ledger_tells_what_it_has_and_that_more_was_before(tmp_path: Path) -> None:
    code, out, err = audit("show", UID, "-f", file_of(tmp_path, BATCHES[3:]))
    assert (code, "has ended: Completed" in out) == (0, True)
    assert "note: what came before batch 4 is not here; sinks may have it" in err


def test_what_a_sink_wrote_is_told_and_said_to_be_unsigned(tmp_path: Path) -> None:
    file = written(tmp_path, segment_of(BATCHES))
    code, out, err = audit("show", UID, "-f", file)
    assert code == 0
    assert "has ended: Completed" in out
    assert err == "note: this is what a sink wrote: nothing of it is signed\n"


def found(file: Path, *options: str) -> list[str]:
    code, out, _ = audit("query", "-f", file, *options, "-o", "name")
    assert code == 0
    return out.split()


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (("--agent", "x"), ["2-1"]),
        (("--requester", "bob"), ["4-0"]),
        (("--delegator", "carol@example.com", "--event", "issued"), ["2-0"]),
        (("--event", "issued", "--event", "ended"), ["2-0", "4-1", "5-0"]),
        (("--event", "ledgerStarted"), ["1-0"]),
        (("--event", "ledgerStarted", "-n", "support"), []),
        (("--serial", "5a"), ["3-1", "3-2"]),
        (("--serial", "7c"), ["4-1", "6-0"]),
        (("-n", "other"), ["2-1"]),
        (("--since", "2026-11-23T12:05:00Z", "--until", "2026-11-23T12:06:40Z"), ["4-0", "4-1"]),
        (("--since", "2026-11-24"), []),
        (("--since", "2026-11-23T14:05:00+02:00", "-n", "support", "--event", "ended"), ["5-0"]),
    ],
)
def test_records_are_found_by_what_they_say(
    tmp_path: Path, options: tuple[str, ...], places: list[str]
) -> None:
    assert found(file_of(tmp_path), *options) == places


def test_they_are_told_in_rows_and_to_programs(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    rows = [line.split() for line in audit("query", "-f", file, "--serial", "4f")[1].splitlines()]
    assert rows[0] == ["TIME", "EVENT", "NAMESPACE", "TASK", "AGENT", "REQUESTER", "DELEGATOR", "REASON"]
    assert rows[1][:5] == ["2026-11-23T12:00:10Z", "issued", "support", "refund-4711", "refund-agent"]
    assert rows[1][-1] == "<none>"
    wide = audit("query", "-f", file, "--serial", "4f", "-o", "wide")[1].splitlines()
    assert wide[0].split()[8:] == ["RECORD", "UID", "SERIAL", "NOT-AFTER", "POLICIES", "APPROVERS", "MESSAGE"]
    assert wide[1].split()[8:14] == ["2-0", UID, "4f", "2026-11-23T12:05:10Z", RULE, "dana"]
    for options, count in ((("--serial", "4f"), 1), ((), 11), (("--serial", "none"), 0)):
        as_json = json.loads(audit("query", "-f", file, *options, "-o", "json")[1])
        as_yaml = yaml.safe_load(audit("query", "-f", file, *options, "-o", "yaml")[1])
        assert as_json == as_yaml
        assert len(as_json["records"]) == count
    code, out, err = audit("query", "-f", file, "--serial", "none")
    assert (code, out, err) == (0, "", "no such record by 2026-11-23T12:00:05Z\n")


def test_rows_come_block_by_block_in_the_columns_of_the_first(tmp_path: Path) -> None:
    records = [
        [record(seconds=second, task="t", reason=f"R{second}") for second in range(400)] for _ in range(4)
    ]
    records[3][5] = record(task="a-name-that-is-longer-than-the-column", reason="R5")
    file = written(tmp_path, lines_of(chain([[started()], *records])))
    lines = audit("query", "-f", file)[1].splitlines()
    assert len(lines) == 1602
    assert lines.count(lines[0]) == 1
    assert lines[0].index("AGENT") - lines[0].index("TASK") < len("a-name-that-is-longer-than-the-column")
    column = lines[0].index("REASON")
    assert {line.index("R", 70) for line in (lines[2], lines[900], lines[1600])} == {column}
    said = json.loads(audit("query", "-f", file, "-o", "json")[1])["records"]
    assert [each["record"] for each in said[-2:]] == ["5-398", "5-399"]


def test_what_others_wrote_moves_no_cursor(tmp_path: Path) -> None:
    evil = record(task="x", namespace="n", agent="\x1b[2J", reason="r\nnext", message="\u202e")
    file = written(tmp_path, lines_of(chain([[started()], [evil]])))
    for options in (
        ("query",),
        ("query", "-o", "wide"),
        ("query", "-o", "json"),
        ("show", "x"),
        ("show", "x", "-o", "yaml"),
    ):
        out = audit(options[0], *options[1:], "-f", file)[1]
        assert all(each.isprintable() for each in out.replace("\n", "")), options
    assert json.loads(audit("query", "-f", file, "-o", "json")[1])["records"][1]["agent"] == "\x1b[2J"


@given(st.integers(1, 9_999_999_999_999), st.integers(0, 999))
def test_a_place_is_read_as_it_is_written(sequence: int, index: int) -> None:
    assert Place.read(str(Place(sequence, index))) == Place(sequence, index)


@given(st.text(st.sampled_from("0123456789-_ \n٣x"), max_size=24))
def test_what_is_no_place_is_refused(text: str) -> None:
    try:
        place = Place.read(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 - most texts are none
    else:
        assert (place.sequence >= 1, 0 <= place.index < 1000) == (True, True)


@pytest.mark.parametrize(
    ("given_time", "time"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T14:00:00Z", datetime(2026, 11, 23, 14, tzinfo=UTC)),
        ("2026-11-23T14:00:00+01:00", datetime(2026, 11, 23, 13, tzinfo=UTC)),
    ],
)
def test_times_are_read(given_time: str, time: datetime) -> None:
    assert moment(given_time, "--since") == time


def test_so_long_ago_is_a_time() -> None:
    assert abs(moment("8h", "--since") + timedelta(hours=8) - datetime.now(UTC)) < timedelta(minutes=1)


@given(st.text(max_size=24))
def test_what_is_no_time_is_refused_in_one_sentence(text: str) -> None:
    try:
        assert moment(text, "--since").tzinfo is not None
    except typer.BadParameter as error:
        assert "is no time such as 2026-11-23T14:00:00Z" in str(error)  # noqa: PT017 - most texts are none


@pytest.mark.parametrize(
    "options",
    [
        ("query", "--event", "issue"),
        ("query", "--event", ""),
        ("query", "--since", "soon"),
        ("query", "--since", "2026-02-30"),
        ("query", "--until", "2026-11-23T14:00:00"),
        ("query", "--agent", ""),
        ("query", "--delegator", " "),
        ("query", "--requester", ""),
        ("query", "--serial", ""),
        ("query", "-n", "No such"),
        ("query", "-n", "a", "-A"),
        ("query", "-o", "text"),
        ("query", "--file", "x", "--cluster"),
        ("show",),
        ("show", " "),
        ("show", "one", "--uid", ""),
        ("show", "one", "two"),
        ("show", "one", "-o", "text"),
    ],
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert audit(*options)[0] == 2
