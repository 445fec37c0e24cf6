"""Counts which identities are used for what, until a report has told it."""

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Final

from pydantic import ValidationError

from agentid.gate.answer import Answer, TaskName
from agentid.gate.question import Question
from agentid.ledger.canonical import canonical
from agentid.ledger.decisions import MAX_USES, Use

MAX_PENDING: Final = 16_384
"""Kinds of use that wait to be told; of more, only their number is."""
MAX_SEEN: Final = 65_536
"""Kinds of use that are known not to be new; one that is forgotten counts as new again, no worse."""
MAX_DENIED_ACTIONS: Final = 16
"""Of one task, told by name in one report: whoever asks names actions as it likes."""
_ACTION: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?::[a-z0-9][a-z0-9._-]*)*")
_MAX_ACTION_LENGTH: Final = 128
_AGENT_PART: Final = 6
"""spiffe://<trust domain>/ns/<namespace>/agent/<agent>/…, split at each slash."""

_Key = tuple[str, str | None, str | None, str | None]
"""UID of the task, action, reason of a denial, UID of the step."""


@dataclass(slots=True)
class _Counted:
    task: TaskName
    agent: str
    first: datetime
    last: datetime
    count: int = 1


@dataclass(slots=True)
class Numbers:
    """How many calls were allowed and denied, and how many of them were too many to be told one by one."""

    allowed: int = 0
    denied: int = 0
    unlisted: int = 0


class UseTally:
    """What was allowed and denied since it was told last, by task, action and reason."""

    def __init__(self, *, max_pending: int = MAX_PENDING, max_seen: int = MAX_SEEN) -> None:
        self._max_pending = max_pending
        self._max_seen = max_seen
        # What is used for the first time is told before all that goes on.
        self._new: dict[_Key, _Counted] = {}
        self._again: dict[_Key, _Counted] = {}
        self._seen: OrderedDict[_Key, None] = OrderedDict()
        self._denied_actions: Counter[str] = Counter()
        self._numbers = Numbers()

    def __len__(self) -> int:
        """Return how many kinds of use wait to be told."""
        return len(self._new) + len(self._again)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not len(self) and self._numbers == Numbers()

    def take(self, question: Question, answer: Answer, at: datetime) -> bool:
        """Count an answer; return whether a task uses that action for the first time, as far as is known."""
        if answer.allowed:
            self._numbers.allowed += 1
        else:
            self._numbers.denied += 1
        if answer.task is None:
            return False
        key = self._key(question, answer, answer.task)
        is_new = answer.allowed and self._is_new(key)
        counted = self._new.get(key) or self._again.get(key)
        if counted is not None:
            counted.count += 1
            counted.last = at
        elif len(self) >= self._max_pending:
            self._numbers.unlisted += 1
        else:
            agent = question.spiffe_id.split("/")[_AGENT_PART]
            (self._new if is_new else self._again)[key] = _Counted(answer.task, agent, at, at)
            if not answer.allowed and key[1] is not None:
                self._denied_actions[key[0]] += 1
        return is_new

    def numbers(self) -> Numbers:
        """Return how much was decided since this was asked last; `tell` comes before it."""
        numbers, self._numbers = self._numbers, Numbers()
        return numbers

    def tell(self, room: int) -> list[Use]:
        """Return what is told now, at most `room` bytes of it, and count it no longer."""
        told: list[Use] = []
        for key in list(chain(self._new, self._again)):
            source = self._new if key in self._new else self._again
            made = _use(key, source[key])
            size = len(canonical(made.model_dump(mode="json", exclude_none=True))) + 1 if made else 0
            if size > room or len(told) == MAX_USES:
                break
            room -= size
            counted = source.pop(key)
            if made is None:
                self._numbers.unlisted += counted.count
            else:
                told.append(made)
        self._denied_actions.clear()
        return told

    def _key(self, question: Question, answer: Answer, task: TaskName) -> _Key:
        action = _told(question.call.action)
        if answer.allowed:
            return task.uid, action, None, answer.step.uid if answer.step is not None else None
        key = (task.uid, action, answer.reason.value, None)
        is_one_more = key not in self._again and self._denied_actions[task.uid] >= MAX_DENIED_ACTIONS
        return (task.uid, None, answer.reason.value, None) if is_one_more else key

    def _is_new(self, key: _Key) -> bool:
        is_new = key not in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > self._max_seen:
            self._seen.popitem(last=False)
        return is_new


@lru_cache(maxsize=4096)
def _told(action: str) -> str | None:
    """Return an action as a report names it; None: it is not written like one."""
    return action if len(action) <= _MAX_ACTION_LENGTH and _ACTION.fullmatch(action) else None


def _use(key: _Key, counted: _Counted) -> Use | None:
    """Return it as a report tells it; None: it is of a form that none can tell."""
    uid, action, reason, step = key
    try:
        return Use(
            uid=uid,
            namespace=counted.task.namespace,
            task=counted.task.name,
            agent=counted.agent,
            action=action,
            reason=reason,
            step=step,
            count=counted.count,
            first=counted.first.replace(microsecond=0),
            last=counted.last.replace(microsecond=0),
        )
    except ValidationError:
        return None
