"""A head of the ledger that somebody kept outside: what came before it cannot be rewritten unseen."""

from dataclasses import dataclass
from typing import Self

import orjson

from agentid.api.fields import MAX_COUNT
from agentid.ledger.batch import Batch, Head
from agentid.ledger.canonical import canonical
from agentid.ledger.digests import is_digest
from agentid.ledger.errors import InvalidHeadError
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.signers import Signers


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A batch by number and hash, and the key that had signed it."""

    head: Head
    key_id: str

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return what is to be kept of `batch`."""
        return cls(batch.head, batch.key_id)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read the file `{"hash": …, "keyID": …, "sequence": …}`.

        Raises:
            InvalidHeadError: it is none.
        """
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise InvalidHeadError(f"the checkpoint is no JSON: {error}") from error
        if not isinstance(value, dict) or set(value) != {"hash", "keyID", "sequence"}:
            raise InvalidHeadError("the checkpoint is not an object of hash, keyID and sequence")
        sequence, hashed, key_id = value["sequence"], value["hash"], value["keyID"]
        if not isinstance(sequence, int) or isinstance(sequence, bool) or not 1 <= sequence <= MAX_COUNT:
            raise InvalidHeadError("the checkpoint's sequence is not the number of a batch")
        if not all(isinstance(each, str) and is_digest(each) for each in (hashed, key_id)):
            raise InvalidHeadError(
                "the checkpoint's hash and keyID are not both sha256: and 64 hexadecimal digits"
            )
        return cls(Head(sequence, hashed), key_id)

    def __str__(self) -> str:
        return f"(batch {self.head.sequence}, {self.head.hash})"

    def to_json(self) -> bytes:
        """Return the file, one line."""
        fields = {"hash": self.head.hash, "keyID": self.key_id, "sequence": self.head.sequence}
        return canonical(fields) + b"\n"


class Comparison:
    """Holds a chain against the head that the caller knows, if there is one."""

    def __init__(self, known: KnownHead | None, signers: Signers) -> None:
        self._known = known
        self._signers = signers
        self._done = False

    def begin(self, batch: Batch) -> tuple[bool, list[Finding]]:
        """Take the first batch; return whether it comes right after the known one, and what is wrong then."""
        known = self._known
        if known is None or known.head.sequence != batch.sequence - 1:
            return False, []
        self._done = True
        if batch.previous_hash != known.head.hash:
            message = f"it is not chained to your checkpoint {known}"
            return True, [Finding(batch.sequence, FindingKind.REWRITTEN, message)]
        if batch.key_id == known.key_id:
            self._signers.vouch()
        elif not self._signers.trusts(batch.key_id):
            message = (
                f"it names key {batch.key_id}, and your checkpoint {known.key_id}: if the key was rotated "
                "right after your checkpoint, get the new public key and give it"
            )
            return True, [Finding(batch.sequence, FindingKind.WRONG_KEY, message)]
        return True, []

    def compare(self, head: Head) -> list[Finding]:
        """Take the head of each batch that is here."""
        known = self._known
        if known is None or known.head.sequence != head.sequence:
            return []
        self._done = True
        if known.head.hash == head.hash:
            self._signers.vouch()
            return []
        message = (
            f"it is not your checkpoint {known}: the ledger was made anew up to here, or the checkpoint is "
            "of another one"
        )
        return [Finding(head.sequence, FindingKind.REWRITTEN, message)]

    def finish(self, last: int) -> list[Finding]:
        """Return what is wrong where the chain ended with batch number `last`."""
        known = self._known
        if known is None or self._done:
            return []
        if last < known.head.sequence:
            message = (
                f"the ledger ends before your checkpoint {known}: what came last was cut off, or the "
                "checkpoint is of another ledger"
            )
            return [Finding(last + 1, FindingKind.TRUNCATED, message)]
        message = (
            f"your checkpoint {known} is of a batch that is not here, so nothing shows that this is the "
            "same ledger; take one of a later batch, or verify files that reach back to it"
        )
        return [Finding(known.head.sequence, FindingKind.NOT_COMPARED, message)]
