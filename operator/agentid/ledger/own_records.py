"""Does as the records say that are about the ledger itself: who signs, and what may be gone."""

from collections.abc import Mapping
from typing import Final

from agentid.ledger.batch import Batch, Head
from agentid.ledger.beginning import Beginning
from agentid.ledger.digests import is_digest
from agentid.ledger.errors import InvalidRecordError, LedgerError
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.record import LedgerKind, Record
from agentid.ledger.signers import Signers

_FIRST: Final = 1
"""The first batch, and in it the first record."""


def follow(
    batch: Batch, records: Mapping[int, Record], signers: Signers, beginning: Beginning
) -> list[Finding]:
    """Follow the records of `batch`, each by its number from 1, and return what is wrong with any."""
    found: list[Finding] = []
    rotated: LedgerPublicKey | None = None
    if batch.sequence == _FIRST and not _is_start(records.get(_FIRST)):
        message = f"record 1 is not {LedgerKind.LEDGER_STARTED}, with which a ledger begins"
        found.append(Finding(_FIRST, FindingKind.BAD_RECORD, message))
    for number, record in records.items():
        try:
            match record.kind:
                case LedgerKind.LEDGER_STARTED:
                    _is_first(batch, number)
                    found += signers.learn(_signer(batch, record, "public_key"))
                case LedgerKind.KEY_ROTATED:
                    found += signers.learn(_signer(batch, record, "previous_key"))
                    rotated = record.public_key()
                case LedgerKind.CHECKPOINT:
                    found += signers.learn(_signer(batch, record, "public_key"))
                    beginning.let_go(_through(batch, record))
        except LedgerError as error:
            found.append(Finding(batch.sequence, FindingKind.BAD_RECORD, f"record {number} {error}"))
    if rotated is not None:
        signers.rotate(rotated)
    return found


def _is_start(record: Record | None) -> bool:
    return record is not None and record.kind == LedgerKind.LEDGER_STARTED


def _is_first(batch: Batch, number: int) -> None:
    if (batch.sequence, number) != (_FIRST, _FIRST):
        raise InvalidRecordError(f"is {LedgerKind.LEDGER_STARTED}, which is the first of all and no other")


def _signer(batch: Batch, record: Record, name: str) -> LedgerPublicKey:
    """Return the key that signs `batch`, as one of its records tells it."""
    key = record.public_key(name)
    if key.key_id != batch.key_id:
        raise InvalidRecordError(f"has the {name} {key.key_id}, but its batch is signed by {batch.key_id}")
    return key


def _through(batch: Batch, record: Record) -> Head:
    through = Head(record.number("through"), record.text("hash"))
    if not 1 <= through.sequence < batch.sequence or not is_digest(through.hash):
        raise InvalidRecordError("is a checkpoint of no batch before its own")
    return through
