"""One line of the decision log: what was asked and answered, chained to the line before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentid.gate.answer import Answer
from agentid.gate.question import Question
from agentid.ledger.canonical import canonical
from agentid.ledger.decisions import NO_HEAD
from agentid.ledger.digests import digest_of
from agentid.ledger.log_chain import LINE_SCHEMA

MAX_TEXT: Final = 512
"""Characters of a text that others wrote; a longer one ends in … there."""
_MAX_RULES: Final = 16


@dataclass(frozen=True, slots=True)
class Position:
    """Where a log stands: the number of its last line, from 1, and the hash of that."""

    sequence: int = 0
    head: str = NO_HEAD


class Chain:
    """The lines of one log, one after the other."""

    def __init__(self, log: str, replica: str) -> None:
        """Begin the log of that name, 32 hexadecimal digits, which the pod `replica` writes."""
        self.log = log
        self._replica = replica
        self.position = Position()

    def add(self, fields: Mapping[str, object]) -> bytes:
        """Return the next line, without its end."""
        sequence = self.position.sequence + 1
        head = {
            "schema": LINE_SCHEMA,
            "log": self.log,
            "replica": self._replica,
            "sequence": sequence,
            "previous": self.position.head,
        }
        line = canonical({**head, **fields})
        self.position = Position(sequence, digest_of(line))
        return line


def decided(question: Question, answer: Answer, at: datetime) -> dict[str, object]:
    """Return what is told of one answer. Parameters of calls are left out: they may hold anything."""
    call, task, step = question.call, answer.task, answer.step
    fields: dict[str, Any] = {
        "kind": "decision",
        "at": time_text(at),
        "reason": answer.reason.value,
        "asker": question.asker.name,
        "identity": question.spiffe_id,
        "serial": question.serial,
        "action": call.action,
        "resource": call.resource,
        "tool": call.tool,
        "session": call.session,
        "trace_id": question.trace_id,
    }
    if task is not None:
        fields |= {"namespace": task.namespace, "task": task.name, "uid": task.uid}
    if step is not None:
        fields |= {"step": step.name, "step_uid": step.uid}
    told: dict[str, object] = {name: _text(each) for name, each in fields.items() if each}
    if answer.policy is not None:
        told["policies"] = [_text(each) for each in answer.policy.determined_by[:_MAX_RULES]]
        told["policy_digests"] = [each.digest for each in answer.policy.layers if each.digest]
    return {**told, "allowed": answer.allowed}


def missing(count: int, since: datetime, at: datetime) -> dict[str, object]:
    """Return what is told of lines for which there was no room."""
    return {"kind": "lost", "at": time_text(at), "count": count, "since": time_text(since)}


def time_text(moment: datetime) -> str:
    """Return a time as a line has it: RFC 3339, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: str) -> str:
    """Return a text that can be written: whatever was sent, and not all of it where it is long."""
    cut = value if len(value) <= MAX_TEXT else f"{value[: MAX_TEXT - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode()
