"""A batch: records under one hash and one signature, chained to the batch before by that one's hash."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Self

from agentid.api.fields import MAX_COUNT, format_time
from agentid.api.ledgerbatch import MAX_RECORDS, MAX_RECORDS_LENGTH, batch_name
from agentid.ledger.canonical import canonical
from agentid.ledger.digests import digest_of, digest_text, is_digest
from agentid.ledger.errors import InvalidBatchError
from agentid.ledger.key import LedgerKey, LedgerPublicKey
from agentid.ledger.merkle import tree_hash
from agentid.ledger.spec_fields import SpecFields

SCHEMA: Final = "agentid.dev/ledger/v1"
"""In the header, so that a signature over one is none over anything else."""

MAX_BATCH_RECORDS: Final = MAX_RECORDS
MAX_BATCH_BYTES: Final = MAX_RECORDS_LENGTH
"""Of records with the ends of their lines. etcd takes 1.5 MiB, and in it `<`, `>` and `&` are six bytes."""

SIGNATURE_BYTES: Final = 64
_is_writer = re.compile(r"[!-~]{1,253}").fullmatch
_is_nonce = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(frozen=True, slots=True)
class Head:
    """A batch by its number and hash: the last one of a chain, or the one that the next is chained to."""

    sequence: int
    hash: str


GENESIS: Final = Head(0, digest_text(bytes(32)))
"""What the first batch of all is chained to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch, well-formed; whether its parts agree is asked for each.

    Attributes:
        sequence: Its number, counted from 1.
        previous_hash: The hash of the batch before it.
        root: The RFC 6962 hash of the tree over its records.
        count: How many records it says it has.
        at: When it was made: aware, UTC, whole seconds.
        writer: The identity of the process that made it.
        nonce: 32 hexadecimal digits that no other batch has.
        key_id: Which key signed it.
        signature: Over the header.
        records: The lines of its records, without their ends.
    """

    sequence: int
    previous_hash: str
    root: str
    count: int
    at: datetime
    writer: str
    nonce: str
    key_id: str
    signature: bytes
    records: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """Return the name of its object."""
        return batch_name(self.sequence)

    @property
    def header(self) -> bytes:
        """Return what is hashed and signed: all but the signature and the records, for which the root is."""
        return canonical(
            {
                "schema": SCHEMA,
                "sequence": self.sequence,
                "previousHash": self.previous_hash,
                "root": self.root,
                "count": self.count,
                "at": format_time(self.at),
                "writer": self.writer,
                "nonce": self.nonce,
                "keyID": self.key_id,
            }
        )

    @property
    def head(self) -> Head:
        """Return what the next batch is chained to."""
        return Head(self.sequence, digest_of(self.header))

    def holds_its_records(self) -> bool:
        """Whether its records are those that the header tells of."""
        return self.count == len(self.records) and self.root == digest_text(tree_hash(self.records))

    def is_signed_by(self, key: LedgerPublicKey) -> bool:
        """Whether the header is as `key` signed it."""
        return self.key_id == key.key_id and key.verify(self.signature, self.header)

    def to_spec(self) -> dict[str, str | int]:
        """Return the spec of its object."""
        return {
            "sequence": self.sequence,
            "previousHash": self.previous_hash,
            "root": self.root,
            "count": self.count,
            "at": format_time(self.at),
            "writer": self.writer,
            "nonce": self.nonce,
            "keyID": self.key_id,
            "signature": base64.b64encode(self.signature).decode(),
            "records": b"".join(each + b"\n" for each in self.records).decode(),
        }

    @classmethod
    def from_spec(cls, name: str, spec: object) -> Self:
        """Read the spec of the object `name`.

        Raises:
            InvalidBatchError: it does not have the form of one; the text names the object and the field.
        """
        fields = SpecFields(name, spec)
        sequence = fields.number("sequence", MAX_COUNT)
        if name != batch_name(sequence):
            raise fields.refusal(f"it says that it is number {sequence}, named {batch_name(sequence)}")
        batch = cls(
            sequence=sequence,
            previous_hash=fields.text("previousHash", is_digest),
            root=fields.text("root", is_digest),
            count=fields.number("count", MAX_BATCH_RECORDS),
            at=fields.time("at"),
            writer=fields.text("writer", _is_writer),
            nonce=fields.text("nonce", _is_nonce),
            key_id=fields.text("keyID", is_digest),
            signature=fields.base64("signature", SIGNATURE_BYTES),
            records=fields.lines("records", MAX_BATCH_BYTES, MAX_BATCH_RECORDS),
        )
        fields.refuse_others()
        return batch


def take(records: Iterable[bytes]) -> int:
    """Return how many of `records`, which wait in this order, go into the next batch.

    Where there are any, that is at least one: each record that can be kept fits into a batch.
    """
    size = number = 0
    for number, record in enumerate(records, start=1):
        size += len(record) + 1
        if size > MAX_BATCH_BYTES or number > MAX_BATCH_RECORDS:
            return number - 1
    return number


def seal(  # noqa: PLR0913  each is a field of the header
    previous: Head, records: Sequence[bytes], *, key: LedgerKey, writer: str, nonce: str, at: datetime
) -> Batch:
    """Make the batch of `records` that comes after `previous`, and sign it.

    Args:
        previous: The head of the chain; GENESIS where there is none.
        records: Lines in canonical form, without their ends; as many as `take` says.
        key: What signs it.
        writer: The identity of this process: 1 to 253 characters of ASCII, no spaces.
        nonce: 32 hexadecimal digits that were never used before.
        at: The time; it is kept in whole seconds.

    Raises:
        InvalidBatchError: that makes no batch; the text says why.
    """
    unsigned = Batch(
        sequence=previous.sequence + 1,
        previous_hash=previous.hash,
        root=digest_text(tree_hash(records)),
        count=len(records),
        at=at.astimezone(UTC).replace(microsecond=0),
        writer=writer,
        nonce=nonce,
        key_id=key.key_id,
        signature=bytes(SIGNATURE_BYTES),
        records=tuple(records),
    )
    # What nobody could read is never signed, so its number stays free for what can be.
    try:
        read = Batch.from_spec(unsigned.name, unsigned.to_spec())
    except UnicodeDecodeError as error:
        raise InvalidBatchError(f"batch {unsigned.name} cannot be made: a record is no UTF-8") from error
    if read != unsigned:
        raise InvalidBatchError(f"batch {unsigned.name} cannot be made: it is not read as it was written")
    return replace(unsigned, signature=key.sign(unsigned.header))
