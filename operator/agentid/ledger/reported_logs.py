"""Follows the reports of decision points through a ledger: each counts once, and none is missing unseen."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from agentid.ledger.decisions import Report
from agentid.ledger.record import Record

_LATE: Final = timedelta(hours=1)
"""The last reports of a log may come in another order."""
_MOST_LOGS: Final = 4096
_MOST_MISSING: Final = 64


@dataclass(slots=True)
class _Log:
    replica: str
    last: int
    missing: dict[int, datetime] = field(default_factory=dict)


class ReportedLogs:
    """The logs that a ledger tells of, one for each start of a decision point."""

    def __init__(self) -> None:
        """Begin with none."""
        self._logs: OrderedDict[str, _Log] = OrderedDict()
        self.count = 0
        """How many reports were taken in."""

    def take(self, record: Record, since: datetime | None = None) -> Report | None:
        """Take in a record of kind `decisions`; return its report, None: it was told before.

        Args:
            record: The record.
            since: From when on there are records; None: that is not known.

        Raises:
            InvalidRecordError: it does not say what it has to.
        """
        report = Report.of(record)
        log = self._logs.get(report.log)
        if log is None:
            was_before = since is None or report.started < since
            last = report.number - 1 if was_before else 0
            log = self._logs[report.log] = _Log(record.text("replica"), last)
        self._logs.move_to_end(report.log)
        if len(self._logs) > _MOST_LOGS:
            self._logs.popitem(last=False)
        is_late = log.missing.pop(report.number, None) is not None
        if report.number <= log.last and not is_late:
            return None
        for number in range(log.last + 1, report.number)[:_MOST_MISSING]:
            log.missing[number] = record.at + _LATE
        log.last = max(log.last, report.number)
        self.count += 1
        return report

    def missing(self, by: datetime | None = None) -> list[str]:
        """Return, once each, what is missing that was due by that time; None: by now, whenever that is."""
        said = []
        for name, log in self._logs.items():
            due = [number for number, at in log.missing.items() if by is None or at <= by]
            for number in due:
                del log.missing[number]
            if due:
                which = ", ".join(map(str, due))
                said.append(
                    f"of log {name} of decision point {log.replica} these reports are missing: {which}"
                )
        return said
