"""What is revoked stays until verifiers can have seen that it is past; when the next CRL is due."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509 import ReasonFlags
from hypothesis import given
from hypothesis import strategies as st

from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import GATHER, LIFETIME, REFRESH, Edition, RevocationList

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TTL = timedelta(minutes=5)


def entry(number: int, ends: datetime = NOW + TTL, at: datetime = NOW) -> RevokedEntry:
    return RevokedEntry(f"{number:x}", at, ends, ReasonFlags.superseded)


def serials(edition: Edition) -> set[str]:
    return {each.serial for each in edition.entries}


def publish(held: RevocationList, now: datetime) -> Edition:
    edition = held.begin_edition(now)
    held.published(edition, now - timedelta(seconds=60))
    return edition


def test_first_crl_is_due_at_once_and_the_next_after_its_time() -> None:
    held = RevocationList()
    assert held.due_at() is None
    publish(held, NOW)
    assert held.due_at() == NOW + REFRESH
    assert REFRESH * 2 < LIFETIME


def test_end_is_in_a_crl_within_two_seconds_and_ends_of_a_second_share_one() -> None:
    held = RevocationList()
    publish(held, NOW)
    held.add(entry(1), NOW + 30 * SECOND)
    assert held.due_at() == NOW + 30 * SECOND
    publish(held, NOW + 30 * SECOND)

    held.add(entry(2), NOW + 30.1 * SECOND)
    held.add(entry(3), NOW + 30.9 * SECOND)
    assert held.due_at() == NOW + 31 * SECOND
    assert GATHER == SECOND
    assert serials(publish(held, NOW + 31 * SECOND)) == {"1", "2", "3"}
    assert held.due_at() == NOW + 31 * SECOND + REFRESH


def test_what_is_revoked_while_one_is_made_is_in_the_next() -> None:
    held = RevocationList()
    publish(held, NOW)
    held.add(entry(1), NOW + 10 * SECOND)
    edition = held.begin_edition(NOW + 10 * SECOND)
    held.add(entry(2), NOW + 10.5 * SECOND)
    held.published(edition, NOW)

    assert serials(edition) == {"1"}
    assert held.due_at() == NOW + 11 * SECOND
    assert held.lag(NOW + 11 * SECOND) == 0.5 * SECOND


def test_what_could_not_be_published_is_due_and_its_lag_counts_from_the_end() -> None:
    held = RevocationList()
    publish(held, NOW)
    held.add(entry(1), NOW + 10 * SECOND)
    held.begin_edition(NOW + 11 * SECOND)
    held.failed()
    held.add(entry(2), NOW + 12 * SECOND)

    assert held.due_at() is None
    assert held.lag(NOW + 20 * SECOND) == 10 * SECOND
    assert held.age(NOW + 20 * SECOND) == 20 * SECOND
    publish(held, NOW + 20 * SECOND)
    assert held.lag(NOW + 20 * SECOND) == timedelta(0)


def test_entry_stays_until_it_was_in_a_crl_of_a_time_past_its_end() -> None:
    held = RevocationList()
    held.add(entry(1), NOW)
    assert serials(publish(held, NOW + TTL)) == {"1"}
    # That one told of a minute earlier, when the certificate still counted.
    late = NOW + TTL + 61 * SECOND
    assert serials(publish(held, late)) == {"1"}
    assert serials(publish(held, late + SECOND)) == set()
    assert len(held) == 0


def test_entry_that_ended_before_it_was_in_any_crl_is_in_one() -> None:
    held = RevocationList()
    publish(held, NOW)
    edition = held.begin_edition(NOW + 10 * TTL)
    held.add(entry(1), NOW + 10 * TTL - SECOND)
    held.add(entry(2, ends=NOW + 9 * TTL), NOW + 10 * TTL)
    held.published(edition, NOW + 10 * TTL - 60 * SECOND)

    assert "2" in serials(publish(held, NOW + 10 * TTL + SECOND))


def test_first_word_counts_and_an_earlier_end_is_learned() -> None:
    held = RevocationList()
    assumed = RevokedEntry("1", NOW, NOW + timedelta(days=1), ReasonFlags.key_compromise)
    held.add(assumed, NOW)
    held.add(entry(1, at=NOW + SECOND), NOW + SECOND)
    held.add(RevokedEntry("1", NOW, NOW + timedelta(days=2), ReasonFlags.superseded), NOW)

    (only,) = held.begin_edition(NOW).entries
    assert only == RevokedEntry("1", NOW, NOW + TTL, ReasonFlags.key_compromise)
    held.published(Edition((only,), NOW, NOW, None), NOW + TTL + SECOND)
    assert len(held) == 0


def test_where_there_is_more_than_fits_what_ends_first_is_left_out_and_that_is_said() -> None:
    held = RevocationList(max_entries=3)
    for number, minutes in enumerate((9, 2, 5, 7, 1), start=1):
        held.add(entry(number, ends=NOW + timedelta(minutes=minutes)), NOW)

    edition = held.begin_edition(NOW)
    assert serials(edition) == {"1", "3", "4"}
    assert edition.incomplete_until == NOW + timedelta(minutes=2)
    later = NOW + timedelta(minutes=2) + LIFETIME + SECOND
    assert held.begin_edition(later).incomplete_until is None


def test_what_is_cut_from_one_ends_first_and_it_says_until_when_something_is_missing() -> None:
    held = RevocationList(max_entries=4)
    for number, minutes in enumerate((9, 2, 5, 7, 1), start=1):
        held.add(entry(number, ends=NOW + timedelta(minutes=minutes)), NOW)
    edition = held.begin_edition(NOW)
    assert edition.cut(4) is edition
    assert edition.incomplete_until == NOW + timedelta(minutes=1)

    cut = edition.cut(2)
    assert serials(cut) == {"1", "4"}
    assert cut.incomplete_until == NOW + timedelta(minutes=5)
    assert (cut.made_at, cut.next_update) == (edition.made_at, edition.next_update)


def test_burst_of_5000_is_one_edition() -> None:
    held = RevocationList()
    publish(held, NOW)
    for number in range(1, 5001):
        held.add(entry(number), NOW + 2 * SECOND)

    assert held.due_at() == NOW + 2 * SECOND
    assert len(publish(held, NOW + 2 * SECOND).entries) == 5000
    assert held.lag(NOW + 3 * SECOND) == timedelta(0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "publish", "fail"]),
        st.integers(min_value=1, max_value=12),
        st.integers(min_value=0, max_value=600),
    ),
    max_size=40,
)


@given(steps)
def test_every_certificate_that_counts_still_is_in_every_edition(plays: list[tuple[str, int, int]]) -> None:
    held, now = RevocationList(), NOW
    revoked: dict[str, datetime] = {}
    said_past: set[str] = set()
    for what, number, seconds in plays:
        now += timedelta(seconds=seconds)
        if what == "add":
            ends = now + timedelta(seconds=number * 60)
            added = entry(number + 100 * len(revoked), ends=ends, at=now)
            revoked[added.serial] = ends
            held.add(added, now)
            continue
        edition = held.begin_edition(now)
        this_update = now - timedelta(seconds=60)
        assert set(revoked) - said_past <= serials(edition)
        if what == "fail":
            held.failed()
            assert held.due_at() is None
            continue
        held.published(edition, this_update)
        said_past |= {serial for serial, ends in revoked.items() if ends < this_update}
        assert len(held) == len(set(revoked) - said_past)


def test_bound_has_to_be_kept_with_many_of_one_end() -> None:
    held = RevocationList(max_entries=10)
    for number in range(1, 100):
        held.add(entry(number), NOW)
    assert len(held) == 10


@pytest.mark.parametrize("past", [LIFETIME + SECOND, timedelta(days=1)])
def test_what_ended_long_ago_is_not_taken_in(past: timedelta) -> None:
    held = RevocationList()
    held.add(entry(1, ends=NOW - past), NOW)
    assert len(held) == 0
