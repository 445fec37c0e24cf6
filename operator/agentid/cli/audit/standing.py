"""Records with the place where they stand, and the batch that they are part of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from agentid.api.fields import MAX_COUNT
from agentid.ledger.batch import MAX_BATCH_RECORDS, Batch
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.finding import Finding
from agentid.ledger.record import Record

_parse: Final = re.compile(r"([0-9]{1,16})-([0-9]{1,4})").fullmatch


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: the number of its batch, from 1, and its index there, from 0."""

    sequence: int
    index: int

    @classmethod
    def read(cls, written: str) -> Self:
        """Read it as it is written: 42-0.

        Raises:
            ValueError: it is no place.
        """
        found = _parse(written)
        place = cls(int(found[1]), int(found[2])) if found else None
        if place is None or not 1 <= place.sequence <= MAX_COUNT or place.index >= MAX_BATCH_RECORDS:
            raise ValueError(f"{written!r} is no place of a record such as 42-0")
        return place

    def __str__(self) -> str:
        return f"{self.sequence}-{self.index}"


@dataclass(frozen=True, slots=True)
class Placed:
    """A record and its place."""

    place: Place
    record: Record


@dataclass(frozen=True, slots=True)
class Part:
    """A batch, as far as it can be relied on.

    Attributes:
        sequence: Its number; 0: it cannot be read.
        at: When it was made; None: that cannot be known.
        key_id: Which key signed it; None: none is known to have.
        records: Its records, where they are those that were written.
        findings: What is wrong with it.
    """

    sequence: int
    at: datetime | None
    key_id: str | None
    records: tuple[Placed, ...]
    findings: tuple[Finding, ...]


def numbered(batch: Batch, records: Sequence[Record]) -> tuple[Placed, ...]:
    """Return the records of a batch with their places; lines that are none are left out."""
    if len(records) == len(batch.records):
        return tuple(Placed(Place(batch.sequence, index), each) for index, each in enumerate(records))
    if not records:
        return ()
    return tuple(
        each for each in (_at(batch, index) for index in range(len(batch.records))) if each is not None
    )


def _at(batch: Batch, index: int) -> Placed | None:
    try:
        return Placed(Place(batch.sequence, index), Record.parse(batch.records[index]))
    except InvalidRecordError:
        return None
