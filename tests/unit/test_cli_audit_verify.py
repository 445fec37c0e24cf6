"""`agentid audit verify` over files: what it says of a whole ledger, and of one that somebody touched."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentid.ledger.batch import Batch
from agentid.ledger.known_head import KnownHead
from tests.unit.audit_files import audit, lines_of, segment_of, written
from tests.unit.ledger_batches import (
    KEY,
    OTHER,
    at,
    chain,
    ended,
    issued,
    record,
    revoked_list,
    sealed,
    started,
    with_rotation,
)

LIFE = [
    [started()],
    [issued("4f", seconds=10, ends=310, started_at=10)],
    [ended(200, started="2026-11-23T12:00:10Z", revoked=revoked_list(("4f", 310)))],
]
WHOLE = chain(LIFE)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return written(tmp_path, KEY.public.pem.encode(), "key.pem")


def verified(file: Path, *options: str | Path) -> dict[str, object]:
    """What it says to a program, with its exit code."""
    code, out, err = audit("verify", "--file", file, *options, "-o", "json")
    said: dict[str, object] = json.loads(out)
    return {**said, "code": code, "err": err}


def kinds(said: dict[str, object]) -> list[tuple[int, str]]:
    findings = said["findings"]
    assert isinstance(findings, list)
    return [(each["batch"], each["kind"]) for each in findings]


def test_a_whole_ledger_is_whole_and_what_it_comes_to_is_said(tmp_path: Path, key: Path) -> None:
    file = written(tmp_path, lines_of(WHOLE))
    code, out, err = audit("verify", "--file", file, "--key", key)
    assert (code, err) == (0, "")
    rows = [line.split(None, 1) for line in out.splitlines()]
    assert rows[0] == ["The", "ledger is whole."]
    assert rows[1:5] == [
        ["batches", "3, 1 to 3"],
        ["records", "3"],
        ["written", "from 2026-11-23T12:00:00Z to 2026-11-23T12:00:02Z"],
        ["keys", KEY.key_id],
    ]
    said = verified(file, "--key", key)
    assert (said["right"], said["vouched"], said["findings"], said["keys"]) == (True, True, [], [KEY.key_id])
    assert said["head"] == {"sequence": 3, "hash": WHOLE[-1].head.hash, "keyID": KEY.key_id}


def test_without_a_key_it_says_that_nobody_vouched_for_it(tmp_path: Path) -> None:
    code, out, _ = audit("verify", "--file", written(tmp_path, lines_of(WHOLE)))
    assert code == 0
    assert "batch 1: notVouched: nobody vouched for the key" in out
    assert "The ledger agrees with itself." in out
    assert "The ledger is whole." not in out


@pytest.mark.parametrize(
    ("batches", "finding"),
    [
        (WHOLE[:1] + WHOLE[2:], (2, "removed")),
        (WHOLE[1:], (2, "noBeginning")),
        ([WHOLE[0], WHOLE[2], WHOLE[1]], (2, "reordered")),
        ([*WHOLE, chain([[record(task="x")]], after=WHOLE[1].head)[0]], (3, "fork")),
    ],
    ids=["removed", "beginning", "order", "fork"],
)
def test_what_is_wrong_is_a_line_with_where_and_how(
    tmp_path: Path, key: Path, batches: list[Batch], finding: tuple[int, str]
) -> None:
    file = written(tmp_path, lines_of(batches))
    said = verified(file, "--key", key)
    assert finding in kinds(said)
    assert (said["code"], said["right"]) == (1, False)
    code, out, _ = audit("verify", "--file", file, "--key", key)
    assert code == 1
    assert f"batch {finding[0]}: {finding[1]}: " in out
    assert "The ledger is not right:" in out


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(lines_of(WHOLE)) - 1), byte=st.integers(0, 255))
def test_a_copy_with_one_byte_changed_is_found(tmp_path: Path, key: Path, position: int, byte: int) -> None:
    content = bytearray(lines_of(WHOLE))
    before = content[position]
    content[position] = byte
    code, out, err = audit("verify", "--file", written(tmp_path, bytes(content)), "--key", key)
    if code == 0:
        # What stands around the batches says nothing: apiVersion and kind, and blanks.
        around = json.loads(lines_of(WHOLE).splitlines()[0])
        said = [json.loads(line) for line in bytes(content).splitlines() if line.strip()]
        assert [each["spec"] for each in said] == [batch.to_spec() for batch in WHOLE], (before, byte)
        assert all(set(each) <= {*around, *each} for each in said)
    assert out or err


@pytest.mark.parametrize("keys", [[OTHER], [KEY, OTHER]], ids=["later-key", "both"])
def test_a_key_of_yours_from_before_or_after_a_rotation_vouches(tmp_path: Path, keys: list[object]) -> None:
    named = [written(tmp_path, each.public.pem.encode(), f"{n}.pem") for n, each in enumerate(keys)]  # type: ignore[attr-defined]
    options = [part for each in named for part in ("--key", each)]
    said = verified(written(tmp_path, lines_of(with_rotation())), *options)
    assert (said["code"], said["vouched"], said["keys"]) == (0, True, [KEY.key_id, OTHER.key_id])


def test_a_foreign_key_is_told(tmp_path: Path) -> None:
    foreign = written(tmp_path, OTHER.public.pem.encode(), "other.pem")
    said = verified(written(tmp_path, lines_of(WHOLE)), "--key", foreign)
    assert (said["code"], kinds(said)) == (1, [(1, "wrongKey")])


def test_a_checkpoint_is_kept_and_the_next_time_compared(tmp_path: Path) -> None:
    file, kept = written(tmp_path, lines_of(WHOLE)), tmp_path / "checkpoint"
    assert verified(file, "--save-checkpoint", kept)["code"] == 0
    assert KnownHead.from_json(kept.read_bytes()) == KnownHead.of(WHOLE[-1])

    longer = written(tmp_path, lines_of([*WHOLE, sealed(WHOLE[-1].head, [record()], seconds=3)]), "longer")
    said = verified(longer, "--since", kept, "--save-checkpoint", kept)
    assert (said["code"], said["vouched"], said["findings"]) == (0, True, [])
    assert KnownHead.from_json(kept.read_bytes()).head.sequence == 4

    said = verified(file, "--since", kept, "--save-checkpoint", kept)
    assert kinds(said)[:1] == [(4, "truncated")]
    assert f"no checkpoint was written to {kept}: the chain is not whole" in str(said["err"])
    assert KnownHead.from_json(kept.read_bytes()).head.sequence == 4

    anew = chain([[started()], *([record(task="other")] for _ in range(4))])
    assert (4, "rewritten") in kinds(verified(written(tmp_path, lines_of(anew)), "--since", kept))


def test_a_checkpoint_is_replaced_only_by_who_compares_with_it(tmp_path: Path) -> None:
    file, kept = written(tmp_path, lines_of(WHOLE)), written(tmp_path, b"precious", "checkpoint")
    code, _, err = audit("verify", "--file", file, "--save-checkpoint", kept)
    assert (code, kept.read_bytes()) == (1, b"precious")
    assert f"--since {kept}" in err
    code, _, err = audit("verify", "--file", file, "--save-checkpoint", tmp_path / "none" / "checkpoint")
    assert code == 1
    assert "cannot write" in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint", "ledger.jsonl"]


def test_the_last_head_that_a_sink_got_is_a_checkpoint(tmp_path: Path) -> None:
    file, kept = written(tmp_path, lines_of(WHOLE)), written(tmp_path, segment_of(WHOLE), "kept.jsonl")
    said = verified(file, "--since", kept)
    assert (said["code"], said["vouched"], said["findings"]) == (0, True, [])

    cut_off = written(tmp_path, lines_of(WHOLE[:2]), "cut-off")
    assert kinds(verified(cut_off, "--since", kept))[:1] == [(3, "truncated")]
    anew = written(
        tmp_path, lines_of(chain([[started()], *([record(task="other")] for _ in range(4))])), "anew"
    )
    assert (3, "rewritten") in kinds(verified(anew, "--since", kept))

    # It is not written over by the next one, which has its own file.
    code, _, err = audit("verify", "--file", file, "--since", kept, "--save-checkpoint", kept)
    assert (code, kept.read_bytes()) == (1, segment_of(WHOLE))
    assert "is there already" in err
    damaged = written(tmp_path, segment_of(WHOLE).replace(b"op-0_1", b"op-0_2"), "damaged.jsonl")
    code, _, err = audit("verify", "--file", file, "--since", damaged)
    assert (code, "is not the hash of its header" in err) == (1, True)


def test_what_tasks_did_is_told_too_and_the_chain_may_be_kept_all_the_same(tmp_path: Path) -> None:
    late = [*LIFE[:2], [record(seconds=40_000)]]
    batches = [sealed(WHOLE[1].head, late[2], seconds=40_000)]
    file, kept = written(tmp_path, lines_of([*WHOLE[:2], *batches])), tmp_path / "kept"
    said = verified(file, "--max-lifetime", "299", "--save-checkpoint", kept)
    assert [kind for _, kind in kinds(said)] == ["tooLong", "notEnded", "notVouched"]
    assert (said["code"], said["right"], kept.exists()) == (1, False, True)
    assert kinds(verified(file, "--max-lifetime", "300"))[0][1] == "notEnded"
    code, out, _ = audit("verify", "--file", file)
    assert code == 1
    assert "the chain is whole, 1 that should not have been, by its records" in out


def test_what_is_due_by_the_last_batch_of_a_file_is_missed(tmp_path: Path) -> None:
    for seconds, missed in ((3_600, []), (3_800, []), (4_000, ["notEnded"])):
        last = sealed(WHOLE[1].head, [record(seconds=seconds)], seconds=seconds)
        said = verified(written(tmp_path, lines_of([*WHOLE[:2], last])))
        assert [kind for _, kind in kinds(said) if kind != "notVouched"] == missed


def test_lines_that_are_no_batch_are_findings_with_their_place(tmp_path: Path, key: Path) -> None:
    first, second, third = lines_of(WHOLE).splitlines(keepends=True)
    for broken, why in (
        (second[:100] + b"\n", "is no JSON"),
        (b"{}\n", "is no LedgerBatch with metadata.name and spec"),
        (b"[1]\n", "is no LedgerBatch"),
        (b'{"x":"' + b"x" * (5 * 1024 * 1024) + b'"}\n', "is longer than any batch"),
    ):
        file = written(tmp_path, first + broken + third)
        code, out, _ = audit("verify", "--file", file, "--key", key)
        assert code == 1
        assert f"batch 2: unreadable: line 2 of {file} {why}" in out
    code, out, _ = audit("verify", "--file", written(tmp_path, first + second + third[:-30]), "--key", key)
    assert (code, "batch 3: unreadable: line 3 of " in out) == (1, True)


def test_blank_lines_several_files_and_standard_input_are_read(tmp_path: Path, key: Path) -> None:
    content = lines_of(WHOLE)
    head, tail = written(tmp_path, lines_of(WHOLE[:2]), "a"), written(tmp_path, lines_of(WHOLE[2:]), "b")
    assert verified(head, "--file", tail, "--key", key)["code"] == 0
    assert verified(tail, "--file", head, "--key", key)["code"] == 1
    code, out, _ = audit("verify", "--file", "-", "--key", key, stdin=content.replace(b"\n", b"\r\n\r\n"))
    assert (code, "The ledger is whole." in out) == (0, True)
    objects = [json.loads(line) | {"metadata": {"name": "x", "uid": "y"}} for line in content.splitlines()]
    odd = b"".join(json.dumps(each).encode() + b"\n" for each in objects)
    assert audit("verify", "--file", "-", stdin=odd)[0] == 1


@pytest.mark.parametrize("content", [b"\x7fELF\x00", b"kind: List\n", b"{\n", b"[{}]\n", b"\xff\xfe\n"])
def test_a_file_of_something_else_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    code, out, err = audit("verify", "--file", file)
    assert (code, out) == (1, "")
    assert err == (
        f"agentid audit verify: {file} holds no ledger: --file takes what agentid audit export writes, one "
        "LedgerBatch a line, or the segments that a sink writes\n"
    )


def test_an_empty_file_is_no_whole_ledger(tmp_path: Path) -> None:
    said = verified(written(tmp_path, b""))
    assert (said["code"], kinds(said)) == (1, [(1, "removed")])


def test_what_a_sink_wrote_is_looked_through_and_said_to_be_unsigned(tmp_path: Path, key: Path) -> None:
    file = written(tmp_path, segment_of(WHOLE))
    said = verified(file, "--key", key)
    assert (said["code"], kinds(said), said["records"]) == (1, [(1, "notChecked")], 3)
    code, out, _ = audit("verify", "--file", file)
    assert (code, "What a sink wrote cannot be verified." in out) == (1, True)
    for batches, finding in (
        (WHOLE[:1] + WHOLE[2:], (2, "removed")),
        ([WHOLE[0], WHOLE[2], WHOLE[1]], (2, "reordered")),
    ):
        assert finding in kinds(verified(written(tmp_path, segment_of(batches))))
    two = chain([[started(), record()]])
    for content in (
        segment_of(two).splitlines(keepends=True)[:1],
        segment_of(two).splitlines(keepends=True)[1:],
    ):
        assert {kind for _, kind in kinds(verified(written(tmp_path, b"".join(content))))} > {"notChecked"}
    spoilt = segment_of(WHOLE).replace(b'"kind":"issued"', b'"kind": "issued"')
    assert (2, "badRecord") in kinds(verified(written(tmp_path, spoilt)))
    overdue = segment_of([*WHOLE[:2], sealed(WHOLE[1].head, [record(seconds=40_000)])])
    assert "notEnded" in {kind for _, kind in kinds(verified(written(tmp_path, overdue)))}
    mixed = written(tmp_path, lines_of(WHOLE) + segment_of(WHOLE))
    code, _, err = audit("verify", "--file", mixed)
    assert (code, "the files hold batches and lines of a sink" in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--key", "none.pem"), "cannot read none.pem: No such file or directory"),
        (("--since", "none"), "cannot read none: No such file or directory"),
        (("--file", "none"), "cannot read none: No such file or directory"),
        (("--file", "/"), "cannot read /: Is a directory"),
        (("--key", "{ledger}"), "no PEM of a public key"),
        (("--since", "{ledger}"), "--save-checkpoint writes one"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, lines_of(WHOLE))
    code, out, err = audit("verify", "--file", file, *(each.format(ledger=file) for each in options))
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--max-lifetime", "0"),
        ("--max-lifetime", "-1"),
        ("--max-lifetime", "1.5"),
        ("--max-lifetime", "31536001"),
        ("-o", "wide"),
        ("--file", "x", "--cluster"),
        ("--file", "x", "--context", "c"),
        ("--file", "x", "--kubeconfig", "k"),
        ("--file", "x", "--ledger-namespace", "n"),
        ("--ledger-namespace", "No such"),
        ("-A",),
        ("one",),
    ],
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert audit("verify", *options)[0] == 2


def test_of_very_many_findings_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    first, second = lines_of(WHOLE[:2]).splitlines(keepends=True)
    said = verified(written(tmp_path, first + second * 2_000))
    findings = said["findings"]
    assert isinstance(findings, list)
    assert (len(findings), said["furtherFindings"]) == (1000, 1000)


def test_however_many_records_there_are_few_are_in_memory(tmp_path: Path, key: Path) -> None:
    file = tmp_path / "large.jsonl"
    last = WHOLE[-1]
    with file.open("wb") as stream:
        stream.write(lines_of(WHOLE))
        for number in range(100):
            begin = 1_000 + 500 * number
            lives = (_life(100 * number + each, begin) for each in range(100))
            last = sealed(last.head, [line for life in lives for line in life], seconds=begin + 200)
            stream.write(lines_of([last]))
    tracemalloc.start()
    try:
        said = verified(file, "--key", key)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (said["code"], said["records"], said["findings"]) == (0, 20_003, [])
    assert file.stat().st_size > 6_500_000
    assert peak < 7_000_000, peak


def _life(number: int, begin: float) -> tuple[bytes, bytes]:
    uid, began = f"00000000-0000-4000-8000-{number:012d}", format(at(begin), "%Y-%m-%dT%H:%M:%SZ")
    held = issued(
        f"{number:x}", uid=uid, seconds=begin, ends=begin + 300, started_at=begin, deadline=begin + 600
    )
    return held, ended(
        begin + 100, uid=uid, started=began, revoked=revoked_list((f"{number:x}", begin + 300))
    )
