"""The ten writes of a task's life, and what can befall each: traps for a proxy, one for each task."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Event, Timer
from typing import Any, Final

from tests.cluster.intercepting import Answer, Trap

Body = Mapping[str, Any]

RETRY_AFTER_SECONDS: Final = 3
HANG_SECONDS: Final = 90


@dataclass(frozen=True, slots=True)
class Write:
    """One write of the operator in the life of a task.

    Attributes:
        method: Its HTTP method.
        path: A pattern for its path, in which {task} stands for the task's name.
        is_it: Looks at what is sent, and at the task's name, where method and path do not tell.
        pod: Whether it is only made for a task whose pod lives.
    """

    method: str
    path: str
    is_it: Callable[[Body, str], bool]
    pod: bool = False


def _status(generation: int) -> Write:
    """The status that records the credential of that generation."""
    return Write(
        "PATCH",
        ".*/agenttasks/{task}/status",
        lambda body, _: (
            body["status"].get("credentialGeneration") == generation and "endTime" not in body["status"]
        ),
    )


def _event(reason: str) -> Write:
    return Write(
        "POST",
        ".*/events",
        lambda body, task: body["regarding"]["name"] == task and body["reason"] == reason,
    )


def _holds_something(body: Body) -> bool:
    return any((body.get("data") or {}).values())


WRITES: Final[Mapping[str, Write]] = {
    "issue_status": _status(1),
    "issue_secret": Write(
        "POST", ".*/secrets", lambda body, task: body["metadata"]["name"] == f"agentid-{task}"
    ),
    "issue_event": _event("CredentialIssued"),
    "renewal_status": _status(2),
    "renewal_secret": Write("PUT", ".*/secrets/agentid-{task}", lambda body, _: _holds_something(body)),
    "renewal_event": _event("CredentialRenewed"),
    "end_status": Write("PATCH", ".*/agenttasks/{task}/status", lambda body, _: "endTime" in body["status"]),
    "end_wipe": Write(
        "PUT", ".*/secrets/agentid-{task}", lambda body, _: not _holds_something(body), pod=True
    ),
    "end_delete": Write("DELETE", ".*/secrets/agentid-{task}", lambda _, __: True),
    "end_event": _event("TaskEnded"),
}
"""Every write of issue, renewal and end."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one write.

    Attributes:
        committed: Whether the API server does it.
        answer: What is answered; None: the connection is cut.
    """

    committed: bool = False
    answer: Answer | None = None


_QUOTA_RACE: Final = Answer(
    409,
    "Conflict",
    'Operation cannot be fulfilled on resourcequotas "few": the object has been modified; '
    "please apply your changes to the latest version and try again",
)
_BUSY: Final = Answer(
    429, "TooManyRequests", "the server has received too many requests", RETRY_AFTER_SECONDS
)
_FAILED: Final = Answer(500, "InternalError", "etcdserver: request timed out")

FAULTS: Final[Mapping[str, Fault]] = {
    "cut_before_commit": Fault(),
    "cut_after_commit": Fault(committed=True),
    "conflict_409": Fault(answer=_QUOTA_RACE),
    "too_many_429": Fault(answer=_BUSY),
    "error_500_after_commit": Fault(committed=True, answer=_FAILED),
}


def life(fault: str, write: str) -> str:
    """The name of the task at whose write the fault happens."""
    return f"{fault}.{write}".replace("_", "-").replace(".", "--")


def trap_at(write: str, task: str, *, committed: bool = False, answer: Answer | None = None) -> Trap:
    """A trap at that write of that task."""
    where = WRITES[write]
    return Trap(
        where.method,
        where.path.format(task=task),
        answered=committed,
        is_it=lambda body: where.is_it(body, task),
        answer=answer,
    )


def hanging(write: str, task: str) -> Trap:
    """A trap that holds that write of that task for so long, and hands it on then."""
    made, over = trap_at(write, task), Event()

    def hang() -> None:
        timer = Timer(HANG_SECONDS, over.set)
        timer.daemon = True
        timer.start()

    made.spring, made.let_go = hang, over
    return made


def traps(faults: Iterable[str]) -> dict[tuple[str, str], Trap]:
    """A trap for each fault at each write."""
    return {
        (fault, write): trap_at(
            write, life(fault, write), committed=FAULTS[fault].committed, answer=FAULTS[fault].answer
        )
        for fault in faults
        for write in WRITES
    }


def with_pods() -> set[str]:
    """The tasks that need a pod that lives."""
    return {
        life(fault, write) for fault in (*FAULTS, "hang_90s") for write, each in WRITES.items() if each.pod
    }
