"""What Prometheus can ask the operator: few metrics, labels from fixed sets only."""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from agentid.cluster.events import Outcome
from agentid.errors import AgentidError
from agentid.lifecycle.model import Observation
from agentid.lifecycle.plan import IssueOrder
from agentid.opa.errors import Outcome as OpaOutcome

_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """The operator's own registry and everything in it."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.passes = self._counter("agentid_reconcile_total", "Passes over a task.", "result")
        self.pass_seconds = self._histogram(
            "agentid_reconcile_duration_seconds", "How long a pass over a task took.", _SHORT
        )
        self.issued = self._counter(
            "agentid_credentials_issued_total", "Credentials issued, by reason.", "reason"
        )
        self.ended = self._counter("agentid_tasks_ended_total", "Tasks ended, by reason.", "reason")
        self.break_glass = self._counter(
            "agentid_break_glass_total", "Credentials issued in an emergency, without anybody's approval."
        )
        self.issue_delay = self._histogram(
            "agentid_first_issue_delay_seconds",
            "From the later of the task's and its pod's creation to the first credential.",
            _LONG,
        )
        self.signing = self._histogram(
            "agentid_signing_duration_seconds", "Making a key and signing its certificate.", _SHORT[:8]
        )
        self.conflicts = self._counter(
            "agentid_status_conflicts_total", "Status writes that lost against a newer version of the task."
        )
        self.secret_failures = self._counter(
            "agentid_secret_write_failures_total",
            "Writes of a credential Secret that failed and are tried again.",
        )
        self.not_taken_away = self._counter(
            "agentid_takeaway_failures_total",
            "Attempts to take a credential away, in status or Secret, that failed and are repeated.",
        )
        self.static_secret_copies = self._counter(
            "agentid_static_secret_copies_total", "Copies of static secrets written beside a credential."
        )
        self.static_secret_failures = self._counter(
            "agentid_static_secret_read_failures_total",
            "Reads of a static secret's source that brought no value; it is read again.",
        )
        self.refused_policies = self._counter(
            "agentid_policy_refusals_total", "Policy texts that were not accepted."
        )
        self.ledger_records = self._counter(
            "agentid_ledger_records_total", "Records that are durable in the ledger, by their kind.", "kind"
        )
        self.ledger_failures = self._counter(
            "agentid_ledger_write_failures_total", "Writes to the ledger that failed and are tried again."
        )
        self.ledger_lost = self._counter(
            "agentid_ledger_records_lost_total",
            "Records for which there was no room while none could be written.",
        )
        self.opa_requests = self._counter(
            "agentid_opa_requests_total", "Questions to OPA, by what became of them.", "result"
        )
        self.opa_seconds = self._histogram(
            "agentid_opa_request_duration_seconds", "How long OPA took for a question.", _SHORT[:12]
        )
        self.events = self._counter("agentid_events_total", "Events, by what became of them.", "outcome")
        self.sweep_findings = self._counter(
            "agentid_sweep_findings_total",
            "Objects that a sweep found otherwise than the watches had shown them.",
            "resource",
        )
        self.decision_reports = self._counter(
            "agentid_decision_reports_total",
            "Reports of decision points, by what became of them.",
            "result",
        )
        self.sink_failures = self._counter(
            "agentid_sink_failures_total",
            "Batches of the record that a sink did not take and gets again.",
            "sink",
        )
        self.sink_skipped = self._counter(
            "agentid_sink_skipped_batches_total",
            "Batches of the record that were gone before a sink had them.",
            "sink",
        )
        self.authority_end = Gauge(
            "agentid_ca_expiration_timestamp_seconds",
            "When the certificate that signs stops holding.",
            registry=self.registry,
        )
        for outcome in Outcome:
            self.events.labels(outcome=outcome.value)

    def count_failed_pass(self, error: BaseException) -> None:
        """Count a failed pass: to be expected now and then, or a mistake of ours."""
        self.passes.labels(result="retry" if isinstance(error, AgentidError) else "error").inc()

    def count_sweep_findings(self, resource: str, objects: int) -> None:
        """Count objects that a watch had missed."""
        self.sweep_findings.labels(resource=resource).inc(objects)

    def count_event(self, outcome: Outcome) -> None:
        """Count what became of an Event."""
        self.events.labels(outcome=outcome.value).inc()

    def count_opa(self, outcome: OpaOutcome, seconds: float) -> None:
        """Count what became of a question to OPA, and how long it took."""
        self.opa_requests.labels(result=outcome.value).inc()
        self.opa_seconds.observe(seconds)

    def first_issue(self, observation: Observation, order: IssueOrder) -> None:
        """Record how long a task waited for its first credential."""
        if order.generation == 1:
            pod = order.pod
            since = max(observation.task.created, pod.created) if pod else observation.task.created
            self.issue_delay.observe(max(0.0, (observation.now - since).total_seconds()))

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge that is asked for its value when Prometheus asks."""
        Gauge(name, description, registry=self.registry).set_function(value)

    def watch_each(
        self, name: str, description: str, label: str, values: Mapping[str, Callable[[], float]]
    ) -> None:
        """Add a gauge with one label, each of whose values is asked for when Prometheus asks."""
        gauge = Gauge(name, description, [label], registry=self.registry)
        for each, value in values.items():
            gauge.labels(each).set_function(value)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, description, buckets=buckets, registry=self.registry)
