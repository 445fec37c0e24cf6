"""What the record says of certificates that count no longer, in the words of RFC 5280."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509 import ReasonFlags
from hypothesis import given
from hypothesis import strategies as st

from agentid.api.reasons import EndReason, RunReason, WaitReason
from agentid.lifecycle.journal import Kind
from agentid.pki.errors import InvalidRevocationError, InvalidTimeError
from agentid.pki.revocation import (
    REASON_OF_END,
    REASON_OF_KIND,
    VOIDED,
    RevokedEntry,
    reason_of,
    revoked_in,
)

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
END = AT + timedelta(minutes=5)


def test_every_end_has_a_reason_and_so_has_every_kind_that_may_take_something_away() -> None:
    assert REASON_OF_END.keys() == set(EndReason)
    about_tasks = set(Kind) - {Kind.ENDED, Kind.POLICY_ACCEPTED, Kind.POLICY_REFUSED}
    assert REASON_OF_KIND.keys() == about_tasks | {VOIDED}


@pytest.mark.parametrize(
    ("kind", "reason", "expected"),
    [
        (Kind.ENDED, EndReason.COMPLETED, ReasonFlags.cessation_of_operation),
        (Kind.ENDED, EndReason.EXPIRED, ReasonFlags.cessation_of_operation),
        (Kind.ENDED, EndReason.REVOKED, ReasonFlags.privilege_withdrawn),
        (Kind.ENDED, EndReason.SECOND_POD, ReasonFlags.key_compromise),
        (Kind.ENDED, EndReason.POD_CHANGED, ReasonFlags.key_compromise),
        (Kind.SUSPENDED, WaitReason.SUSPENDED, ReasonFlags.privilege_withdrawn),
        (Kind.REVOKED, WaitReason.AWAITING_POD, ReasonFlags.cessation_of_operation),
        (Kind.REVOKED, WaitReason.POD_MISMATCH, ReasonFlags.privilege_withdrawn),
        (Kind.REVOKED, RunReason.RUNNING, ReasonFlags.superseded),
        (Kind.ISSUED, RunReason.RUNNING, ReasonFlags.superseded),
        (Kind.DENIED, WaitReason.AWAITING_POLICY, ReasonFlags.privilege_withdrawn),
        (VOIDED, "", ReasonFlags.cessation_of_operation),
        ("ofANewerVersion", "", ReasonFlags.unspecified),
        (Kind.ENDED, "OfANewerVersion", ReasonFlags.unspecified),
    ],
)
def test_reason_is_that_of_the_record(kind: str, reason: str, expected: ReasonFlags) -> None:
    assert reason_of(kind, reason) is expected


def test_nothing_is_ever_put_on_hold() -> None:
    given_ = {*REASON_OF_END.values(), *REASON_OF_KIND.values()}
    assert not given_ & {ReasonFlags.certificate_hold, ReasonFlags.remove_from_crl}


def test_each_certificate_of_a_record_is_revoked_since_the_record() -> None:
    record = {
        "kind": "ended",
        "reason": "Completed",
        "at": "2026-11-23T12:00:00Z",
        "revoked": [
            {"serial": "4a", "not_after": "2026-11-23T12:05:00Z"},
            {"serial": "4b", "not_after": "2026-11-23T13:05:00+01:00"},
        ],
    }
    assert revoked_in(record) == (
        RevokedEntry("4a", AT, END, ReasonFlags.cessation_of_operation),
        RevokedEntry("4b", AT, END, ReasonFlags.cessation_of_operation),
    )


@pytest.mark.parametrize("revoked", [None, [], ()])
def test_record_that_takes_nothing_away_revokes_nothing(revoked: object) -> None:
    assert revoked_in({"kind": "issued", "revoked": revoked}) == ()
    assert revoked_in({"kind": "policyAccepted"}) == ()


GOOD = {"serial": "4a", "not_after": "2026-11-23T12:05:00Z"}


@pytest.mark.parametrize(
    ("at", "revoked"),
    [
        ("2026-11-23T12:00:00Z", "4a"),
        ("2026-11-23T12:00:00Z", ["4a"]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": None}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": "4A"}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": "0"}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": ""}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": "4a\n"}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"serial": "f" * 40}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"not_after": "2026-11-23T12:05:00"}]),
        ("2026-11-23T12:00:00Z", [GOOD | {"not_after": "tomorrow"}]),
        ("2026-11-23T12:00:00Z", [{"serial": "4a"}]),
        (None, [GOOD]),
        (7, [GOOD]),
    ],
)
def test_record_that_revokes_what_cannot_be_is_refused(at: object, revoked: object) -> None:
    with pytest.raises(InvalidRevocationError):
        revoked_in({"kind": "ended", "reason": "Completed", "at": at, "revoked": revoked})


def test_entry_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidTimeError):
        RevokedEntry("4a", datetime(2026, 1, 1), END, ReasonFlags.superseded)  # noqa: DTZ001


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["kind", "reason", "at", "revoked", "serial"]), json))
def test_whatever_a_record_says_it_revokes_certificates_or_is_refused(record: dict[str, object]) -> None:
    try:
        found = revoked_in(record)
    except InvalidRevocationError:
        return
    assert all(0 < each.number < 2**159 for each in found)
