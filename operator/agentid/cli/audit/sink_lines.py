"""Puts the lines of a sink together to batches, and says what is missing; nothing of them is signed."""

from collections.abc import Iterator
from typing import Final

from agentid.cli.audit.parcels import SinkLine
from agentid.cli.audit.standing import Part, Place, Placed
from agentid.ledger.chain import Summary
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.record import Record
from agentid.ledger.witnessed import HEAD

_UNSIGNED: Final = (
    "a sink's files hold no signatures and no hashes: what is in them may have been changed by whoever can "
    "write there; verify what agentid audit export writes"
)


class SinkLines:
    """The lines as they come, in the order of the ledger."""

    def __init__(self) -> None:
        """Begin before the first line."""
        self._sequence = self._first = self._batches = self._records = 0
        self._count = self._next = 0
        self._placed: list[Placed] = []
        self._findings: list[Finding] = []

    def take(self, line: SinkLine) -> Iterator[Part]:
        """Take the next line; yield the batch before it where it begins another."""
        if line.sequence != self._sequence:
            yield from self.rest()
            self._begin(line)
        if line.index != self._next or line.count != self._count:
            self._find(FindingKind.REORDERED, f"record {self._next} should come here, not {line.index}")
        self._next = line.index + 1
        try:
            record = Record.parse(line.record)
        except InvalidRecordError as error:
            self._find(FindingKind.BAD_RECORD, f"record {line.index} {error}")
        else:
            # What comes after the records is about the batch.
            if record.kind != HEAD:
                self._placed.append(Placed(Place(line.sequence, line.index), record))

    def rest(self) -> Iterator[Part]:
        """Yield the last batch."""
        if not self._sequence:
            return
        if self._next < self._count:
            self._find(FindingKind.REMOVED, f"it has {self._next} of its {self._count} records")
        at = max((each.record.at for each in self._placed), default=None)
        self._records += len(self._placed)
        yield Part(self._sequence, at, None, tuple(self._placed), tuple(self._findings))
        self._placed, self._findings = [], []

    def finish(self) -> tuple[Summary, tuple[Finding, ...]]:
        """Return what all of it comes to, and what cannot be told of it."""
        summary = Summary(self._first, None, self._batches, self._records, vouched=False)
        return summary, (Finding(self._first, FindingKind.NOT_CHECKED, _UNSIGNED),)

    def _begin(self, line: SinkLine) -> None:
        missing = line.sequence - self._sequence - 1
        if self._sequence and missing > 0:
            message = f"what comes next here is batch {line.sequence}: {missing} missing"
            self._findings.append(Finding(self._sequence + 1, FindingKind.REMOVED, message))
        elif self._sequence and missing < 0:
            message = f"it comes after batch {self._sequence}: out of order, or a second time"
            self._findings.append(Finding(line.sequence, FindingKind.REORDERED, message))
        self._first = self._first or line.sequence
        self._batches += 1
        self._sequence, self._count, self._next = line.sequence, line.count, 0

    def _find(self, kind: FindingKind, message: str) -> None:
        self._findings.append(Finding(self._sequence, kind, message))
