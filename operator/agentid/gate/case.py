"""One question with all that it is decided on, and what its rules ask of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from agentid.api.agent import Sensitivity
from agentid.gate.known_task import GrantedStep, KnownTask
from agentid.gate.question import Question
from agentid.gate.view import Moment, View

_OF_A_TASK: Final = re.compile(
    r"spiffe://([a-z0-9._-]{1,255})/ns/([a-z0-9-]{1,63})/agent/[a-z0-9.-]{1,253}/task/([0-9a-f-]{36})"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the installation sets.

    Attributes:
        trust_domain: Whose identities are decided on.
        max_age: How old what is known may be for a task of that sensitivity.
        max_skew: By how much this process' clock may be behind the operator's.
        serial_optional: Whether a task of sensitivity Public may be used where no serial is known.
    """

    trust_domain: str
    max_age: Mapping[Sensitivity, timedelta]
    max_skew: timedelta
    serial_optional: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A question with all that it is decided on; `task` is None where none has the identity."""

    question: Question
    limits: Limits
    view: View
    moment: Moment
    namespace: str
    task: KnownTask | None

    @classmethod
    def of(cls, question: Question, limits: Limits, view: View, moment: Moment) -> Self | None:
        """Put a question together with what is known; None: its SPIFFE ID is not one of a task here."""
        found = _OF_A_TASK.fullmatch(question.spiffe_id)
        if found is None or found[1] != limits.trust_domain:
            return None
        task = view.task(found[3])
        if task is not None and (task.spiffe_id != question.spiffe_id or task.namespace != found[2]):
            # The UID of one task under the name of another: whoever made that up is told of neither.
            task = None
        return cls(question, limits, view, moment, found[2], task)

    @property
    def known(self) -> KnownTask:
        """The task; the rules about unknown tasks come before those that look at one."""
        if self.task is None:
            raise LookupError("a rule asked what an unknown task is: a mistake in RULES")
        return self.task

    def live_steps(self) -> list[GrantedStep]:
        """Return the steps that let the task's identity do more now.

        A step that has ended grants nothing any more, whether its parent's status says so yet or not.
        """
        now = self.moment.now
        return [each for each in self.known.grants if now < each.until and self.step(each) is not None]

    def step(self, granted: GrantedStep) -> KnownTask | None:
        """Return the task of a step, if it is as the grant was decided on and lives."""
        found = self.view.task(granted.uid)
        if found is None or found.unreadable is not None or found.over is not None:
            return None
        is_as_decided = found.is_granted and found.is_decided and not found.is_suspended
        return found if is_as_decided and not is_past(found, self.moment.now) else None


def is_past(task: KnownTask, now: datetime) -> bool:
    """Whether the deadline of a task has passed."""
    return task.deadline is not None and task.deadline <= now
