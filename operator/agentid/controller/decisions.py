"""Puts what decision points report into the ledger, and deletes each report that is durable there."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol, TypeVar

import structlog
from pydantic import ValidationError

from agentid.api.decisioncheckpoint import DecisionCheckpointSpec, replica_of
from agentid.cluster.decision_checkpoints import CheckpointReads, Found
from agentid.cluster.errors import ApiAnswerError
from agentid.controller.core import Core
from agentid.controller.errors import LedgerUnavailableError, NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.ledger.decisions import Report, decisions
from agentid.ledger.errors import InvalidRecordError
from agentid.process.clocks import boottime

_log = structlog.get_logger("agentid.decisions")

INTERVAL_SECONDS: Final = 15.0
PACE_SECONDS: Final = 45.0
"""How soon another report of the same name is taken: whoever writes more of them fills no ledger."""
_MOST_REMEMBERED: Final = 4096

Key = TypeVar("Key")


class Checkpoints(Protocol):
    """Where reports lie until they are taken."""

    async def some(self) -> list[Found]:
        """Return some of them."""

    async def delete(self, found: Found) -> None:
        """Delete one."""


class Decisions:
    """Takes reports while this operator leads; after a crash, one may be in the ledger twice."""

    def __init__(  # noqa: PLR0913 - from where, to where, and when
        self,
        checkpoints: Checkpoints,
        append: Callable[[bytes], Awaitable[None]],
        metrics: Metrics,
        *,
        leads: Callable[[], bool],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        """`append` returns once a record is durable; `clock` counts seconds and is never set."""
        self._checkpoints = checkpoints
        self._append = append
        self._metrics = metrics
        self._leads = leads
        self._now = now
        self._clock = clock
        self._taken: OrderedDict[str, float] = OrderedDict()
        self._known: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._told = ""

    async def run(self) -> None:
        """Take what there is again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if self._leads():
                await self._look()

    async def _look(self) -> None:
        try:
            await self.once()
        except (ApiAnswerError, LedgerUnavailableError, NotLeadingError) as error:
            if not self._told:
                _log.warning("reports of decision points not taken", error=str(error))
            self._told = str(error)
        else:
            self._told = ""

    async def once(self) -> None:
        """Take what there is.

        Raises:
            ApiAnswerError: the API server did not answer; what was not deleted is taken again.
            LedgerUnavailableError: the ledger does not take records just now.
            NotLeadingError: another operator takes them.
        """
        for found in await self._checkpoints.some():
            taken = self._taken.get(found.name)
            if taken is None or self._clock() - taken >= PACE_SECONDS:
                await self._take(found)
                _remember(self._taken, found.name, self._clock())

    async def _take(self, found: Found) -> None:
        try:
            report = _read(found)
        except InvalidRecordError as error:
            # It would be in the way of whoever has that name for ever.
            _log.error("report of a decision point refused", name=found.name, error=str(error))
            self._metrics.decision_reports.labels(result="refused").inc()
        else:
            which = report.log, report.number
            if which not in self._known:
                await self._append(decisions(self._now(), replica_of(found.name), report))
                _remember(self._known, which, self._clock())
                self._metrics.decision_reports.labels(result="taken").inc()
        await self._checkpoints.delete(found)


def decisions_of(core: Core) -> Decisions:
    """Return what takes reports into the ledger of this operator."""
    return Decisions(
        CheckpointReads(core.connection, core.settings.namespace, core.leader.require),
        core.ledger.append,
        core.metrics,
        leads=lambda: core.duty.is_on and core.ledger.blocked is None,
        now=core.clock.now,
        clock=boottime,
    )


def _read(found: Found) -> Report:
    """Return the report in an object.

    Raises:
        InvalidRecordError: there is none, or it is not the one that the object says it is.
    """
    try:
        spec = DecisionCheckpointSpec.model_validate(found.spec)
    except ValidationError as error:
        raise InvalidRecordError(f"is no DecisionCheckpoint: {error.errors()[0]['msg']}") from error
    report = Report.parse(spec.report)
    if (report.log, report.number) != (spec.log, spec.number):
        raise InvalidRecordError("is a report of another log or number than it says")
    return report


def _remember(known: OrderedDict[Key, float], key: Key, at: float) -> None:
    known[key] = at
    known.move_to_end(key)
    if len(known) > _MOST_REMEMBERED:
        known.popitem(last=False)
