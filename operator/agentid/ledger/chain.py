"""Verifies a chain, batch by batch and in bounded memory: what was changed, taken out, put in or cut off."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentid.api.ledgerbatch import NAME_DIGITS
from agentid.ledger.batch import Batch
from agentid.ledger.beginning import Beginning
from agentid.ledger.errors import InvalidBatchError, InvalidRecordError
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.known_head import Comparison, KnownHead
from agentid.ledger.own_records import follow
from agentid.ledger.record import Record
from agentid.ledger.signers import Signers

_is_name: Final = re.compile(rf"[0-9]{{{NAME_DIGITS}}}").fullmatch


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one object.

    Attributes:
        batch: The batch, where it could be read and is the next of its chain.
        records: Its records, where they are those that were signed.
        findings: What is wrong with it.
    """

    batch: Batch | None
    records: tuple[Record, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a chain comes to.

    Attributes:
        first: Number of the first batch; 0 where there was none.
        last: The last one, as it may be kept for the next time; None where it is not as it was signed.
        batches: How many objects were read.
        records: How many records they hold.
        vouched: Whether a key or head that the caller trusts leads to the chain.
    """

    first: int
    last: KnownHead | None
    batches: int
    records: int
    vouched: bool


class ChainVerifier:
    """One chain as it comes, from a cluster or a file, in the order of its batches.

    With `keys` it has to be signed by one of them, before or after any rotation: what comes before is bound
    by the hashes, what comes after by the record of the rotation. Without, its own word is taken, and that
    is said. `known` is a head that was kept at an earlier time.

    A finding that follows from another is left out: where a signature is wrong, no more is said of the link
    to the next batch, and of batches that name a foreign key only the first is told.
    """

    def __init__(self, *, keys: Iterable[LedgerPublicKey] = (), known: KnownHead | None = None) -> None:
        """Begin before the first batch."""
        self._signers = Signers(keys)
        self._known = Comparison(known, self._signers)
        self._beginning = Beginning()
        self._number = self._batches = self._records = 0
        self._last: KnownHead | None = None

    @property
    def signer(self) -> str | None:
        """Return the ID of the key that has to sign what comes next; None before the first batch."""
        return self._signers.expected

    def feed(self, name: str, spec: object) -> Checked:
        """Take the object `name` with that spec as the next one."""
        self._batches += 1
        try:
            batch = Batch.from_spec(name, spec)
        except InvalidBatchError as error:
            return Checked(None, (), (self._skip(name, str(error)),))
        if self._beginning.sequence and batch.sequence <= self._number:
            return Checked(None, (), (self._comes_late(batch),))
        found = self._link(batch) if self._beginning.sequence else self._begin(batch)
        head = batch.head
        found += self._known.compare(head)
        wrong = self._signers.check(batch)
        is_signed = wrong is None
        found += wrong or []
        records = _read(batch, found)
        if is_signed and records is not None:
            found += follow(batch, records, self._signers, self._beginning)
        self._number, self._last = batch.sequence, KnownHead(head, batch.key_id) if is_signed else None
        self._beginning.remember(head)
        told = tuple(records.values()) if is_signed and records is not None else ()
        self._records += len(told)
        return Checked(batch, told, tuple(found))

    def finish(self) -> tuple[Summary, tuple[Finding, ...]]:
        """Return what the whole comes to, and what is wrong with that."""
        first = self._beginning.sequence
        found = [*self._beginning.finish(), *self._known.finish(self._number)]
        if first:
            found += self._signers.finish(first)
        summary = Summary(first, self._last, self._batches, self._records, self._signers.vouched)
        return summary, tuple(found)

    def _begin(self, batch: Batch) -> list[Finding]:
        self._signers.begin(batch.key_id)
        found = self._beginning.begin(batch)
        follows, wrong = self._known.begin(batch)
        if follows:
            self._beginning.follows_known()
        return [*found, *wrong]

    def _link(self, batch: Batch) -> list[Finding]:
        next_one = self._number + 1
        if batch.sequence > next_one:
            self._signers.after_gap(batch.key_id)
            message = f"what comes next here is batch {batch.sequence}: {batch.sequence - next_one} missing"
            return [Finding(next_one, FindingKind.REMOVED, message)]
        if self._last is not None and batch.previous_hash != self._last.head.hash:
            message = (
                f"it is chained to another batch {self._number} than the one here: one of both stands in the "
                "place of what was written"
            )
            return [Finding(batch.sequence, FindingKind.EDITED, message)]
        return []

    def _skip(self, name: str, why: str) -> Finding:
        number = int(name) if _is_name(name) else self._number + 1
        if self._beginning.sequence and number == self._number + 1:
            self._number, self._last = number, None
        return Finding(number, FindingKind.UNREADABLE, why)

    def _comes_late(self, batch: Batch) -> Finding:
        seen, own = self._beginning.hash_of(batch.sequence), batch.head.hash
        if seen is None or seen == own:
            message = f"it comes after batch {self._number}: out of order, or a second time"
            return Finding(batch.sequence, FindingKind.REORDERED, message)
        message = (
            f"there are two batches of this number, {seen} and {own}: two writers, or a history that "
            "somebody made; find out which one others have seen"
        )
        return Finding(batch.sequence, FindingKind.FORK, message)


def _read(batch: Batch, found: list[Finding]) -> dict[int, Record] | None:
    """Return the records by their number from 1; None: they are not those of the header."""
    if not batch.holds_its_records():
        message = (
            f"its records are not the {batch.count} that its header has the hash of: one was changed, added "
            "or taken out"
        )
        found.append(Finding(batch.sequence, FindingKind.EDITED, message))
        return None
    records = {}
    for number, line in enumerate(batch.records, start=1):
        try:
            records[number] = Record.parse(line)
        except InvalidRecordError as error:
            found.append(Finding(batch.sequence, FindingKind.BAD_RECORD, f"record {number} {error}"))
    return records
