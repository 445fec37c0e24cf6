"""A proof that a record is in the ledger: its line, the way to its batch's tree hash, and what was signed."""

from dataclasses import dataclass, replace
from typing import Final, Self

import orjson

from agentid.api.ledgerbatch import batch_name
from agentid.ledger.batch import MAX_BATCH_RECORDS, Batch
from agentid.ledger.canonical import canonical
from agentid.ledger.digests import digest_bytes, digest_text, is_digest
from agentid.ledger.errors import InvalidBatchError, InvalidProofError, InvalidRecordError
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.merkle import hash_from_path, inclusion_path
from agentid.ledger.record import Record

SCHEMA: Final = "agentid.dev/proof/v1"
MAX_PROOF_BYTES: Final = 1024 * 1024
"""More than a proof has: a record is 128 KiB at most, and the way up is some ten hashes."""
_FIELDS: Final = frozenset({"schema", "index", "path", "batch"})
_MAX_STEPS: Final = MAX_BATCH_RECORDS.bit_length()


@dataclass(frozen=True, slots=True)
class Proof:
    """One record with what proves it; nothing of the other records of its batch is in it.

    Attributes:
        batch: Its batch, with this record alone.
        index: Which record of the batch it is, from 0.
        path: The hashes that lead from it to the tree's (RFC 6962 §2.1.1).
    """

    batch: Batch
    index: int
    path: tuple[bytes, ...]

    @classmethod
    def of(cls, batch: Batch, index: int) -> Self:
        """Return the proof of record `index` of `batch`.

        Raises:
            InvalidProofError: there is no such record, or the records are not those of the header.
        """
        if not batch.holds_its_records():
            raise InvalidProofError(
                f"batch {batch.sequence} proves nothing: its records are not those that were signed"
            )
        if not 0 <= index < batch.count:
            raise InvalidProofError(
                f"batch {batch.sequence} has no record {index}: it has {batch.count}, counted from 0"
            )
        path = tuple(inclusion_path(batch.records, index))
        return cls(replace(batch, records=(batch.records[index],)), index, path)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read the file that `to_json` wrote.

        Raises:
            InvalidProofError: it is none.
        """
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise InvalidProofError(f"the proof is no JSON: {error}") from error
        if not isinstance(value, dict) or set(value) != _FIELDS or value["schema"] != SCHEMA:
            raise InvalidProofError(
                f"the proof is not an object of schema {SCHEMA} with {', '.join(sorted(_FIELDS))}"
            )
        index, path, spec = value["index"], value["path"], value["batch"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_BATCH_RECORDS:
            raise InvalidProofError("the proof's index is not that of a record")
        is_path = isinstance(path, list) and len(path) <= _MAX_STEPS
        if not is_path or not all(isinstance(each, str) and is_digest(each) for each in path):
            raise InvalidProofError("the proof's path is no list of sha256: and 64 hexadecimal digits each")
        return cls(_batch(spec), index, tuple(map(digest_bytes, path)))

    @property
    def line(self) -> bytes:
        """The record's line."""
        return self.batch.records[0]

    def to_json(self) -> bytes:
        """Return the file, one line."""
        path = [digest_text(each) for each in self.path]
        fields = {"schema": SCHEMA, "index": self.index, "path": path, "batch": self.batch.to_spec()}
        return canonical(fields) + b"\n"

    def check(self, key: LedgerPublicKey) -> Record:
        """Return the record, which who has the private half of `key` signed with its batch.

        Raises:
            InvalidProofError: that is not so.
        """
        record = self.record()
        if self.batch.key_id != key.key_id:
            raise InvalidProofError(
                f"it is signed by key {self.batch.key_id}, and yours is {key.key_id}: after a rotation each "
                "key proves what it signed"
            )
        if not self.batch.is_signed_by(key):
            raise InvalidProofError(
                "the signature is not over this header: one of them is not as it was written"
            )
        return record

    def record(self) -> Record:
        """Return the record, which is in the tree that the header has the hash of; whoever made that.

        Raises:
            InvalidProofError: it is not, or it is no record.
        """
        found = hash_from_path(self.line, self.index, self.batch.count, self.path)
        if found is None or digest_text(found) != self.batch.root:
            raise InvalidProofError(
                "the record does not lead to the header's hash: it, its index or the path is not as it was "
                "written"
            )
        try:
            return Record.parse(self.line)
        except InvalidRecordError as error:
            raise InvalidProofError(f"what is proved is no record: it {error}") from error


def _batch(spec: object) -> Batch:
    sequence = spec.get("sequence") if isinstance(spec, dict) else None
    try:
        name = batch_name(sequence) if isinstance(sequence, int) else ""
        batch = Batch.from_spec(name, spec)
    except (InvalidBatchError, ValueError) as error:
        raise InvalidProofError(f"the proof's batch is none: {error}") from error
    if len(batch.records) != 1:
        raise InvalidProofError(f"the proof has {len(batch.records)} records; a proof is of one")
    return batch
