"""`agentid audit prove` and `check-proof`: to whom a record is proved, and to whom not."""

import json
from pathlib import Path

import pytest

from tests.unit.audit_files import audit, lines_of, segment_of, written
from tests.unit.ledger_batches import KEY, OTHER, chain, issued, record, started

BATCHES = chain([[started()], [record(task="secret-of-others"), issued("4f", ends=300), record(task="x")]])


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return written(tmp_path, lines_of(BATCHES))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return written(tmp_path, KEY.public.pem.encode(), "key.pem")


@pytest.fixture
def proof(tmp_path: Path, ledger: Path) -> Path:
    file = tmp_path / "proof.json"
    code, out, err = audit("prove", "2-1", "--file", ledger, "--out", file)
    assert (code, out, err) == (0, "", f"proof of record 2-1 written to {file}\n")
    return file


def test_who_trusts_the_key_is_told_what_is_proved(proof: Path, key: Path, tmp_path: Path) -> None:
    code, out, err = audit("check-proof", proof, "--key", key)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    for part in (
        "The record is in the ledger.",
        "record 2-1, issued at 2026-11-23T12:00:00Z",
        KEY.key_id,
        "serial 4f",
    ):
        assert part in said
    other = written(tmp_path, OTHER.public.pem.encode(), "other.pem")
    code, out, _ = audit("check-proof", proof, "--key", other, "--key", key, "-o", "json")
    answer = json.loads(out)
    assert (code, answer["record"]["record"], answer["record"]["serial"]) == (0, "2-1", "4f")
    assert answer["batch"]["hash"] == BATCHES[1].head.hash
    assert "secret-of-others" not in proof.read_text()


def test_without_the_right_key_nothing_is_proved(proof: Path, tmp_path: Path) -> None:
    code, out, err = audit("check-proof", proof)
    assert (code, out) == (1, "")
    assert f"give with --key the public key {KEY.key_id}, if that is the ledger's" in err
    other = written(tmp_path, OTHER.public.pem.encode(), "other.pem")
    code, out, err = audit("check-proof", proof, "--key", other)
    assert (code, out) == (1, "")
    assert "it is signed by key" in err


def test_a_proof_that_was_touched_is_none(proof: Path, key: Path) -> None:
    proof.write_bytes(proof.read_bytes().replace(b'\\"serial\\":\\"4f\\"', b'\\"serial\\":\\"5f\\"'))
    code, out, err = audit("check-proof", proof, "--key", key)
    assert (code, out) == (1, "")
    assert "the record does not lead to the header's hash" in err


def test_what_is_not_there_is_not_proved(ledger: Path, proof: Path, tmp_path: Path) -> None:
    for place, said in (("9-0", "batch 9 is not in what was read"), ("2-3", "has no record 3: it has 3")):
        code, out, err = audit("prove", place, "--file", ledger)
        assert (code, out) == (1, "")
        assert said in err
    segments = written(tmp_path, segment_of(BATCHES), "segments")
    assert "what a sink wrote proves nothing" in audit("prove", "2-1", "--file", segments)[2]
    broken = written(tmp_path, lines_of(BATCHES).replace(b'task\\":\\"x', b'task\\":\\"y'), "broken")
    assert "its records are not those that were signed" in audit("prove", "2-1", "--file", broken)[2]
    before = proof.read_bytes()
    assert "evidence is not written over" in audit("prove", "2-0", "--file", ledger, "--out", proof)[2]
    assert proof.read_bytes() == before
    assert audit("prove", "2-1", "--file", ledger)[1].encode() == before
    assert "cannot write" in audit("prove", "2-1", "--file", ledger, "--out", tmp_path / "none" / "x")[2]


@pytest.mark.parametrize(
    "options",
    [
        ("prove",),
        ("prove", "2"),
        ("prove", "0-0"),
        ("prove", "2-1000"),
        ("prove", "2--1"),
        ("prove", "2-1", "--file", "x", "--cluster"),
        ("check-proof",),
        ("check-proof", "x", "-o", "wide"),
    ],
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert audit(*options)[0] == 2
