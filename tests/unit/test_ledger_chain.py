"""Verification of a chain: what is whole passes, and of what is not it is said where and how."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentid.ledger import beginning, signers
from agentid.ledger.batch import GENESIS, Batch, Head
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.digests import digest_of, digest_text
from agentid.ledger.errors import InvalidHeadError
from agentid.ledger.finding import Finding
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.merkle import tree_hash
from agentid.ledger.record import checkpoint, key_rotated
from tests.unit.ledger_batches import (
    KEY,
    NOW,
    OTHER,
    Objects,
    at,
    chain,
    objects,
    record,
    sealed,
    started,
    verified,
    with_rotation,
)

WHOLE = with_rotation()
LAST = KnownHead.of(WHOLE[-1])
BOTH = [KEY.public, OTHER.public]
STRANGER = LedgerKey.create()


def told(findings: Sequence[Finding]) -> list[tuple[int, str]]:
    return [(each.sequence, each.kind.value) for each in findings]


def changed(batch: Batch, **fields: object) -> Batch:
    return replace(batch, **fields)  # type: ignore[arg-type]


def at_place(number: int, batch: Batch) -> Objects:
    return objects([*WHOLE[: number - 1], batch, *WHOLE[number:]])


def resealed(batch: Batch, *, key: LedgerKey, previous: Head | None = None) -> Batch:
    """The same batch as somebody else with a key would seal it."""
    fields = changed(
        batch,
        key_id=key.key_id,
        root=digest_text(tree_hash(batch.records)),
        count=len(batch.records),
        previous_hash=previous.hash if previous is not None else batch.previous_hash,
    )
    return replace(fields, signature=key.sign(fields.header))


def test_a_whole_chain_passes() -> None:
    summary, findings = verified(objects(WHOLE), keys=[KEY.public], known=LAST)

    assert findings == []
    assert (summary.first, summary.last, summary.batches, summary.records) == (1, LAST, 7, 13)
    assert summary.vouched


@pytest.mark.parametrize("key", BOTH)
def test_a_key_from_before_or_after_a_rotation_vouches_for_all(key: object) -> None:
    assert verified(objects(WHOLE), keys=[key])[1] == []  # type: ignore[list-item]


def test_without_a_key_it_says_that_nobody_vouched_for_it() -> None:
    summary, findings = verified(objects(WHOLE))

    assert told(findings) == [(1, "notVouched")]
    assert findings[0].kind.is_notice
    assert not summary.vouched
    assert OTHER.key_id in findings[0].message


def test_a_kept_head_vouches_for_what_is_chained_to_it() -> None:
    for batch in WHOLE:
        summary, findings = verified(objects(WHOLE), known=KnownHead.of(batch))
        assert findings == []
        assert summary.vouched


@pytest.mark.parametrize(
    ("first", "expected"),
    [(2, []), (3, []), (4, []), (5, [(5, "noBeginning")]), (7, [(7, "noBeginning")])],
)
def test_what_a_checkpoint_lets_go_may_be_gone_and_no_more(
    first: int, expected: list[tuple[int, str]]
) -> None:
    assert told(verified(objects(WHOLE[first - 1 :]), keys=[OTHER.public])[1]) == expected


@pytest.mark.parametrize("first", [2, 3, 4, 5, 6])
def test_where_the_beginning_is_gone_the_ledger_itself_tells_each_key(first: int) -> None:
    rest = objects(WHOLE[first - 1 :])
    known = KnownHead.of(WHOLE[first - 1])
    assert told(verified(rest, known=known)[1]) == ([(first, "noBeginning")] if first > 4 else [])

    for number in range(len(rest)):
        name, spec = rest[number]
        signature = WHOLE[0].to_spec()["signature"]
        bent = [*rest[:number], (name, {**spec, "signature": signature}), *rest[number + 1 :]]
        assert (first + number, "edited") in told(verified(bent, known=known)[1])


def test_what_goes_on_from_a_kept_head_needs_no_beginning() -> None:
    rest = objects(WHOLE[5:])

    assert verified(rest, known=KnownHead.of(WHOLE[4]))[1] == []
    assert told(verified(rest, known=KnownHead.of(WHOLE[3]))[1]) == [
        (6, "noBeginning"),
        (4, "notCompared"),
        (6, "notVouched"),
    ]
    bent = KnownHead(Head(5, WHOLE[0].head.hash), OTHER.key_id)
    assert told(verified(rest, known=bent, keys=BOTH)[1]) == [(6, "rewritten")]


def test_a_key_that_changed_right_after_a_kept_head_has_to_be_given() -> None:
    rest, known = objects(WHOLE[3:]), KnownHead.of(WHOLE[2])

    assert told(verified(rest, known=known)[1]) == [(4, "wrongKey"), (4, "notVouched")]
    assert verified(rest, known=known, keys=[OTHER.public])[1] == []


def test_signatures_that_no_key_is_known_for_are_not_passed_over() -> None:
    rest = objects(WHOLE[3:5])

    assert told(verified(rest, known=KnownHead.of(WHOLE[3]))[1]) == [(4, "noBeginning"), (4, "notChecked")]


def test_more_signatures_than_can_wait_are_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signers, "MAX_DEFERRED", 1)

    assert told(verified(objects(WHOLE[3:]))[1]) == [(5, "notChecked")]
    assert verified(objects(WHOLE[3:]), keys=[OTHER.public])[1] == []


def test_an_empty_ledger_is_none() -> None:
    summary, findings = verified([], keys=BOTH, known=LAST)

    assert told(findings) == [(1, "removed"), (1, "truncated")]
    assert (summary.first, summary.last) == (0, None)


_A, _B = WHOLE[1], WHOLE[3]
_FORK = sealed(WHOLE[2].head, [record(task="other")], key=OTHER, seconds=3)

TAMPERED: dict[str, tuple[Objects, list[tuple[int, str]]]] = {
    "a record changed": (
        at_place(2, changed(_A, records=(_A.records[0], record(task="c")))),
        [(2, "edited")],
    ),
    "a record added": (at_place(2, changed(_A, records=(*_A.records, record()))), [(2, "edited")]),
    "a record taken out": (at_place(2, changed(_A, records=_A.records[:1])), [(2, "edited")]),
    "records swapped": (at_place(2, changed(_A, records=_A.records[::-1])), [(2, "edited")]),
    "the count changed": (at_place(2, changed(_A, count=3)), [(2, "edited"), (2, "edited")]),
    "the root changed": (at_place(2, changed(_A, root=_B.root)), [(2, "edited"), (2, "edited")]),
    "records and root changed": (
        at_place(
            2, changed(_A, records=_A.records[:1], count=1, root=digest_text(tree_hash(_A.records[:1])))
        ),
        [(2, "edited")],
    ),
    "the time changed": (at_place(2, changed(_A, at=at(9))), [(2, "edited")]),
    "the signature changed": (at_place(2, changed(_A, signature=_B.signature)), [(2, "edited")]),
    "the link changed": (
        at_place(4, changed(_B, previous_hash=GENESIS.hash)),
        [(4, "edited"), (4, "edited")],
    ),
    "the first chained to another": (
        at_place(1, changed(WHOLE[0], previous_hash=_A.head.hash)),
        [(1, "edited"), (1, "edited")],
    ),
    "signed by a stranger": (at_place(2, resealed(_A, key=STRANGER)), [(2, "wrongKey")]),
    "signed by the next key too early": (at_place(2, resealed(_A, key=OTHER)), [(2, "wrongKey")]),
    "signed by the former key": (at_place(5, resealed(WHOLE[4], key=KEY)), [(5, "wrongKey")]),
    "rewritten by who has the key": (at_place(4, _FORK), [(5, "edited")]),
    "one taken out": (objects([*WHOLE[:4], *WHOLE[5:]]), [(5, "removed")]),
    "three taken out": (objects([WHOLE[0], *WHOLE[4:]]), [(2, "removed")]),
    "two swapped": (objects([WHOLE[0], WHOLE[2], WHOLE[1], *WHOLE[3:]]), [(2, "removed"), (2, "reordered")]),
    "one twice": (objects([*WHOLE[:4], WHOLE[3], *WHOLE[4:]]), [(4, "reordered")]),
    "two of one number": (objects([*WHOLE[:4], _FORK, *WHOLE[4:]]), [(4, "fork")]),
    "the beginning gone": (objects(WHOLE[5:]), [(6, "noBeginning")]),
    "the end gone": (objects(WHOLE[:5]), [(6, "truncated")]),
    "all gone": ([], [(1, "removed"), (1, "truncated")]),
    "a field too many": (
        [*objects(WHOLE[:1]), (_A.name, {**_A.to_spec(), "more": 1}), *objects(WHOLE[2:])],
        [(2, "unreadable")],
    ),
    "under another name": (
        [*objects(WHOLE[:1]), (_B.name, dict(_A.to_spec())), *objects(WHOLE[2:])],
        [(4, "unreadable"), (2, "removed")],
    ),
    "under no name": (
        [*objects(WHOLE[:1]), ("x", dict(_A.to_spec())), *objects(WHOLE[2:])],
        [(2, "unreadable")],
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_it_says_where_and_how_a_chain_was_tampered_with(how: str) -> None:
    found, expected = TAMPERED[how]

    assert told(verified(found, keys=BOTH, known=LAST)[1]) == expected


def test_a_tail_that_a_stranger_signs_is_told_once_and_not_believed() -> None:
    forged = [*WHOLE[:4]]
    for batch in WHOLE[4:]:
        forged.append(
            resealed(replace(batch, records=(record(task="forged"),)), key=STRANGER, previous=forged[-1].head)
        )

    verifier = ChainVerifier(keys=BOTH)
    checked = [verifier.feed(name, spec) for name, spec in objects(forged)]

    assert [told(each.findings) for each in checked[4:]] == [[(5, "wrongKey")], [], []]
    assert all(not each.records for each in checked[4:])
    summary, findings = verifier.finish()
    assert findings == ()
    assert summary.last is None


def test_a_ledger_made_anew_is_not_the_one_whose_key_or_head_is_known() -> None:
    anew = objects(chain([[started(STRANGER)], [record()]], key=STRANGER))

    assert told(verified(anew)[1]) == [(1, "notVouched")]
    assert told(verified(anew, keys=BOTH)[1]) == [(1, "wrongKey")]
    assert told(verified(anew, known=KnownHead.of(WHOLE[1]))[1]) == [(2, "rewritten"), (1, "notVouched")]


def first_of(*records: bytes) -> Objects:
    return objects(chain([records, [record()]]))


def third_of(*records: bytes, key: LedgerKey = KEY) -> Objects:
    made = chain([[started()], [record()]])
    return objects([*made, sealed(made[-1].head, records, key=key)])


_TWO = chain([[started()], [record()]])[1].head.hash


@pytest.mark.parametrize(
    ("found", "expected", "word"),
    [
        (first_of(record()), [(1, "badRecord")], "record 1 is not ledgerStarted"),
        (first_of(record(), started()), [(1, "badRecord")] * 2, "record 1 is not ledgerStarted"),
        (first_of(started(OTHER)), [(1, "badRecord")], "its batch is signed by"),
        (
            first_of(started(), started()),
            [(1, "badRecord")],
            "record 2 is ledgerStarted, which is the first of all",
        ),
        (first_of(started(), b"{}"), [(1, "badRecord")], "record 2 is of schema None"),
        (first_of(started(), b' {"a":1}'), [(1, "badRecord")], "record 2 is not in canonical form"),
        (third_of(started()), [(3, "badRecord")], "record 1 is ledgerStarted, which is the first of all"),
        (third_of(record("keyRotated")), [(3, "badRecord")], "has no previous_key"),
        (third_of(record("keyRotated", previous_key="x")), [(3, "badRecord")], "no PEM of a public key"),
        (
            third_of(key_rotated(NOW, OTHER.public, KEY.public)),
            [(3, "badRecord")],
            "but its batch is signed by",
        ),
        (third_of(checkpoint(NOW, 2, _TWO, KEY.public, NOW)), [], ""),
        (
            third_of(checkpoint(NOW, 2, _TWO, OTHER.public, NOW)),
            [(3, "badRecord")],
            "but its batch is signed by",
        ),
        (
            third_of(checkpoint(NOW, 1, _TWO, KEY.public, NOW)),
            [(3, "badRecord")],
            "says that batch 1 is sha256:",
        ),
        (third_of(checkpoint(NOW, 3, _TWO, KEY.public, NOW)), [(3, "badRecord")], "no batch before its own"),
        (third_of(checkpoint(NOW, 2, "x", KEY.public, NOW)), [(3, "badRecord")], "no batch before its own"),
        (
            third_of(record("checkpoint", public_key=KEY.public.pem)),
            [(3, "badRecord")],
            "has no number through",
        ),
    ],
)
def test_records_about_the_ledger_itself_have_to_be_right(
    found: Objects, expected: list[tuple[int, str]], word: str
) -> None:
    findings = verified(found, keys=[KEY.public])[1]

    assert told(findings) == expected
    assert not expected or word in findings[0].message


def test_a_checkpoint_of_another_batch_lets_nothing_go() -> None:
    before = sealed(WHOLE[4].head, [checkpoint(at(5), 4, digest_of(b"other"), OTHER.public, NOW)], key=OTHER)

    assert told(verified(objects([WHOLE[4], before]), keys=BOTH)[1]) == [(6, "badRecord"), (5, "noBeginning")]


def test_a_rotation_among_what_is_missing_is_found_with_the_new_key_only() -> None:
    rest = objects([*WHOLE[:2], *WHOLE[3:]])

    assert told(verified(rest, keys=BOTH)[1]) == [(3, "removed")]
    assert told(verified(rest, keys=[KEY.public])[1]) == [(3, "removed"), (4, "wrongKey")]


def test_what_comes_a_second_time_is_found_however_long_ago_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "RECENT", 2)
    findings = verified(objects([*WHOLE, WHOLE[6], WHOLE[1]]), keys=BOTH)[1]

    assert told(findings) == [(7, "reordered"), (2, "reordered")]
    assert all("out of order, or a second time" in each.message for each in findings)


def test_records_are_handed_on_only_as_they_were_signed() -> None:
    verifier = ChainVerifier(keys=BOTH)
    bent = at_place(2, changed(_A, records=_A.records[:1]))
    checked = [verifier.feed(name, spec) for name, spec in bent]

    assert [len(each.records) for each in checked] == [2, 0, 2, 1, 1, 2, 3]
    assert all(each.batch is not None for each in checked)


def test_a_kept_head_is_read_back_from_its_file() -> None:
    assert KnownHead.from_json(LAST.to_json()) == LAST
    assert LAST.to_json().endswith(b"}\n")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        LAST.to_json().replace(b'"sequence":7', b'"sequence":0'),
        LAST.to_json().replace(b'"sequence":7', b'"sequence":true'),
        LAST.to_json().replace(b'"sequence":7', b'"sequence":"7"'),
        LAST.to_json().replace(b"sha256:", b"sha1:"),
        LAST.to_json().replace(b'"sequence":7', b'"sequence":7,"more":1'),
    ],
)
def test_a_file_that_is_no_kept_head_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidHeadError, match="the checkpoint"):
        KnownHead.from_json(raw)


def test_each_finding_says_where_and_what_in_one_line() -> None:
    shown = [str(each) for found, _ in TAMPERED.values() for each in verified(found, known=LAST)[1]]

    assert all(each.startswith("batch ") and "\n" not in each for each in shown)
