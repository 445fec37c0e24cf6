"""What a decision is asked about: typed facts, each as the API server or the cluster tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.policy.vocabulary import Action


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the API server authenticated them."""

    username: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """What a request says of approvals: those that count, or those that are supposed."""

    approved: bool
    approvals: int
    approvers: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, approvers: Iterable[Person]) -> Self:
        """Return what a request says of the approvals of `approvers`; one person counts once."""
        people = tuple(approvers)
        names = frozenset(each.username for each in people)
        return cls(
            bool(names), len(names), names, frozenset(group for each in people for group in each.groups)
        )


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A task above the one that is asked about."""

    name: str
    uid: str
    agent: str
    requester: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the task is: its trust domain, and the labels of the cluster and of its namespace."""

    trust_domain: str
    cluster_labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Secret:
    """For `useSecret`: the AgentSecret that is asked for."""

    name: str
    max_ttl_seconds: int


@dataclass(frozen=True, slots=True)
class Use:
    """For `use`: one call of what the identity is for."""

    operation: str
    target: str | None = None
    tool: str | None = None
    parameters: Mapping[str, str | int | bool] | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that the task is bound to.

    `images` are those of all containers as its spec writes them; `running_images` those that its status
    says run, with digests; empty where none runs yet.
    """

    service_account: str
    images: tuple[str, ...]
    running_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Everything one decision is made on. `now` is data.

    Attributes:
        action: What is to be decided.
        namespace: Namespace of task and Agent.
        agent: The Agent's record.
        task_name: Name of the task.
        task_uid: UID of the task.
        task: What the task asks for.
        requester: Who asks for it; for a template's task its author.
        now: The time of the decision, aware.
        environment: Where the task is.
        pod: The pod that is or will be bound; None: there is none.
        delegator: For whom it is done; None: for nobody but the requester.
        ancestors: The tasks above it, its parent first.
        approvers: The distinct people whose approvals count now.
        break_glass: Whether it is an emergency.
        audiences: Audiences of JWT-SVIDs that the task asks for.
        static_secrets: Static secrets that the task asks for.
        secret: For `useSecret`.
        audience: For `useAudience`.
        use: For `use`.
    """

    action: Action
    namespace: str
    agent: AgentSpec
    task_name: str
    task_uid: str
    task: AgentTaskSpec
    requester: Person
    now: datetime
    environment: Environment
    pod: Pod | None = None
    delegator: str | None = None
    ancestors: tuple[Ancestor, ...] = ()
    approvers: tuple[Person, ...] = ()
    break_glass: bool = False
    audiences: tuple[str, ...] = ()
    static_secrets: tuple[str, ...] = ()
    secret: Secret | None = None
    audience: str | None = None
    use: Use | None = None
