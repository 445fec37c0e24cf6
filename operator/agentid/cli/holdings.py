"""What live credentials a task holds, as its status says, and such tasks counted by whom they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import intern

from agentid.cli.options import By
from agentid.cli.selecting import asker, condition, delegator, which
from agentid.cluster.connection import Body
from agentid.watched.facts import mapping, moment, sequence, text

Owners = Mapping[tuple[str, str], str]
"""Who answers for each Agent, by its namespace and name."""


@dataclass(frozen=True, slots=True)
class Live:
    """One credential that is within its life; `not_after` None: its end cannot be read."""

    serial: str
    not_before: datetime | None
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class Granted:
    """What a live step lets the task's identity do besides."""

    step: str
    actions: tuple[str, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Holding:
    """One task that holds live credentials.

    Attributes:
        namespace: Its namespace.
        task: Its name.
        uid: Its UID.
        agent: Name of its Agent.
        requester: User name of who answers for what it asks for.
        delegator: For whom it is done, of a child the uppermost task's; None: for nobody else.
        spiffe_id: Its identity.
        pod: Name of the pod that has the credential; None: it is bound to none.
        credentials: The credentials, the newest last.
        grants: Live steps.
        static_secrets: Names of the static secrets beside the newest credential.
    """

    namespace: str
    task: str
    uid: str
    agent: str
    requester: str
    delegator: str | None
    spiffe_id: str
    pod: str | None
    credentials: tuple[Live, ...]
    grants: tuple[Granted, ...]
    static_secrets: tuple[str, ...]

    @property
    def expires(self) -> datetime | None:
        """When the last of its credentials expires; None: that cannot be read."""
        ends = [each.not_after for each in self.credentials]
        known = [each for each in ends if each is not None]
        return max(known) if len(known) == len(ends) else None

    def expires_by(self, then: datetime) -> bool:
        """Whether all that it holds may have expired by then."""
        return self.expires is None or self.expires <= then


def holding_of(body: Body, now: datetime) -> Holding | None:
    """Return what a task holds; None: it is over, or holds nothing whose life is not past.

    One that is being deleted holds what it has until the operator has taken it away. What cannot be read, as
    of a newer version of agentid, counts as live.
    """
    status, spec = mapping(body.get("status")), mapping(body.get("spec"))
    credentials = tuple(
        each for each in map(_credential, sequence(status.get("credentials"))) if _lives(each.not_after, now)
    )
    if not credentials or condition(body, "Finished").get("status") == "True":
        return None
    namespace, name = which(body)
    held = (text(mapping(each).get("name")) for each in sequence(status.get("staticSecrets")))
    return Holding(
        namespace=intern(namespace),
        task=name,
        uid=text(mapping(body.get("metadata")).get("uid")),
        agent=intern(text(mapping(spec.get("agentRef")).get("name"))),
        requester=intern(asker(spec)),
        delegator=intern(delegator(body)) or None,
        spiffe_id=text(status.get("spiffeID")),
        pod=text(mapping(status.get("boundPod")).get("name")) or None,
        credentials=credentials,
        grants=tuple(each for each in map(_grant, sequence(status.get("grants"))) if _lives(each.until, now)),
        static_secrets=tuple(map(intern, held)),
    )


def _credential(entry: object) -> Live:
    fields = mapping(entry)
    return Live(text(fields.get("serial")), moment(fields.get("notBefore")), moment(fields.get("notAfter")))


def _grant(entry: object) -> Granted:
    fields = mapping(entry)
    actions = tuple(intern(text(each)) for each in sequence(fields.get("actions")))
    return Granted(text(fields.get("name")), actions, moment(fields.get("until")))


def _lives(until: datetime | None, now: datetime) -> bool:
    return until is None or until > now


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found: by when, of whom, and what could not be seen."""

    at: datetime
    holdings: Sequence[Holding]
    owners: Owners
    gaps: tuple[str, ...]

    def owner(self, of: Holding) -> str | None:
        """Return who answers for the Agent of a task; None: not known."""
        return self.owners.get((of.namespace, of.agent))


@dataclass(frozen=True, slots=True)
class Group:
    """The live credentials of one agent, owner or delegator.

    Attributes:
        namespace: The namespace of the Agent, where they are counted by agent; else nothing.
        of: Name of the Agent, the owner or the delegator; None: none, or not known.
        tasks: How many tasks hold some.
        credentials: How many there are.
        first: When the first task has none left, if it gets no other; None: not known.
        last: When the last task has none left, likewise.
    """

    namespace: str
    of: str | None
    tasks: int
    credentials: int
    first: datetime | None
    last: datetime | None


def grouped(holdings: Iterable[Holding], by: By, owners: Owners) -> list[Group]:
    """Return them counted, those with the most tasks first."""
    sorted_out: dict[tuple[str, str | None], list[Holding]] = {}
    for each in holdings:
        sorted_out.setdefault(_key(each, by, owners), []).append(each)
    groups = [_group(key, members) for key, members in sorted_out.items()]
    return sorted(groups, key=lambda each: (-each.tasks, each.namespace, each.of or ""))


def _key(holding: Holding, by: By, owners: Owners) -> tuple[str, str | None]:
    if by is By.AGENT:
        return holding.namespace, holding.agent
    return "", holding.delegator if by is By.DELEGATOR else owners.get((holding.namespace, holding.agent))


def _group(key: tuple[str, str | None], members: list[Holding]) -> Group:
    ends = [each.expires for each in members]
    known = [each for each in ends if each is not None]
    whole = len(known) == len(ends)
    return Group(
        *key,
        tasks=len(members),
        credentials=sum(len(each.credentials) for each in members),
        first=min(known) if whole else None,
        last=max(known) if whole else None,
    )
