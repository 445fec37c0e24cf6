"""Who follows the ledger: the CRL, which says what it takes away, and the sinks, which keep it elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agentid.api.fields import MAX_COUNT
from agentid.controller.record_sinks import RecordSinks
from agentid.controller.revocations import Revocations
from agentid.ledger.batch import Batch
from agentid.ledger.inventory import Inventory, Revocation
from agentid.ledger.record import Record
from agentid.ledger.witnessed import head_line
from agentid.pki.revocation import RevokedEntry, reason_of, revoked_in


class Follower(Protocol):
    """Somebody who is told of the ledger while this operator writes it."""

    def begun(self, first: int, head: int, inventory: Inventory) -> None:
        """Take in what was read: the batches from `first` to `head` (`first - 1`: none), and what is out."""

    def taken_away(self, record: Mapping[str, object]) -> None:
        """Take in, before it is durable, what takes something away."""

    def written(self, batch: Batch, records: Sequence[Record]) -> None:
        """Take in a batch that is durable; they come in order."""

    def reached(self) -> int:
        """Return the number of the last batch that need not be kept for it."""


class CrlFollower:
    """Has what counts no longer in the CRL at once, whether the ledger can be written or not."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations

    def begun(self, first: int, head: int, inventory: Inventory) -> None:
        """Take in what is revoked."""
        del first, head
        self._revocations.load(_entry(each) for each in inventory.revoked())

    def taken_away(self, record: Mapping[str, object]) -> None:
        """Revoke what the record says."""
        self._revocations.add(*revoked_in(record))

    def written(self, batch: Batch, records: Sequence[Record]) -> None:
        """Revoke what the records say."""
        del batch
        for record in records:
            self._revocations.add(*revoked_in(record.fields))

    def reached(self) -> int:
        """Return that none need be kept: what is revoked, it knows."""
        return MAX_COUNT


class SinkFollower:
    """Has the record delivered."""

    def __init__(self, sinks: RecordSinks) -> None:
        self._sinks = sinks

    def begun(self, first: int, head: int, inventory: Inventory) -> None:
        """Deliver what is there and was not."""
        del inventory
        self._sinks.begin(first, head)

    def taken_away(self, record: Mapping[str, object]) -> None:
        """Wait until it is durable."""

    def written(self, batch: Batch, records: Sequence[Record]) -> None:
        """Deliver it."""
        del records
        self._sinks.appended(batch.sequence, delivered(batch))

    def reached(self) -> int:
        """Return up to where each required sink has it."""
        return min(self._sinks.positions().values(), default=MAX_COUNT)


def delivered(batch: Batch) -> tuple[bytes, ...]:
    """Return what sinks get of a batch: its records, and its head, so that each of them is a witness."""
    return (*batch.records, head_line(batch))


def _entry(revocation: Revocation) -> RevokedEntry:
    reason = reason_of(revocation.kind, revocation.reason)
    return RevokedEntry(revocation.serial, revocation.revoked_at, revocation.not_after, reason)
