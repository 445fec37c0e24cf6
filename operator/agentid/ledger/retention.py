"""Which batches have to be kept, and up to which they may go: never the head, none that is still of use."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from agentid.ledger.batch import Batch, Head
from agentid.ledger.record import LedgerKind, Record

_SKEW: Final = timedelta(minutes=2)
"""By how much others' clocks may be behind: a certificate counts so much longer there."""


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """What has to be known of a batch to let it go.

    Attributes:
        head: Its number and hash.
        uid: UID of its object.
        at: When it was made.
        needed_until: When the last certificate ends that it tells of; None: it tells of none.
        size: Bytes of its records.
        is_upkeep: Whether it only tells of others that went: nothing is gained by writing of that again.
    """

    head: Head
    uid: str
    at: datetime
    needed_until: datetime | None
    size: int
    is_upkeep: bool = False

    @classmethod
    def of(cls, batch: Batch, uid: str, records: Collection[Record]) -> Self:
        """Return what has to be known of `batch`, which holds `records`."""
        ends = [end for record in records for end in _ends(record)]
        size = sum(map(len, batch.records))
        is_upkeep = all(record.kind == LedgerKind.CHECKPOINT for record in records)
        return cls(batch.head, uid, batch.at, max(ends, default=None), size, is_upkeep)


class Retention:
    """The batches that there are, from the first on.

    A batch goes once no certificate that it tells of is within its life, and it is older than `keep`, or all
    batches together have more than `most_bytes`.
    """

    def __init__(self, keep: timedelta, most_bytes: int) -> None:
        self._keep = keep
        self._most_bytes = most_bytes
        self._batches: deque[KeptBatch] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many batches there are."""
        return len(self._batches)

    @property
    def size(self) -> int:
        """Return how many bytes their records have."""
        return self._bytes

    def add(self, batch: KeptBatch) -> None:
        """Take in the newest batch."""
        self._batches.append(batch)
        self._bytes += batch.size

    def clear(self) -> None:
        """Forget all."""
        self._batches.clear()
        self._bytes = 0

    def may_go(self, now: datetime, delivered: int) -> Head | None:
        """Return the last batch up to which all may go; None: none may.

        Args:
            now: The time.
            delivered: The number of the last batch that is known to be wherever it has to be.
        """
        last, left, is_upkeep = None, self._bytes, True
        for batch in self._batches:
            is_head = batch is self._batches[-1]
            is_needed = batch.needed_until is not None and now - _SKEW < batch.needed_until
            is_young = now - batch.at < self._keep and left <= self._most_bytes
            if is_head or is_needed or is_young or batch.head.sequence > delivered:
                break
            last, left, is_upkeep = batch.head, left - batch.size, is_upkeep and batch.is_upkeep
        return None if is_upkeep else last

    def let_go(self, through: int) -> Iterator[KeptBatch]:
        """Yield the batches up to number `through`; each is forgotten when the next one is asked for."""
        while self._batches and self._batches[0].head.sequence <= through:
            yield self._batches[0]
            self._bytes -= self._batches.popleft().size


def _ends(record: Record) -> Iterator[datetime]:
    if (end := record.time("not_after")) is not None:
        yield end
    yield from (not_after for _, not_after in record.revoked())
