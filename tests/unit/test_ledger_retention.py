"""Batches go from the first on, as far as nothing that they tell of is of use, and never the head."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.batch import GENESIS, Head
from agentid.ledger.record import Record, encode
from agentid.ledger.retention import KeptBatch, Retention
from tests.unit.ledger_batches import sealed

NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = 10**9


def batch(
    sequence: int, *, age: timedelta = 2 * HOUR, ends_in: timedelta | None = None, size: int = 100
) -> KeptBatch:
    needed = None if ends_in is None else NOW + ends_in
    return KeptBatch(Head(sequence, f"sha256:{sequence}"), f"u-{sequence}", NOW - age, needed, size)


def kept(*batches: KeptBatch, most_bytes: int = ALL) -> Retention:
    retention = Retention(HOUR, most_bytes)
    for each in batches:
        retention.add(each)
    return retention


def through(retention: Retention, delivered: int = ALL) -> int | None:
    found = retention.may_go(NOW, delivered)
    return found.sequence if found is not None else None


PAST = -timedelta(minutes=3)


@pytest.mark.parametrize(
    ("batches", "most_bytes", "delivered", "last"),
    [
        ([], ALL, ALL, None),
        ([batch(1)], ALL, ALL, None),
        ([batch(1), batch(2)], ALL, ALL, 1),
        ([batch(1, ends_in=PAST), batch(2, ends_in=PAST), batch(3)], ALL, ALL, 2),
        ([batch(1, ends_in=HOUR), batch(2), batch(3)], ALL, ALL, None),
        ([batch(1, ends_in=-timedelta(minutes=1)), batch(2)], ALL, ALL, None),
        ([batch(1), batch(2, ends_in=HOUR), batch(3), batch(4)], ALL, ALL, 1),
        ([batch(1, age=HOUR / 2), batch(2)], ALL, ALL, None),
        ([batch(1, age=HOUR / 2), batch(2, age=HOUR / 2), batch(3)], 200, ALL, 1),
        ([batch(1, ends_in=HOUR), batch(2), batch(3)], 100, ALL, None),
        ([batch(1), batch(2), batch(3)], ALL, 1, 1),
        ([batch(1), batch(2), batch(3)], ALL, 0, None),
    ],
    ids=[
        "nothing", "the head", "old and of no use", "certificates are past", "one is within its life",
        "one may be within its life by another's clock", "as far as the first of use",
        "young", "young, but more than there may be", "of use, and more than there may be",
        "as far as delivered", "nothing delivered",
    ],
)  # fmt: skip
def test_what_may_go(batches: list[KeptBatch], most_bytes: int, delivered: int, last: int | None) -> None:
    assert through(kept(*batches, most_bytes=most_bytes), delivered) == last


def test_what_goes_is_told_from_the_first_on_and_forgotten() -> None:
    retention = kept(batch(1), batch(2), batch(3))
    going = retention.let_go(2)
    assert next(going).uid == "u-1"
    assert (len(retention), retention.size) == (3, 300), "whoever is stopped here begins with it again"
    assert [each.uid for each in going] == ["u-2"]
    assert (len(retention), retention.size) == (1, 100)


def test_batch_is_needed_until_the_last_certificate_that_it_tells_of_has_ended() -> None:
    told = [
        {"not_after": "2026-05-31T14:05:00Z", "serial": "01"},
        {"revoked": [{"serial": "02", "not_after": "2026-05-31T14:10:00Z"}]},
        {"not_after": "2026-05-31T14:07:00Z", "serial": "03"},
    ]
    lines = [
        encode({"schema": "agentid.dev/record/v1", "kind": "issued", "at": "2026-05-31T14:00:00Z", **each})
        for each in told
    ]
    found = KeptBatch.of(sealed(GENESIS, lines), "u-1", [Record.parse(line) for line in lines])
    assert found.needed_until == datetime(2026, 5, 31, 14, 10, tzinfo=UTC)
    assert found.size == sum(map(len, lines))


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.none() | st.integers(-300, 300), st.integers(1, 500)), max_size=30
    ),
    st.integers(0, 5000),
    st.integers(0, 31),
)
def test_nothing_of_use_goes_and_growth_is_bounded(
    shapes: list[tuple[int, int | None, int]], most_bytes: int, delivered: int
) -> None:
    batches = [
        batch(
            number,
            age=timedelta(minutes=age),
            ends_in=None if ends is None else timedelta(minutes=ends),
            size=size,
        )
        for number, (age, ends, size) in enumerate(shapes, start=1)
    ]
    last = through(kept(*batches, most_bytes=most_bytes), delivered) or 0
    gone, left = batches[:last], batches[last:]
    assert all(each.needed_until is None or each.needed_until < NOW for each in gone)
    assert last <= delivered
    assert left or not batches
    if len(left) > 1 and left[0].needed_until is None and last < delivered:
        assert left[0].at > NOW - HOUR
        assert sum(each.size for each in left) <= most_bytes
