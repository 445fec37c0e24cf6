"""What decision points have reported of the use of identities, put together from the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from agentid.api.fields import format_time
from agentid.ledger.decisions import Use
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.record import LedgerKind, Record
from agentid.ledger.reported_logs import ReportedLogs


@dataclass(slots=True)
class Used:
    """One action with the identity of one task: allowed so often, or denied for that reason.

    Attributes:
        action: What was asked about; empty: it was not written like an action.
        reason: Why it was denied; empty: it was allowed.
        step: UID of the step that granted it; empty: it is the task's own.
        count: How often.
        first: When first.
        last: When last.
    """

    action: str
    reason: str
    step: str
    count: int
    first: datetime
    last: datetime


class Reports:
    """The reports in a ledger, as they come."""

    def __init__(self) -> None:
        """Begin with none."""
        self._logs = ReportedLogs()
        self.unusable = 0

    @property
    def is_any(self) -> bool:
        """Whether a decision point has reported anything."""
        return self._logs.count > 0

    def uses_in(self, record: Record) -> Iterator[Use]:
        """Yield what a record reports that was not reported before; nothing where it is no report."""
        if record.kind != LedgerKind.DECISIONS:
            return
        try:
            report = self._logs.take(record)
        except InvalidRecordError:
            self.unusable += 1
            return
        if report is not None:
            yield from report.uses

    def notes(self) -> list[str]:
        """Return what is missing; once all is read."""
        unusable = [f"{self.unusable} reports of decision points cannot be read"] if self.unusable else []
        return [*self._logs.missing(), *unusable]


class Uses:
    """The uses of one task's identity."""

    def __init__(self) -> None:
        """Begin with none."""
        self._found: dict[tuple[str, str, str], Used] = {}

    def take(self, use: Use) -> None:
        """Take in what a report says."""
        key = use.action or "", use.reason or "", use.step or ""
        found = self._found.get(key)
        if found is None:
            self._found[key] = Used(*key, use.count, use.first, use.last)
        else:
            found.count += use.count
            found.first, found.last = min(found.first, use.first), max(found.last, use.last)

    def told(self) -> list[Used]:
        """Return them in the order in which they began."""
        return sorted(self._found.values(), key=lambda each: each.first)


def sentence(used: Used) -> str:
    """Say what was used, or refused, and how often."""
    what = f"{'refused' if used.reason else 'used'} {used.action or 'something that is no action'}"
    why = f" ({used.reason})" if used.reason else f" by step {used.step}" if used.step else ""
    if used.count == 1:
        return f"{what}{why}"
    return f"{what}{why}, {used.count} times until {format_time(used.last)}"
