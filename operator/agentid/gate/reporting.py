"""Has the operator put into its ledger, about once a minute, what was decided here and where the log stands.

A report is one object named like this pod. It is made once, and written until it is there; the next one waits
until the operator has taken it, and tells of all that was decided meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from agentid.api.decisioncheckpoint import LAST_SUFFIX, MAX_REPORT_LENGTH, DecisionCheckpointSpec
from agentid.cluster.errors import ApiAnswerError, PassingError
from agentid.gate.decision_line import Position
from agentid.gate.decision_log import DecisionLog
from agentid.ledger.decisions import Report

_log = structlog.get_logger("agentid.gate")

INTERVAL_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 5.0
_HEAD_BYTES: Final = 1024
"""More than a report has beside its uses."""

Write = Callable[[str, dict[str, object]], Awaitable[bool]]
"""Writes an object of that name and spec, and returns whether it is there."""


class Reporting:
    """The reports of one log."""

    def __init__(  # noqa: PLR0913 - what is told, where, and when
        self,
        log: DecisionLog,
        write: Write,
        *,
        name: str,
        pod: str,
        now: Callable[[], datetime],
        interval_seconds: float = INTERVAL_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """`name` is that of the log, and `pod` that of the objects."""
        self._log = log
        self._write = write
        self._name = name
        self._pod = pod
        self._now = now
        self._interval_seconds = interval_seconds
        self._retry_seconds = retry_seconds
        self._started = self._since = now()
        self._number = 0
        self._told = Position()
        self._told_lost = 0
        self._made: Report | None = None
        self._failing = False
        self._is_refused = False

    def waited_seconds(self) -> float:
        """Return for how long a report that was made has not been taken down; 0: none waits."""
        return (self._now() - self._made.until).total_seconds() if self._made is not None else 0.0

    async def run(self) -> None:
        """Report until cancelled: at once, so that it can be seen that the log began, and then in turn."""
        while True:
            is_told = await self.once()
            await asyncio.sleep(self._interval_seconds if is_told else self._retry_seconds)

    async def once(self) -> bool:
        """Write what there is to tell; return whether nothing is left to be written."""
        if self._made is None:
            self._made = self._next(closed=False)
        return self._made is None or await self._is_written(self._made, self._pod)

    async def close(self, within_seconds: float) -> None:
        """Write the last report; `run` has ended, and nothing is decided any more."""
        waiting, last = self._made, self._next(closed=True)
        try:
            async with asyncio.timeout(within_seconds), asyncio.TaskGroup() as reports:
                for report, name in ((waiting, self._pod), (last, f"{self._pod}{LAST_SUFFIX}")):
                    if report is not None:
                        reports.create_task(self._until_written(report, name))
        except TimeoutError:
            _log.error("last report not written", log=self._name, number=self._number)

    async def _until_written(self, report: Report, name: str) -> None:
        """Write it, however often that takes; what may not be written is given up, as `_is_written` says."""
        is_there = await self._is_written(report, name)
        while not is_there and not self._is_refused:
            await asyncio.sleep(self._retry_seconds)
            is_there = await self._is_written(report, name)

    async def _is_written(self, report: Report, name: str) -> bool:
        spec = DecisionCheckpointSpec(
            log=self._name, number=report.number, report=report.to_json().decode("ascii")
        )
        try:
            is_there = await self._write(name, spec.model_dump(mode="json", by_alias=True))
        except ApiAnswerError as error:
            self._is_refused = not isinstance(error, PassingError)
            if not self._failing:
                self._failing = True
                _log.warning("report not written", error=str(error), number=report.number)
            return False
        self._is_refused = False
        if is_there:
            self._failing, self._made = False, None
        return is_there

    def _next(self, *, closed: bool) -> Report | None:
        """Return what is told next; None: nothing has happened."""
        now, tally, written, lost = self._now(), self._log.tally, self._log.written, self._log.lost
        is_nothing = tally.is_empty and written == self._told and lost == self._told_lost
        if is_nothing and self._number and not closed:
            return None
        self._number += 1
        has_lines = written.sequence > self._told.sequence
        uses = tally.tell(MAX_REPORT_LENGTH - _HEAD_BYTES)
        numbers = tally.numbers()
        report = Report(
            log=self._name,
            number=self._number,
            started=self._started.replace(microsecond=0),
            since=self._since.replace(microsecond=0),
            until=now.replace(microsecond=0),
            allowed=numbers.allowed,
            denied=numbers.denied,
            first=self._told.sequence + 1 if has_lines else None,
            through=written.sequence if has_lines else None,
            head=written.head if has_lines else None,
            lost=lost - self._told_lost,
            unlisted=numbers.unlisted,
            closed=closed,
            uses=uses,
        )
        self._told, self._told_lost, self._since = written, lost, now
        return report
