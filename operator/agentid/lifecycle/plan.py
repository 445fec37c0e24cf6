"""What is to be done about a task (`Plan`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from agentid.api.agenttask_status import AgentTaskStatus, BoundPod
from agentid.api.reasons import EventAction, EventReason, IssueReason
from agentid.lifecycle.model import PodFacts


class SecretAction(Enum):
    """What is to be done with the task's Secret."""

    NONE = "none"
    FILL = "fill"
    """Write the credential of `Plan.issue` (after the status was written)."""
    EMPTY = "empty"
    """Replace its values by empty ones; afterwards its state is EMPTIED, or ABSENT if it was not there."""
    HOLD = "hold"
    """The same, but one that was not there is made, empty, so that what still comes finds the name taken."""
    DELETE = "delete"
    """Delete it, with its UID as precondition; after a restart that takes an EMPTY first."""
    PROBE = "probe"
    """Find out by dry runs whether it is there and whose it is. Afterwards its state is ABSENT, TAKEN, or, if
    it is this task's, FILLED with the status' credential. What was sure, or is in doubt between several
    credentials, stays so: then it says whether a write would be taken now, before a key is made for it."""


WIPES: Final = frozenset({SecretAction.EMPTY, SecretAction.HOLD, SecretAction.DELETE})
"""What takes a credential out of the Secret."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An Event (events.k8s.io/v1) to send once the rest of the pass is done. `note` is at most 1 kB.

    It is related to `related_pod`, or with `related_secret` to the Secret that has the task's reserved name.
    """

    reason: EventReason
    action: EventAction
    warning: bool
    note: str
    related_pod: BoundPod | PodFacts | None = None
    related_secret: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The status to write and the Event that tells of it. The status is written only where it differs."""

    status: AgentTaskStatus
    event: EventDraft | None = None


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """A credential to make: for whom, why, and how long it may live at the most.

    `ttl` is the wanted life from now, `not_after_limit` the task's deadline, or the end of the newest
    credential that counts, where it `prolongs` nothing. `generation` is one more than any credential this
    task ever had. `static_secrets` are to be written beside it.
    """

    why: IssueReason
    spiffe_id: str
    generation: int
    pod: PodFacts | None
    ttl: timedelta
    not_after_limit: datetime
    static_secrets: tuple[str, ...] = ()
    prolongs: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass does, in this order: make the credential, write the status, act on the Secret, tell.

    `report` is None exactly when there is an `issue` (`reporting.issued` makes the report once the
    credential is there), when the task is gone, or when its status cannot be read. `delete_task` removes the
    finished object. `wake_at` is when to look again although nothing happened; None: only when something
    does. `turns_at` is when policy has to be asked again, as its answer may turn with time: for many tasks at
    once, on a full hour. After a plan that did anything, decide again on the new facts: only a plan that does
    nothing has the last word on these times. What waits because of `Blocked` has to be decided again when
    that changes, and what `awaits_room` when there is some.
    """

    rule: str
    report: Report | None
    issue: IssueOrder | None = None
    secret: SecretAction = SecretAction.NONE
    delete_task: bool = False
    awaits_room: bool = False
    wake_at: datetime | None = None
    turns_at: datetime | None = None
