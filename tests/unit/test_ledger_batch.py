"""A batch: what is sealed is read back, nothing else is, and none is more than the API server takes."""

import base64
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.batch import (
    GENESIS,
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    Batch,
    Head,
    seal,
    take,
)
from agentid.ledger.digests import digest_of, digest_text
from agentid.ledger.errors import InvalidBatchError
from agentid.ledger.merkle import tree_hash
from agentid.ledger.record import MAX_RECORD_BYTES
from tests.unit.ledger_batches import KEY, NOW, OTHER, chain, record, sealed, started, words

ETCD_BYTES = 1_572_864
FIRST, SECOND = chain([[started()], [record(task="a"), record(task="b")]])


def spec(batch: Batch = SECOND, **other: object) -> dict[str, object]:
    return {**batch.to_spec(), **other}


def test_a_batch_is_chained_and_signed_over_a_canonical_header() -> None:
    header = {
        "schema": "agentid.dev/ledger/v1",
        "sequence": 2,
        "previousHash": digest_of(FIRST.header),
        "root": digest_text(tree_hash(SECOND.records)),
        "count": 2,
        "at": "2026-11-23T12:00:01Z",
        "writer": "op-0_1",
        "nonce": "00000000000000000000000000000001",
        "keyID": KEY.key_id,
    }

    assert SECOND.header == rfc8785.dumps(header)
    assert FIRST.previous_hash == GENESIS.hash == "sha256:" + "0" * 64
    assert SECOND.head == Head(2, digest_of(SECOND.header))
    assert KEY.public.verify(SECOND.signature, SECOND.header)
    assert SECOND.is_signed_by(KEY.public)
    assert not SECOND.is_signed_by(OTHER.public)
    assert SECOND.holds_its_records()
    assert SECOND.name == "0000000000000002"


def test_the_object_says_it_all() -> None:
    assert spec() == {
        "sequence": 2,
        "previousHash": FIRST.head.hash,
        "root": SECOND.root,
        "count": 2,
        "at": "2026-11-23T12:00:01Z",
        "writer": "op-0_1",
        "nonce": "00000000000000000000000000000001",
        "keyID": KEY.key_id,
        "signature": base64.b64encode(SECOND.signature).decode(),
        "records": (record(task="a") + b"\n" + record(task="b") + b"\n").decode(),
    }


@given(st.lists(words, min_size=1, max_size=8), st.integers(0, 10**6))
def test_what_is_sealed_is_read_back_from_json(texts: list[str], sequence: int) -> None:
    previous = Head(sequence, digest_of(b"before"))
    batch = sealed(previous, [record(message=text) for text in texts])

    assert Batch.from_spec(batch.name, orjson.loads(orjson.dumps(batch.to_spec()))) == batch


def test_times_are_kept_in_whole_seconds() -> None:
    made = seal(
        GENESIS,
        [started()],
        key=KEY,
        writer="w",
        nonce="0" * 32,
        at=NOW + timedelta(milliseconds=999),
    )

    assert made.at == NOW


_HASH = SECOND.root
_LONG = "x" * 254


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"sequence": 3}, "it says that it is number 3, named 0000000000000003"),
        ({"sequence": 0}, "sequence is no number from 1"),
        ({"sequence": True}, "sequence is no number"),
        ({"sequence": "2"}, "sequence is no number"),
        ({"sequence": 2.0}, "sequence is no number"),
        ({"sequence": 2**53}, "sequence is no number"),
        ({"previousHash": _HASH.upper()}, "previousHash does not have its form"),
        ({"previousHash": _HASH + "\n"}, "previousHash does not have its form"),
        ({"root": _HASH[:-1]}, "root does not have its form"),
        ({"root": None}, "root does not have its form"),
        ({"count": 0}, "count is no number from 1 to 1000"),
        ({"count": 1001}, "count is no number"),
        ({"at": "2026-11-23T12:00:01.5Z"}, "it has no time at"),
        ({"at": "2026-11-23T12:00:01+00:00"}, "it has no time at"),
        ({"at": None}, "it has no time at"),
        ({"writer": ""}, "writer does not have its form"),
        ({"writer": "a b"}, "writer does not have its form"),
        ({"writer": _LONG}, "writer does not have its form"),
        ({"nonce": "0" * 31}, "nonce does not have its form"),
        ({"keyID": "sha1:00"}, "keyID does not have its form"),
        ({"signature": ""}, "signature is not 64 bytes in base64"),
        ({"signature": "ä"}, "signature is not 64 bytes"),
        ({"signature": 1}, "signature is not 64 bytes"),
        ({"signature": base64.b64encode(bytes(63)).decode()}, "signature is not 64 bytes"),
        ({"signature": base64.b64encode(bytes(64)).decode()[:-3] + "B=="}, "signature is not 64 bytes"),
        ({"signature": base64.b64encode(SECOND.signature).decode() + "\n"}, "signature is not 64 bytes"),
        ({"records": ""}, "records is not made of whole lines"),
        ({"records": "{}"}, "records is not made of whole lines"),
        ({"records": ["{}"]}, "records is not made of whole lines"),
        ({"records": "\ud800\n"}, "records is no UTF-8"),
        ({"records": "x" * MAX_BATCH_BYTES + "\n"}, "records has 196609 bytes, more than 196608"),
        ({"records": "x\n" * 1001}, "records has 1001 lines, more than 1000"),
        ({"more": 1}, "it has a field too many: 'more'"),
    ],
)
def test_an_object_that_is_not_of_that_form_is_refused(other: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidBatchError, match=rf"^batch 0000000000000002 cannot be read: {why}"):
        Batch.from_spec(SECOND.name, spec(**other))


@pytest.mark.parametrize("field", SECOND.to_spec())
def test_no_field_may_be_left_out(field: str) -> None:
    left = {name: value for name, value in spec().items() if name != field}

    with pytest.raises(InvalidBatchError, match=field):
        Batch.from_spec(SECOND.name, left)


@pytest.mark.parametrize("whole", [None, [], "x", 1])
def test_what_is_no_object_is_refused(whole: object) -> None:
    with pytest.raises(InvalidBatchError, match="its spec is no object"):
        Batch.from_spec(SECOND.name, whole)


@pytest.mark.parametrize(
    "name", ["2", "00000000000000002", "0000000000000002\n", "0000000000000001", "x" * 300]
)
def test_a_batch_under_another_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidBatchError, match="named 0000000000000002"):
        Batch.from_spec(name, spec())


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.text(max_size=20), ANY | st.dictionaries(st.sampled_from(sorted(SECOND.to_spec())), ANY))
def test_whatever_comes_it_is_refused_in_one_way(name: str, whole: object) -> None:
    with pytest.raises(InvalidBatchError):
        Batch.from_spec(name, whole)


@given(st.sampled_from(sorted(SECOND.to_spec())), ANY)
def test_a_field_of_anything_else_is_refused_or_is_what_it_was_read_as(field: str, value: object) -> None:
    try:
        batch = Batch.from_spec(SECOND.name, spec(**{field: value}))
    except InvalidBatchError:
        return
    assert batch.to_spec() == spec(**{field: value})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"records": ()}, "count is no number"),
        ({"records": (b"a\nb",)}, "it is not read as it was written"),
        ({"records": (b"x" * MAX_BATCH_BYTES,)}, "more than 196608"),
        ({"records": (b"x",) * (MAX_BATCH_RECORDS + 1)}, "count is no number"),
        ({"records": (b"\xff",)}, "a record is no UTF-8"),
        ({"writer": "a b"}, "writer does not have its form"),
        ({"nonce": "x"}, "nonce does not have its form"),
        ({"previous": Head(-1, GENESIS.hash)}, "sequence is no number"),
        ({"previous": Head(2**53 - 1, GENESIS.hash)}, "sequence is no number"),
        ({"previous": Head(1, "x")}, "previousHash does not have its form"),
    ],
)
def test_what_nobody_could_read_is_not_sealed(change: dict[str, object], why: str) -> None:
    arguments: dict[str, object] = {
        "previous": GENESIS,
        "records": (started(),),
        "writer": "w",
        "nonce": "0" * 32,
    }
    with pytest.raises(InvalidBatchError, match=why):
        seal(**(arguments | change), key=KEY, at=NOW)  # type: ignore[arg-type]


def test_each_field_of_the_header_is_under_the_signature() -> None:
    for change in (
        {"sequence": 3},
        {"previous_hash": GENESIS.hash},
        {"root": GENESIS.hash},
        {"count": 1},
        {"at": NOW},
        {"writer": "x"},
        {"nonce": "f" * 32},
    ):
        assert not replace(SECOND, **change).is_signed_by(KEY.public), change  # type: ignore[arg-type]
    assert not replace(SECOND, key_id=OTHER.key_id).is_signed_by(OTHER.public)
    assert not replace(SECOND, count=3).holds_its_records()
    assert not replace(SECOND, records=(*SECOND.records, b"{}")).holds_its_records()
    assert not replace(SECOND, records=SECOND.records[::-1]).holds_its_records()


sizes = st.lists(
    st.sampled_from([60, 1_000, MAX_RECORD_BYTES]) | st.integers(1, MAX_RECORD_BYTES), max_size=12
)


@given(sizes)
def test_a_queue_goes_into_as_few_batches_as_there_is_room_for(lengths: list[int]) -> None:
    waiting = [b"x" * length for length in lengths]
    batches = []
    while waiting:
        number = take(waiting)
        assert number >= 1
        batches.append(waiting[:number])
        waiting = waiting[number:]
        size = sum(len(each) + 1 for each in batches[-1])
        assert size <= MAX_BATCH_BYTES
        assert not waiting or size + len(waiting[0]) + 1 > MAX_BATCH_BYTES
    assert [each for batch in batches for each in batch] == [b"x" * length for length in lengths]


def test_no_more_records_than_a_batch_holds_are_taken() -> None:
    assert take([]) == 0
    assert take([b"x"] * MAX_BATCH_RECORDS) == MAX_BATCH_RECORDS
    assert take([b"x"] * (MAX_BATCH_RECORDS + 1)) == MAX_BATCH_RECORDS
    assert take([b"x" * MAX_RECORD_BYTES] * 2) == 1


@pytest.mark.parametrize("character", ["<", '"', "\\", "\x01", "\u2028", "\U0001f9ff"])
def test_the_fullest_batch_is_less_than_etcd_takes_in_one_request(character: str) -> None:
    def as_stored(whole: object) -> int:
        """Bytes of it as the API server stores objects: Go's JSON, in which these are six bytes each."""
        raw = orjson.dumps(whole)
        three = sum(raw.count(each) for each in (b"<", b">", b"&"))
        return len(raw) + 5 * three + 3 * (raw.count("\u2028".encode()) + raw.count("\u2029".encode()))

    # As much of it in one record as the limits allow; the other records fill what is left.
    each = record(message=character * 1000)
    records = [each] * take([each] * 1000)
    batch = sealed(GENESIS, records)

    assert sum(len(one) + 1 for one in records) > MAX_BATCH_BYTES * 0.9
    assert as_stored({"spec": batch.to_spec()}) < ETCD_BYTES * 0.8
