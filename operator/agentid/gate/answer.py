"""What the decision point answers: whether, why in one word of a fixed set, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from agentid.policy.decision import Decision


class Reason(StrEnum):
    """Why an answer is as it is. All but ALLOWED deny."""

    ALLOWED = "Allowed"
    NOT_MAPPED = "NotMapped"
    """No configured mapping says which action the call is."""
    NO_IDENTITY = "NoIdentity"
    """The enforcement point named no identity of a task."""
    NAMESPACE_NOT_SERVED = "NamespaceNotServed"
    """Who asks may not ask about tasks of that namespace."""
    CLOCK_IN_DOUBT = "ClockInDoubt"
    """The decision point's own clock is behind the operator's."""
    STALE_VIEW = "StaleView"
    """What is known of the tasks may be out of date."""
    UNKNOWN_TASK = "UnknownTask"
    """No task has this identity."""
    UNREADABLE_TASK = "UnreadableTask"
    """The task is of a form that this version does not know."""
    TASK_ENDED = "TaskEnded"
    TASK_SUSPENDED = "TaskSuspended"
    DEADLINE_PAST = "DeadlinePast"
    NOT_DECIDED = "NotDecided"
    """What the task asks for now is not what was decided on."""
    PARENT_ENDED = "ParentEnded"
    """A task above it is over, suspended or gone."""
    AGENT_OFF = "AgentOff"
    """The task's Agent is gone, switched off or past its review."""
    SERIAL_MISSING = "SerialMissing"
    """Nothing says which credential is used."""
    UNKNOWN_CREDENTIAL = "UnknownCredential"
    """The credential is none of those that count: revoked, or never issued."""
    CREDENTIAL_EXPIRED = "CredentialExpired"
    CREDENTIAL_NOT_YET_VALID = "CredentialNotYetValid"
    POD_GONE = "PodGone"
    """The pod that the credential was given to does not run any more."""
    POD_CHANGED = "PodChanged"
    """It is not what was decided on any more."""
    ACTION_NOT_GRANTED = "ActionNotGranted"
    """The action is neither the task's nor that of a live step."""
    RESOURCE_NOT_GRANTED = "ResourceNotGranted"
    """The resource is none of those that the task, or the step, may be about."""
    POLICY_DENIED = "PolicyDenied"
    APPROVAL_REQUIRED = "ApprovalRequired"
    """Policy would allow it, had it been approved."""
    NOT_RECORDED = "NotRecorded"
    """It would be allowed, but cannot be written down, which is required here."""
    POLICY_IN_DOUBT = "PolicyInDoubt"
    """Policy could not be asked as it should."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a rule says no.

    Attributes:
        reason: In one word.
        message: What an engineer can do about it; nothing of tenants that the asker may not ask about.
    """

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class TaskName:
    """The task that an answer is about."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    Attributes:
        allowed: Whether the call may be made.
        reason: Why, in one word.
        message: Why, for people.
        task: Whose identity it is; None where the task is not known, or who asks may not ask about it.
        step: The step that grants the action; None: it is the task's own.
        policy: What policy decided; None where it was not asked.
    """

    allowed: bool
    reason: Reason
    message: str
    task: TaskName | None = None
    step: TaskName | None = None
    policy: Decision | None = None
