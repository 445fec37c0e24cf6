"""The decision log and its reports, put together for one run of a decision point."""

import random
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final

from agentid.cluster.connection import Connection
from agentid.cluster.decision_checkpoints import CheckpointWrites
from agentid.gate.decision_line import Chain
from agentid.gate.decision_log import DecisionLog
from agentid.gate.metrics import GateMetrics
from agentid.gate.reporting import Reporting
from agentid.gate.settings import GateSettings

_CLOSE_SECONDS: Final = 5.0


class Recording:
    """What a decision point keeps of its decisions."""

    def __init__(
        self,
        settings: GateSettings,
        connection: Connection,
        metrics: GateMetrics,
        now: Callable[[], datetime],
    ) -> None:
        # Whoever starts anew begins another log: nothing is said of what the one before did not write.
        name = secrets.token_hex(16)
        self.log = DecisionLog(
            settings.files(),
            Chain(name, settings.instance),
            settings.keeping(),
            now=now,
            randomness=random.random,
        )
        self._reporting = Reporting(
            self.log,
            CheckpointWrites(connection, settings.namespace).write,
            name=name,
            pod=settings.instance,
            now=now,
        )
        self._add_gauges(metrics)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run until the end."""
        return [self.log.run(), self._reporting.run()]

    async def close(self) -> None:
        """Write what is left of log and reports, once nothing runs and nothing is decided any more."""
        await self.log.close(_CLOSE_SECONDS)
        await self._reporting.close(_CLOSE_SECONDS)

    def _add_gauges(self, metrics: GateMetrics) -> None:
        metrics.watch(
            "agentid_gate_log_usable",
            "0 while the decision log can't be written.",
            lambda: float(not self.log.problem),
        )
        metrics.watch(
            "agentid_gate_log_waiting_lines",
            "Lines of the decision log that are not on the disk yet.",
            lambda: self.log.waiting,
        )
        metrics.watch(
            "agentid_gate_log_lost_lines",
            "Lines of the decision log since the start for which there was no room.",
            lambda: self.log.lost,
        )
        metrics.watch(
            "agentid_gate_report_waiting_seconds",
            "For how long a report for the ledger has waited to be taken; 0 where none waits.",
            self._reporting.waited_seconds,
        )
