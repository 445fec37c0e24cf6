"""The proof of one record: it holds for who trusts the key, and nothing else passes for one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.batch import Batch
from agentid.ledger.errors import InvalidProofError
from agentid.ledger.proof import MAX_PROOF_BYTES, Proof
from agentid.ledger.record import MAX_RECORD_BYTES, Record
from tests.unit.ledger_batches import KEY, OTHER, chain, record, started


def batch_of(count: int) -> Batch:
    return chain([[started()], [record(task=f"t-{number}") for number in range(count)]])[1]


SEVEN = batch_of(7)


@given(st.integers(1, 40), st.data())
def test_any_record_of_any_batch_is_proved_by_its_file(count: int, data: st.DataObject) -> None:
    batch, index = batch_of(count), data.draw(st.integers(0, count - 1))
    proof = Proof.from_json(Proof.of(batch, index).to_json())
    assert proof == Proof.of(batch, index)
    assert proof.check(KEY.public) == Record.parse(batch.records[index])
    assert proof.batch.head == batch.head


def test_nothing_of_the_other_records_is_in_it() -> None:
    said = Proof.of(SEVEN, 3).to_json().decode()
    assert [f"t-{number}" in said for number in range(7)] == [number == 3 for number in range(7)]


def test_another_key_proves_nothing() -> None:
    proof = Proof.of(SEVEN, 3)
    with pytest.raises(InvalidProofError, match=r"signed by key .*, and yours is .*: after a rotation"):
        proof.check(OTHER.public)


def test_what_is_not_in_a_batch_is_not_proved() -> None:
    for index in (-1, 7):
        with pytest.raises(InvalidProofError, match=f"has no record {index}: it has 7, counted from 0"):
            Proof.of(SEVEN, index)
    spec = SEVEN.to_spec() | {"records": str(SEVEN.to_spec()["records"]).replace("t-3", "t-9")}
    with pytest.raises(InvalidProofError, match="its records are not those that were signed"):
        Proof.of(Batch.from_spec(SEVEN.name, spec), 3)


@given(st.integers(0, 6), st.data())
def test_a_file_with_anything_changed_proves_nothing(index: int, data: st.DataObject) -> None:
    raw = Proof.of(SEVEN, index).to_json()
    at = data.draw(st.integers(0, len(raw) - 2))
    changed = bytearray(raw)
    changed[at] = data.draw(st.integers(0, 255).filter(lambda each: each != raw[at]))
    try:
        proof = Proof.from_json(bytes(changed))
        assert proof.check(KEY.public) == Record.parse(SEVEN.records[index])
    except InvalidProofError:
        return
    # Only a blank was put in the place of another, which says nothing.
    assert json.loads(changed) == json.loads(raw)


def _files() -> list[tuple[dict[str, Any], str]]:
    right = json.loads(Proof.of(SEVEN, 3).to_json())
    other = json.loads(Proof.of(SEVEN, 4).to_json())
    lines = right["batch"]["records"]
    leads = "does not lead to the header's hash"
    return [
        (right | {"index": 4}, leads),
        (right | {"path": other["path"]}, leads),
        (right | {"path": right["path"][:-1]}, leads),
        (right | {"path": right["path"] * 2}, leads),
        (right | {"batch": right["batch"] | {"count": 3}}, leads),
        (right | {"batch": right["batch"] | {"records": lines.replace("t-3", "t-9")}}, leads),
        (right | {"batch": right["batch"] | {"writer": "mallory"}}, "signature is not over this header"),
        (right | {"batch": right["batch"] | {"records": lines + lines}}, "has 2 records; a proof is of one"),
        (right | {"batch": {}}, "the proof's batch is none"),
        (right | {"batch": None}, "the proof's batch is none"),
        (right | {"batch": right["batch"] | {"sequence": True}}, "the proof's batch is none"),
        (right | {"batch": right["batch"] | {"sequence": 10**20}}, "the proof's batch is none"),
        (right | {"index": -1}, "index is not that of a record"),
        (right | {"index": True}, "index is not that of a record"),
        (right | {"index": "3"}, "index is not that of a record"),
        (right | {"path": "x"}, "path is no list"),
        (right | {"path": [1]}, "path is no list"),
        (right | {"path": ["sha256:" + "0" * 64] * 1000}, "path is no list"),
        (right | {"schema": "agentid.dev/proof/v2"}, "not an object of schema agentid.dev/proof/v1"),
        (right | {"more": 1}, "not an object of schema"),
    ]


@pytest.mark.parametrize(("file", "said"), _files())
def test_what_is_no_proof_is_refused_with_why(file: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidProofError, match=said):
        Proof.from_json(json.dumps(file).encode()).check(KEY.public)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_whatever_a_file_holds_it_is_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidProofError):
        Proof.from_json(raw)


def test_the_largest_proof_is_read_whole() -> None:
    line = record(message='"\\' * (MAX_RECORD_BYTES // 4 - 200))
    assert len(line) <= MAX_RECORD_BYTES
    batch = chain([[started()], [line]])[1]
    assert len(Proof.of(batch, 0).to_json()) < MAX_PROOF_BYTES
