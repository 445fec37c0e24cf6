"""One record: how it is written as a line and read back, and the records that are about the ledger itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from agentid.api.fields import format_time
from agentid.ledger.canonical import Value, canonical, decode
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.key import LedgerPublicKey
from agentid.lifecycle.journal import GIVES, SCHEMA, Kind

MAX_RECORD_BYTES: Final = 128 * 1024
"""Holds any entry of the journal whose rules and approvers are cut to as many as a status names."""

_is_time = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z").fullmatch


class LedgerKind(StrEnum):
    """What a record tells besides the journal's kinds.

    LEDGER_STARTED is the first record of all. The batches after that with KEY_ROTATED are signed by another
    key. CHECKPOINT says which batches may be gone. LOST are records that could not be kept. AUTHORITY_LOADED
    says who signs certificates from now on. DECISIONS is where the log of a decision point stands.
    """

    LEDGER_STARTED = "ledgerStarted"
    KEY_ROTATED = "keyRotated"
    CHECKPOINT = "checkpoint"
    LOST = "lost"
    AUTHORITY_LOADED = "authorityLoaded"
    DECISIONS = "decisions"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read."""

    kind: str
    at: datetime
    fields: Mapping[str, Value]
    """All of them, `schema`, `kind` and `at` too."""

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read one line, without its end.

        Raises:
            InvalidRecordError: it is no record, or not one in canonical form.
        """
        if len(line) > MAX_RECORD_BYTES:
            raise InvalidRecordError(f"has {len(line)} bytes; a record has at most {MAX_RECORD_BYTES}")
        fields = decode(line)
        if fields.get("schema") != SCHEMA:
            raise InvalidRecordError(f"is of schema {fields.get('schema')!a}; known here is {SCHEMA} only")
        kind = fields.get("kind")
        if not isinstance(kind, str) or not kind:
            raise InvalidRecordError("says no kind")
        return cls(kind, read_time(fields.get("at"), "at"), fields)

    def text(self, name: str) -> str:
        """Return the field `name`, which is text, or nothing where it is left out.

        Raises:
            InvalidRecordError: it is something else.
        """
        value = self.fields.get(name, "")
        if not isinstance(value, str):
            raise InvalidRecordError(f"has {name}, which is no text")
        return value

    def number(self, name: str) -> int:
        """Return the field `name`, which is a whole number.

        Raises:
            InvalidRecordError: it is left out or something else.
        """
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidRecordError(f"has no number {name}")
        return value

    def revoked(self) -> tuple[tuple[str, datetime], ...]:
        """Return the credentials that count no longer: the serial number and the end of each.

        Raises:
            InvalidRecordError: the field is something else.
        """
        value = self.fields.get("revoked", [])
        if not isinstance(value, list):
            raise InvalidRecordError("has revoked, which is no list")
        return tuple(_serial_and_end(each) for each in value)

    def time(self, name: str) -> datetime | None:
        """Return the field `name`, which is a time; None where it is left out.

        Raises:
            InvalidRecordError: it is something else.
        """
        return read_time(self.fields[name], name) if name in self.fields else None

    def says_not_begun(self) -> bool:
        """Whether it says, after a status, that what its task was given before came into none.

        Raises:
            InvalidRecordError: a field is something else.
        """
        if self.kind in {*GIVES, Kind.VOIDED, Kind.ENDED} or self.time("started") is not None:
            return False
        return self.kind == Kind.REVOKED or bool(self.revoked())

    def public_key(self, name: str = "public_key") -> LedgerPublicKey:
        """Return the key of a ledger that the field `name` holds in PEM.

        Raises:
            InvalidRecordError: it is left out or no text.
            InvalidKeyError: it is no such key.
        """
        pem = self.text(name)
        if not pem:
            raise InvalidRecordError(f"has no {name}")
        return LedgerPublicKey.from_pem(pem)


def _serial_and_end(value: Value) -> tuple[str, datetime]:
    serial = value.get("serial") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(serial, str) or not serial:
        raise InvalidRecordError("has revoked, in which one has no serial")
    return serial, read_time(value.get("not_after"), "not_after of what is revoked")


def read_time(value: object, name: str) -> datetime:
    """Read a time as the ledger writes all of them: RFC 3339, UTC, whole seconds.

    Raises:
        InvalidRecordError: `value` is none; `name` says which.
    """
    if isinstance(value, str) and _is_time(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidRecordError(f"has no time {name} such as 2026-05-31T14:00:00Z")


def encode(fields: Mapping[str, object]) -> bytes:
    """Return the line, without its end, that holds those of `fields` that say something.

    Left out is what is None, False or empty.

    Raises:
        InvalidRecordError: a field holds what no record can; the text names it.
    """
    return canonical({name: value for name, value in fields.items() if _says_something(value)})


def fits(line: bytes) -> bool:
    """Whether a record of that line can be kept; else whoever made it has to say less."""
    return len(line) <= MAX_RECORD_BYTES


def ledger_started(at: datetime, key: LedgerPublicKey, trust_domain: str) -> bytes:
    """Return the first record of a ledger, whose first batch `key` signs."""
    return _own(LedgerKind.LEDGER_STARTED, at, public_key=key.pem, trust_domain=trust_domain)


def key_rotated(at: datetime, previous: LedgerPublicKey, key: LedgerPublicKey) -> bytes:
    """Return the record after whose batch, which `previous` signs, all others are signed by `key`.

    It holds both: where the beginning is gone, this may be the first that tells the key of what is left.
    """
    return _own(LedgerKind.KEY_ROTATED, at, public_key=key.pem, previous_key=previous.pem)


def checkpoint(at: datetime, through: int, batch_hash: str, key: LedgerPublicKey, started: datetime) -> bytes:
    """Return the record that lets the batches up to number `through` go.

    Args:
        at: The time.
        through: The last of them.
        batch_hash: The hash of that one.
        key: What signs the batch that this record is in.
        started: When the first batch of all was made.
    """
    return _own(
        LedgerKind.CHECKPOINT,
        at,
        through=through,
        hash=batch_hash,
        public_key=key.pem,
        started=format_time(started),
    )


def lost(at: datetime, count: int, since: datetime) -> bytes:
    """Return the record that says how many others could not be kept, and from when on."""
    return _own(LedgerKind.LOST, at, count=count, since=format_time(since))


def authority_loaded(at: datetime, public_key: str, serial: str, not_after: datetime) -> bytes:
    """Return the record of the intermediate that signs certificates from now on; `public_key` is a hash."""
    return _own(
        LedgerKind.AUTHORITY_LOADED,
        at,
        public_key=public_key,
        serial=serial,
        not_after=format_time(not_after),
    )


def _own(kind: LedgerKind, at: datetime, **fields: object) -> bytes:
    return encode({"schema": SCHEMA, "kind": kind, "at": format_time(at), **fields})


def _says_something(value: object) -> bool:
    if isinstance(value, str | list | tuple | dict):
        return len(value) > 0
    return value is not None and value is not False
