"""The decision as the servers ask for it: by the clock, with what is known now; what goes wrong denies."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from agentid.gate.answer import Answer, Reason
from agentid.gate.asking import Asking
from agentid.gate.case import Limits
from agentid.gate.decide import decide
from agentid.gate.question import Question
from agentid.gate.view import Moment, View
from agentid.process.trace_context import Attributes
from agentid.process.tracing import Span, span

_log = structlog.get_logger("agentid.gate")

Told = Callable[[Question, Answer, datetime], None]
"""Is told each question with its answer."""


class Deciding:
    """Answers questions, each at the time at which it is asked."""

    def __init__(  # noqa: PLR0913 - what a decision is made of, and who hears of it
        self,
        view: View,
        limits: Limits,
        asking: Asking,
        *,
        now: Callable[[], datetime],
        uptime: Callable[[], float],
        told: Told = lambda _question, _answer, _at: None,
        hindrance: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`hindrance` returns why nothing may be allowed just now, whatever is decided; None: it may."""
        self._view = view
        self._limits = limits
        self._asking = asking
        self._now = now
        self._uptime = uptime
        self._told = told
        self._hindrance = hindrance

    def __call__(self, question: Question) -> Answer:
        """Answer one question."""
        with span("agentid.decision") as traced:
            return self._answer(question, traced)

    def _answer(self, question: Question, traced: Span) -> Answer:
        moment = Moment(self._now(), self._uptime())
        try:
            answer = decide(question, self._view, self._limits, self._asking, moment)
        except Exception:  # noqa: BLE001 - whatever it is, it denies, and the log tells
            _log.exception("decision failed")
            traced.fail("decision failed")
            message = "It could not be decided, which is a mistake in agentid; its log says more."
            answer = Answer(allowed=False, reason=Reason.POLICY_IN_DOUBT, message=message)
        if answer.allowed and (why := self._hindrance()) is not None:
            answer = replace(
                answer, allowed=False, reason=Reason.NOT_RECORDED, message=f"{_NOT_KEPT}: {why}."
            )
        traced.set(lambda: _attributes(question, answer))
        self._told(question, answer, moment.now)
        return answer


_NOT_KEPT: Final = (
    "It would be allowed, but has to be written down, and can't be. Look at the decision point's log files"
)


def _attributes(question: Question, answer: Answer) -> Attributes:
    """Return what a trace says of an answer: nothing of the call's parameters, which may be anything."""
    task = answer.task
    return {
        "agentid.decision": "allow" if answer.allowed else "deny",
        "agentid.reason": answer.reason.value,
        "agentid.enforcement_point": question.asker.name,
        "agentid.action": question.call.action,
        "agentid.tool": question.call.tool,
        "agentid.serial": question.serial,
        "agentid.task.namespace": task.namespace if task is not None else None,
        "agentid.task.name": task.name if task is not None else None,
        "agentid.task.uid": task.uid if task is not None else None,
        "agentid.step.name": answer.step.name if answer.step is not None else None,
    }
