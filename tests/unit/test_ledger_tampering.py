"""However a ledger is tampered with, verification with a key and a kept head finds it."""

from collections.abc import Callable

from hypothesis import assume, given
from hypothesis import strategies as st

from agentid.ledger.batch import Batch, Head, seal
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from tests.unit.ledger_batches import KEY, OTHER, Objects, objects, record, verified, with_rotation

WHOLE = with_rotation()
OBJECTS = objects(WHOLE)
LAST = KnownHead.of(WHOLE[-1])
STRANGER = LedgerKey.create()
places = st.integers(0, len(WHOLE) - 1)


def is_found(found: Objects) -> bool:
    """Whether the tampering shows with each key that an auditor may have, and that alone or with a head."""
    return all(
        any(not each.kind.is_notice for each in verified(found, keys=keys, known=LAST)[1])
        for keys in ([KEY.public], [OTHER.public], [])
    )


def test_untouched_it_passes() -> None:
    assert not is_found(OBJECTS)


@given(places, st.sampled_from(sorted(OBJECTS[0][1])), st.data())
def test_a_changed_character_of_any_field_is_found(place: int, field: str, data: st.DataObject) -> None:
    name, spec = OBJECTS[place]
    value = spec[field]
    if isinstance(value, str):
        where = data.draw(st.integers(0, len(value) - 1))
        other = data.draw(st.characters())
        bent: object = value[:where] + other + value[where + 1 :]
    else:
        bent = data.draw(st.integers(0, 2**60))
    assume(bent != value)

    assert is_found([*OBJECTS[:place], (name, {**spec, field: bent}), *OBJECTS[place + 1 :]])


@given(places, st.data())
def test_a_character_put_in_or_taken_out_of_any_text_is_found(place: int, data: st.DataObject) -> None:
    name, spec = OBJECTS[place]
    field = data.draw(st.sampled_from(sorted(key for key, value in spec.items() if isinstance(value, str))))
    value = str(spec[field])
    where = data.draw(st.integers(0, len(value) - 1))
    bent = (
        value[:where]
        + data.draw(st.sampled_from(["", value[where] * 2, " ", "\n", "\x00"]))
        + value[where + 1 :]
    )
    assume(bent != value)

    assert is_found([*OBJECTS[:place], (name, {**spec, field: bent}), *OBJECTS[place + 1 :]])


@given(places, st.text(max_size=20))
def test_a_changed_name_is_found(place: int, name: str) -> None:
    assume(name != OBJECTS[place][0])

    assert is_found([*OBJECTS[:place], (name, OBJECTS[place][1]), *OBJECTS[place + 1 :]])


@given(places, places, st.sampled_from(sorted(OBJECTS[0][1])))
def test_a_field_of_another_batch_is_found(place: int, other: int, field: str) -> None:
    name, spec = OBJECTS[place]
    assume(OBJECTS[other][1][field] != spec[field])

    assert is_found(
        [*OBJECTS[:place], (name, {**spec, field: OBJECTS[other][1][field]}), *OBJECTS[place + 1 :]]
    )


# A checkpoint in the ledger lets the first three go: what is gone of these only is no tampering.
@given(st.sets(places, min_size=1))
def test_batches_taken_out_are_found_but_for_a_beginning_that_may_be_gone(gone: set[int]) -> None:
    left = [each for place, each in enumerate(OBJECTS) if place not in gone]
    is_pruned = gone in ({0}, {0, 1}, {0, 1, 2})

    assert is_found(left) is not is_pruned


@given(st.permutations(OBJECTS))
def test_another_order_is_found(order: Objects) -> None:
    assume(order != OBJECTS)

    assert is_found(order)


@given(places, st.integers(0, len(WHOLE)))
def test_a_batch_that_is_there_twice_is_found(place: int, where: int) -> None:
    assert is_found([*OBJECTS[:where], OBJECTS[place], *OBJECTS[where:]])


def forged(
    first: int, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]], key: Callable[[Batch], LedgerKey]
) -> Objects:
    """The chain with the records of batch `first` changed, and from there on sealed anew and linked."""
    made = list(WHOLE[:first])
    for place in range(first, len(WHOLE)):
        old = WHOLE[place]
        made.append(
            seal(
                Head(old.sequence - 1, made[-1].head.hash if made else old.previous_hash),
                change(old.records) if place == first else old.records,
                key=key(old),
                writer=old.writer,
                nonce=old.nonce,
                at=old.at,
            )
        )
    return objects(made)


CHANGES = st.sampled_from(
    [
        lambda records: (*records, record(task="forged")),
        lambda records: (record(task="forged"), *records),
        lambda records: records[:-1] or (record(task="forged"),),
        lambda records: (*records[:-1], record(task="forged")),
        lambda records: (*records, records[0]),
    ]
)


@given(places, CHANGES)
def test_history_sealed_anew_by_a_stranger_is_found(
    first: int, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
) -> None:
    assert is_found(forged(first, change, lambda _: STRANGER))


@given(places, CHANGES)
def test_history_sealed_anew_with_the_very_keys_is_found_by_a_kept_head(
    first: int, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
) -> None:
    assert is_found(forged(first, change, lambda old: KEY if old.key_id == KEY.key_id else OTHER))


@given(places, CHANGES)
def test_history_linked_anew_without_a_key_is_found(
    first: int, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
) -> None:
    anew = forged(first, change, lambda old: KEY if old.key_id == KEY.key_id else OTHER)
    signed = [
        (name, {**spec, "signature": OBJECTS[place][1]["signature"]})
        for place, (name, spec) in enumerate(anew)
    ]

    assert is_found(signed)
    # A head is not needed for that: the signatures are not over what is there.
    _, findings = verified(signed, keys=[KEY.public, OTHER.public])
    assert [each.sequence for each in findings][:1] == [first + 1]
