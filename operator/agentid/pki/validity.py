"""From when to when a certificate holds: aware UTC, whole seconds, never past any limit."""

from datetime import UTC, datetime, timedelta
from typing import Final

from agentid.pki.errors import InvalidTimeError

BACKDATE: Final = timedelta(seconds=60)
"""How far before now a certificate begins, for peers whose clocks are behind."""

END_OF_X509_TIME: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 §4.1.2.5: no certificate can hold a later time."""


def in_utc(instant: datetime, name: str) -> datetime:
    """Return `instant` in UTC; `name` says in an error which time it was.

    Raises:
        InvalidTimeError: `instant` has no time zone.
    """
    if instant.utcoffset() is None:
        raise InvalidTimeError(f"{name} {instant.isoformat()} has no time zone")
    return instant.astimezone(UTC)


def first_second(now: datetime) -> datetime:
    """Return the first whole second that is no more than BACKDATE before `now`."""
    earliest = now - BACKDATE
    cut = earliest.replace(microsecond=0)
    return cut if cut == earliest else cut + timedelta(seconds=1)


def last_second(now: datetime, lifetime: timedelta, *limits: datetime) -> datetime:
    """Return the last whole second that is within `lifetime` of `now` and not past any of `limits`."""
    latest = min((*limits, END_OF_X509_TIME))
    # Compared as a difference: now + lifetime may lie past what a datetime can hold.
    end = now + lifetime if lifetime < latest - now else latest
    return end.replace(microsecond=0)


def shown(instant: datetime) -> str:
    """Return `instant`, which is in UTC, as a person reads it in a message."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
