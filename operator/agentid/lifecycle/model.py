"""What the life of a task is decided on (`Observation`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from agentid.api.agent import AgentSpec
from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.lifecycle.consent import NOBODYS, Consent


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One AgentTask as last seen.

    `spec` is None where the object does not fit its model (a newer or tampered one): nothing is issued for
    it, and `invalid` says why. `status_invalid` says why the status could not be read, which is then unknown
    rather than empty. `resource_version` is what a status write is conditioned on.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    spec: AgentTaskSpec | None
    status: AgentTaskStatus
    invalid: str | None = None
    status_invalid: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The tasks above one, its parent first, as far as they could be followed (`lineage.follow`).

    `flaw` says why they do not lead up to a task without a parent; None: they do, or there is no parent.
    """

    ancestors: tuple[TaskFacts, ...] = ()
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """A child of a task, as far as that task counts it.

    `is_over`: it has ended, or will as soon as it is looked at. `has_begun`: it has or had a credential, or
    its grant. `is_refused`: it was looked at, and never was found good: its authority is not from that task.
    """

    uid: str
    is_step: bool
    is_over: bool
    has_begun: bool
    is_refused: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The Agent that the task names, as last seen. `spec` is None where the object does not fit its model."""

    uid: str
    deleting: bool
    spec: AgentSpec | None


@dataclass(frozen=True, slots=True)
class StaticSecretFacts:
    """One static secret that the task asks for, as last seen; never its value.

    `spec` is that of its AgentSecret, None where there is none that can be read. `version` is that of the
    value, None while it is not known. `problem` says why the value is not there, with what to do.
    """

    name: str
    spec: AgentSecretSpec | None
    version: str | None = None
    problem: str | None = None


class PodPhase(Enum):
    """`status.phase` of a pod."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class PodEnd(Enum):
    """Why a pod ends, as far as its status tells (`status.reason`, condition DisruptionTarget)."""

    UNSAID = "unsaid"
    EVICTED = "evicted"
    NODE_LOST = "node lost"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod that carries the task's label, or is still bound to it after losing the label.

    `scheduled`: it has a node. `leaving`: it has a deletionTimestamp; `gone_by` is then the end of its
    grace. `containers_ended`: no container of it runs or can start again. `controllers` are the UIDs of its
    controlling owners, nearest first, as far as they could be followed. `images` are those of all containers
    as written in its spec, `running_images` those that its status says run. `all_run`: each container runs
    or has run, sidecars too, but no other init container and no ephemeral one has to, so that nothing is
    missing there. `fingerprint` is a digest over the names and images of all containers as written in its
    spec, ephemeral ones included, and the UID of its controlling owner. `template` is the template that it
    asks for a task of, by its label.
    """

    name: str
    uid: str
    service_account: str
    node: str | None
    phase: PodPhase
    labelled: bool
    leaving: bool
    gone_by: datetime | None
    containers_ended: bool
    end: PodEnd
    controllers: tuple[str, ...]
    fingerprint: str
    created: datetime
    template: str | None = None
    images: tuple[str, ...] = ()
    running_images: tuple[str, ...] = ()
    all_run: bool = False

    @property
    def scheduled(self) -> bool:
        """Whether a node was chosen for it."""
        return self.node is not None

    @property
    def finished(self) -> bool:
        """Whether it has run to its end (`Succeeded` or `Failed`)."""
        return self.phase in {PodPhase.SUCCEEDED, PodPhase.FAILED}


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks that one stands among.

    Attributes:
        lineage: Those above it.
        ahead: How many live children of its parent, of its sort, come before it.
        steps: Its own children that are steps and have begun.
        parents_pod: For a step, the pod that it is done in: the one that its parent is bound to.
    """

    lineage: Lineage = Lineage()
    ahead: int = 0
    steps: tuple[TaskFacts, ...] = ()
    parents_pod: PodFacts | None = None


class WorkloadState(Enum):
    """How the object in `workload.ref` stands."""

    NOT_NAMED = "not named"
    KIND_NOT_ALLOWED = "kind not allowed"
    NOT_FOUND = "not found"
    LIVE = "live"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """The object in `workload.ref`: its state, its UID where it exists, and what it says of its end."""

    state: WorkloadState
    uid: str | None = None
    message: str = ""


class SecretState(Enum):
    """What is known of the task's Secret without ever reading it."""

    ABSENT = "absent"
    """Not there: never made, or deleted by us."""
    FILLED = "filled"
    """Holds the credential of `SecretFacts.generation`."""
    EMPTIED = "emptied"
    """Its values are empty since `SecretFacts.emptied_at`."""
    DOUBTFUL = "doubtful"
    """A write may or may not have happened: an operator stopped or an answer was lost near it."""
    TAKEN = "taken"
    """The reserved name is held by a Secret that is not this task's. It is probed again and again; where a
    probe finds it taken still, a `FailedWrite` says when to probe next."""


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """See `SecretState`; `generation` only where FILLED, `emptied_at` only where EMPTIED.

    `predecessors`, only where TAKEN: it is known to be of an earlier task of this name, and goes by itself.
    `overtaken`, only where DOUBTFUL: another operator recorded a credential, which is looked for.
    `unanswered_at`: it was then asked to be created, credential and all, and that may still be carried out.
    """

    state: SecretState
    generation: int | None = None
    emptied_at: datetime | None = None
    predecessors: bool = False
    overtaken: bool = False
    unanswered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why nothing may be issued to anybody now (admission not in force, no CA): a sentence with a remedy."""

    message: str


class PolicyAction(Enum):
    """What policy is asked about a task; the names of the actions in policies."""

    ISSUE = "issue"
    RENEW = "renew"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What policy says of a task at `Observation.now`.

    Attributes:
        action: What it was asked about.
        allowed: Whether that is allowed.
        message: By what, or why not and what to do. It reads the same for the same answer at another time.
        policies: The rules that determined it.
        digest: The digest of all policies that were asked.
        awaits_approval: It is denied, and would be allowed if it were approved.
        in_doubt: It is denied because it could not be found out, which may pass.
        holds_until: When it is to be asked again although nothing changes; None: never.
        secrets: The static secrets that it allows too.
    """

    action: PolicyAction
    allowed: bool
    message: str
    policies: tuple[str, ...] = ()
    digest: str = ""
    awaits_approval: bool = False
    in_doubt: bool = False
    holds_until: datetime | None = None
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FailedWrite:
    """The last attempt to write, empty, delete or probe this task's Secret failed.

    Nothing is tried again before `retry_at`; what happens at an end or a revocation itself waits for nothing.
    A write that succeeds clears it. `message` is shown to people and says what to do, without times.
    `refused`: it was to be filled, and that was answered by a refusal, so that it certainly was not. `again`:
    it was not the first failure in a row.
    """

    message: str
    retry_at: datetime
    refused: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the installation sets: durations, and the identity's trust domain as it is written in an ID."""

    trust_domain: str
    wipe_grace: timedelta
    max_ttl: timedelta
    max_active_deadline: timedelta
    max_break_glass: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything one decision is made on. `now` is data; `pods` are all that could hold the credential.

    `judgement` is None where policy was not asked (`permission.asks`); nothing is issued without one.
    `crowded` says why there is no room for one more active task, of its namespace or its Agent.
    """

    now: datetime
    task: TaskFacts
    agent: AgentFacts | None
    pods: tuple[PodFacts, ...]
    workload: WorkloadFacts
    secret: SecretFacts
    limits: Limits
    family: Family = Family()
    consent: Consent = NOBODYS
    judgement: Judgement | None = None
    blocked: Blocked | None = None
    failed_write: FailedWrite | None = None
    static_secrets: tuple[StaticSecretFacts, ...] = ()
    crowded: str | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """An AgentTask that is gone while its Secret or pods may remain."""

    now: datetime
    secret: SecretFacts
    pods: tuple[PodFacts, ...]
    limits: Limits
