"""What a rule can say of a task: it ends, it waits, a credential is to be made, or all stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

from agentid.api.agenttask_status import Credential
from agentid.api.reasons import EndReason, IssueReason, WaitReason
from agentid.lifecycle.model import PodFacts


@dataclass(frozen=True, slots=True)
class End:
    """The task is over for good; `message` names the cause, and `pod` the pod, where it is not its own."""

    reason: EndReason
    message: str
    pod: PodFacts | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """The task has no credential for now, and one it had is taken away.

    `message` says what it waits for and reads the same in every pass; `cause` says what took a credential
    away, where that is something else. `pod` is the pod that it waits for or that is in the way. `stalled`: a
    person has to mend something. `mends_itself`: what most often is a warning is none here. `quiet`: the
    cause will be told by what comes next, so no Event tells of it. `probe`: find out whether the Secret's
    name is free.
    """

    reason: WaitReason
    message: str
    cause: str | None = None
    pod: PodFacts | None = None
    stalled: bool = False
    mends_itself: bool = False
    quiet: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Issue:
    """A new credential is made; `pod` is who gets it, None for a task that is bound to no pod.

    `prolongs`: it may live longer than the newest one that counts.
    """

    why: IssueReason
    pod: PodFacts | None
    prolongs: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """A step lets its parent's identity do more; `why` says what for it begins, None: it goes on."""

    why: IssueReason | None


@dataclass(frozen=True, slots=True)
class Keep:
    """The task runs on with `credentials`.

    `overdue` says why a renewal that is due cannot be made. `probe`: find out whether the Secret is there.
    """

    credentials: tuple[Credential, ...]
    overdue: str | None = None
    probe: bool = False


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """What became of the task is unknown: nothing is written into it and nothing issued.

    `wipe`: whatever was issued, it may hold no credential now.
    """

    wipe: bool


@dataclass(frozen=True, slots=True)
class StayFinished:
    """The task ended in an earlier pass; what is left is to clean up."""


Verdict = End | Hold | Issue | Grant | Keep | LeaveAlone | StayFinished
