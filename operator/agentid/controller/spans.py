"""What traces tell of a pass: it is sent if it issues, renews or ends, or asks somebody else."""

from collections.abc import Mapping, Sequence
from typing import Final

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.fields import MAX_COUNT
from agentid.api.reasons import ConditionType
from agentid.ledger.batch import Batch
from agentid.ledger.inventory import Inventory
from agentid.ledger.record import Record
from agentid.lifecycle.journal import Kind, kind_made, kind_of
from agentid.lifecycle.model import Observation, TaskFacts
from agentid.lifecycle.plan import Plan
from agentid.lifecycle.record import condition
from agentid.process.trace_context import Attributes
from agentid.process.tracing import Pending, Span, pending, traces_are_on

_MOST_PENDING: Final = 4096
"""Records that are waited for; the span of another one is never sent."""
_ISSUE: Final = "agentid.issue"
_NAMES: Final = {
    Kind.ISSUED: _ISSUE,
    Kind.RESUMED: _ISSUE,
    Kind.GRANTED: _ISSUE,
    Kind.RENEWED: "agentid.renew",
    Kind.ENDED: "agentid.end",
}


def tell_plan(span: Span, observation: Observation, plan: Plan) -> None:
    """Say in the span of a pass what it was decided to do; it is kept if that is to issue, renew or end."""
    if not traces_are_on():
        return
    span.set(lambda: {**_of_task(observation.task), **_of_plan(observation, plan)})
    if (name := _name(observation, plan)) is not None:
        span.keep(name)


def tell_end(span: Span, task: TaskFacts, status: AgentTaskStatus, rule: str) -> None:
    """Say in a span that a task has ended by being deleted."""
    span.keep(_NAMES[Kind.ENDED])
    span.set(lambda: {**_of_task(task), "agentid.rule": rule, "agentid.reason": _reason(status)})


def _name(observation: Observation, plan: Plan) -> str | None:
    if plan.issue is not None:
        return _NAMES[kind_made(plan.issue)]
    if plan.report is None or plan.report.status == observation.task.status:
        return None
    kind = kind_of(observation, plan, plan.report.status)
    return _NAMES.get(kind) if kind is not None else None


def _of_task(task: TaskFacts) -> Attributes:
    return {
        "agentid.task.namespace": task.namespace,
        "agentid.task.name": task.name,
        "agentid.task.uid": task.uid,
        "agentid.agent": task.spec.agent_ref.name if task.spec is not None else None,
    }


def _of_plan(observation: Observation, plan: Plan) -> Attributes:
    judgement = observation.judgement
    return {
        "agentid.rule": plan.rule,
        "agentid.reason": plan.issue.why.value
        if plan.issue is not None
        else _reason(plan.report.status if plan.report is not None else observation.task.status),
        "agentid.decision": None if judgement is None else "allow" if judgement.allowed else "deny",
    }


def _reason(status: AgentTaskStatus) -> str | None:
    finished = condition(status, ConditionType.FINISHED)
    return finished.reason if finished is not None else None


class SpanFollower:
    """Shows how long the record of what was taken away took to be durable, for which no pass waits."""

    def __init__(self) -> None:
        self._pending: dict[tuple[object, ...], Pending] = {}

    def begun(self, first: int, head: int, inventory: Inventory) -> None:
        """Forget what was waited for: nobody says what became of it."""
        del first, head, inventory
        self._pending.clear()

    def taken_away(self, record: Mapping[str, object]) -> None:
        """Begin a span under that of the pass, if it has one."""
        if len(self._pending) < _MOST_PENDING and (span := pending("agentid.ledger")) is not None:
            self._pending[_which(record)] = span

    def written(self, batch: Batch, records: Sequence[Record]) -> None:
        """End the spans of those that are durable."""
        del batch
        for record in records if self._pending else ():
            if (span := self._pending.pop(_which(record.fields), None)) is not None:
                span.end()

    def reached(self) -> int:
        """Return that none need be kept for traces."""
        return MAX_COUNT


def _which(record: Mapping[str, object]) -> tuple[object, ...]:
    return record.get("uid"), record.get("kind"), record.get("at")
