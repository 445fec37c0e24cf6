"""Reads a ledger once, checks it on the way, and yields the records that can be relied on."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from agentid.cli.audit.parcels import BatchObject, Parcel, SinkLine
from agentid.cli.audit.sink_lines import SinkLines
from agentid.cli.audit.standing import Part, numbered
from agentid.cli.errors import UnusableFileError
from agentid.ledger.chain import ChainVerifier, Summary
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.known_head import KnownHead

_NOT_HERE: Final = frozenset({FindingKind.NO_BEGINNING, FindingKind.NOT_CHECKED, FindingKind.NOT_VOUCHED})
"""What says of a part of a ledger no more than that it is a part: what it tells is not wrong for that."""
_EVERY: Final = 100
_KEPT: Final = 5


class Reading:
    """One ledger as it comes. It is a chain of batches, or what a sink wrote of one, never both."""

    def __init__(
        self,
        parcels: AsyncIterator[Parcel],
        progress: Callable[[str], None],
        *,
        keys: Iterable[LedgerPublicKey] = (),
        known: KnownHead | None = None,
    ) -> None:
        """Begin before the first batch; `keys` and `known` are what the caller trusts."""
        self._parcels = parcels
        self._progress = progress
        self._chain = ChainVerifier(keys=keys, known=known)
        self._lines = SinkLines()
        self._batches = self._records = 0
        self.is_sinks = False
        """Whether it is what a sink wrote: nothing of it is signed."""
        self.doubts: list[Finding] = []
        """The first few of what makes what is told doubtful."""
        self.further_doubts = 0
        self.ends: datetime | None = None
        """When the last batch was made."""

    async def parts(self) -> AsyncIterator[Part]:
        """Yield each batch.

        Raises:
            UnusableFileError: it cannot be read, or holds both kinds.
        """
        async for parcel in self._parcels:
            for part in self._taken(parcel):
                yield self._told(part)
        for part in self._lines.rest() if self.is_sinks else ():
            yield self._told(part)

    def finish(self) -> tuple[Summary, tuple[Finding, ...]]:
        """Return what the whole comes to, and what is wrong with that."""
        summary, found = self._lines.finish() if self.is_sinks else self._chain.finish()
        self._doubt(found)
        return summary, found

    def _taken(self, parcel: Parcel) -> Iterator[Part]:
        is_line = isinstance(parcel, SinkLine)
        if self._batches and is_line != self.is_sinks:
            raise UnusableFileError("the files hold batches and lines of a sink; give one kind at a time")
        self.is_sinks = is_line
        self._batches += 1
        if isinstance(parcel, SinkLine):
            yield from self._lines.take(parcel)
        else:
            yield self._checked(parcel)

    def _checked(self, parcel: BatchObject) -> Part:
        checked = self._chain.feed(parcel.name, parcel.spec)
        found = checked.findings
        if parcel.problem:
            found = tuple(replace(each, message=parcel.problem) for each in found)
        if checked.batch is None:
            return Part(0, None, None, (), found)
        batch = checked.batch
        return Part(batch.sequence, batch.at, batch.key_id, numbered(batch, checked.records), found)

    def _told(self, part: Part) -> Part:
        self._records += len(part.records)
        if self._batches % _EVERY == 0:
            self._progress(f"{self._records} records read, up to batch {part.sequence}")
        self.ends = part.at or self.ends
        self._doubt(part.findings)
        return part

    def _doubt(self, found: Iterable[Finding]) -> None:
        for each in found:
            if each.kind in _NOT_HERE:
                continue
            if len(self.doubts) < _KEPT:
                self.doubts.append(each)
            else:
                self.further_doubts += 1
