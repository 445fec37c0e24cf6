"""What the decision point counts."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from agentid.gate.answer import Answer, Reason
from agentid.gate.question import Question

_REASON: Final = "reason"


class GateMetrics:
    """Counters and gauges of one decision point."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "agentid_gate_decisions_total", "Decisions, by reason.", [_REASON], registry=self._registry
        )
        for each in Reason:
            self._decisions.labels(each.value)

    def count(self, _question: Question, answer: Answer, _at: datetime) -> None:
        """Count an answer."""
        self._decisions.labels(answer.reason.value).inc()

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge that is asked for its value when Prometheus asks."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self._registry)
