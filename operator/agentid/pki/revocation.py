"""Which certificates count no longer, and why: what the record says of them, in the words of RFC 5280."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.x509 import ReasonFlags

from agentid.api.reasons import EndReason, RunReason, WaitReason
from agentid.lifecycle.journal import Kind
from agentid.pki.errors import InvalidRevocationError
from agentid.pki.validity import END_OF_X509_TIME, in_utc

_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")
_MAX_SERIAL_BITS: Final = 159
"""RFC 5280 §4.1.2.2: at most 20 bytes, and positive."""

VOIDED: Final = "voided"
"""Kind of the record of a certificate that was made and recorded, but never got into a status."""

REASON_OF_END: Final[Mapping[EndReason, ReasonFlags]] = {
    EndReason.COMPLETED: ReasonFlags.cessation_of_operation,
    EndReason.FAILED: ReasonFlags.cessation_of_operation,
    EndReason.POD_DELETED: ReasonFlags.cessation_of_operation,
    EndReason.POD_EVICTED: ReasonFlags.cessation_of_operation,
    EndReason.NODE_LOST: ReasonFlags.cessation_of_operation,
    EndReason.WORKLOAD_DELETED: ReasonFlags.cessation_of_operation,
    EndReason.PARENT_ENDED: ReasonFlags.cessation_of_operation,
    EndReason.EXPIRED: ReasonFlags.cessation_of_operation,
    EndReason.START_DEADLINE_EXCEEDED: ReasonFlags.cessation_of_operation,
    EndReason.ENDED: ReasonFlags.cessation_of_operation,
    EndReason.DELETED: ReasonFlags.cessation_of_operation,
    # Somebody reached for the key, or was in the pod with it: it is suspected to be known to others.
    EndReason.SECOND_POD: ReasonFlags.key_compromise,
    EndReason.POD_CHANGED: ReasonFlags.key_compromise,
    EndReason.REVOKED: ReasonFlags.privilege_withdrawn,
    EndReason.DENIED: ReasonFlags.privilege_withdrawn,
}
"""Of a task that ended: what its certificates are revoked for."""

REASON_OF_KIND: Final[Mapping[str, ReasonFlags]] = {
    # Another one was made in its place: for another pod, another intent, another static secret.
    Kind.ISSUED: ReasonFlags.superseded,
    Kind.RENEWED: ReasonFlags.superseded,
    Kind.RESUMED: ReasonFlags.superseded,
    # Never certificateHold: who goes on later gets another certificate, and this one stays revoked.
    Kind.SUSPENDED: ReasonFlags.privilege_withdrawn,
    Kind.DENIED: ReasonFlags.privilege_withdrawn,
    Kind.APPROVAL_REQUIRED: ReasonFlags.privilege_withdrawn,
    Kind.WAITING: ReasonFlags.privilege_withdrawn,
    Kind.GRANTED: ReasonFlags.privilege_withdrawn,
    Kind.REVOKED: ReasonFlags.privilege_withdrawn,
    VOIDED: ReasonFlags.cessation_of_operation,
}
"""Of a task that goes on: what the certificates that a record takes away are revoked for."""

_ITS_POD_IS_DONE: Final = frozenset({WaitReason.AWAITING_POD, WaitReason.AWAITING_WORKLOAD})


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One certificate that counts no longer.

    Attributes:
        serial: Its serial number as status and record write it: lower-case hexadecimal.
        revoked_at: Since when.
        not_after: When it would have ended anyway.
        reason: Why; `unspecified` where nobody knows.

    Raises:
        InvalidRevocationError: the serial number is none that a certificate can have.
        InvalidTimeError: a time has no time zone.
    """

    serial: str
    revoked_at: datetime
    not_after: datetime
    reason: ReasonFlags

    def __post_init__(self) -> None:
        if _SERIAL.fullmatch(self.serial) is None or not 0 < self.number.bit_length() <= _MAX_SERIAL_BITS:
            raise InvalidRevocationError(
                f"{self.serial[:60]!a} is not the serial number of a certificate: 1 to 159 bits in "
                "lower-case hexadecimal"
            )
        in_utc(self.revoked_at, "revoked_at")
        in_utc(self.not_after, "not_after")

    @property
    def number(self) -> int:
        """The serial number."""
        return int(self.serial, 16)


def reason_of(kind: str, reason: str) -> ReasonFlags:
    """Return what certificates are revoked for, by the kind of the record and the reason in it.

    A kind or reason of a newer version is `unspecified`: revoked all the same.
    """
    if kind == Kind.ENDED:
        return next((why for end, why in REASON_OF_END.items() if end == reason), ReasonFlags.unspecified)
    if kind == Kind.REVOKED and reason in _ITS_POD_IS_DONE:
        return ReasonFlags.cessation_of_operation
    if kind == Kind.REVOKED and reason == RunReason.RUNNING:
        return ReasonFlags.superseded
    return REASON_OF_KIND.get(kind, ReasonFlags.unspecified)


def revoked_in(record: Mapping[str, object]) -> tuple[RevokedEntry, ...]:
    """Return the certificates that `record` takes away: its `revoked`, each with `serial` and `not_after`.

    Raises:
        InvalidRevocationError: it says of one what cannot be.
    """
    revoked = record.get("revoked") or ()
    if not isinstance(revoked, list | tuple):
        raise InvalidRevocationError("what a record revokes has to be a list")
    if not revoked:
        return ()
    at = _time(record.get("at"), "at")
    why = reason_of(str(record.get("kind")), str(record.get("reason", "")))
    return tuple(_entry(each, at, why) for each in revoked)


def _entry(revoked: object, at: datetime, why: ReasonFlags) -> RevokedEntry:
    if not isinstance(revoked, Mapping) or not isinstance(serial := revoked.get("serial"), str):
        raise InvalidRevocationError("what a record revokes has to have a serial number and an end")
    return RevokedEntry(serial, at, _time(revoked.get("not_after"), "not_after"), why)


def _time(value: object, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None or instant > END_OF_X509_TIME:
        raise InvalidRevocationError(f"{name} of a record that revokes is not a time: {str(value)[:60]!a}")
    return in_utc(instant, name)
