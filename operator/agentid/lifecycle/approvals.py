"""Which approvals count for a task as it is asked for now, and who would not be believed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from agentid.api.agentapproval import AgentApprovalSpec, Decision
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import hash_of, spec_hash
from agentid.lifecycle.lineage import delegator, title
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.lifecycle.wording import at, name, names


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """One AgentApproval as last seen. `spec` is None where the object does not fit its model."""

    name: str
    deleting: bool
    spec: AgentApprovalSpec | None


@dataclass(frozen=True, slots=True)
class Request:
    """What an approval has to be of.

    Attributes:
        namespace: Namespace of the task.
        name: Name of the task.
        uid: UID of the task.
        spec_hash: Hash of what it asks for now.
        intent_generation: When its intent was last changed.
        barred: Whose yes does not count, by user name, with why.
    """

    namespace: str
    name: str
    uid: str
    spec_hash: str
    intent_generation: int
    barred: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Approver:
    """A person whose approval counts, with the groups that they had when they gave it."""

    username: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """What the approvals of a task come to.

    Attributes:
        approvers: The distinct people whose yes counts, by user name; none where somebody says no.
        denied: Who says no, and why; None: nobody.
        until: When the first yes that counts expires; None: none does.
        passed_over: Each approval of this task that does not count, by its name, with why.
    """

    approvers: tuple[Approver, ...] = ()
    denied: str | None = None
    until: datetime | None = None
    passed_over: tuple[tuple[str, str], ...] = ()


def request_of(task: TaskFacts, lineage: Lineage) -> Request | None:
    """Return what an approval of a task has to be of; None where nobody is known to have asked for it."""
    if task.spec is None or task.spec.requester is None:
        return None
    return Request(
        namespace=task.namespace,
        name=task.name,
        uid=task.uid,
        spec_hash=spec_hash(task.spec),
        intent_generation=task.spec.requester.intent_generation,
        barred=dict(_barred(task, task.spec, lineage)),
    )


def consent(request: Request, approvals: Iterable[ApprovalFacts], now: datetime) -> Consent:
    """Return what `approvals`, of whatever tasks they are, come to for this one.

    A no counts whenever it was said and whoever says yes, until it is deleted: so a later one ends what an
    earlier yes allowed. A person counts once, however often they say it.
    """
    # The right to approve was asked for under the name, so that one which names another task is none of this
    # one's, whatever its UID. In the order of their names, so that the same approvals always say the same.
    of_this_name = sorted(
        (each for each in approvals if each.spec is not None and each.spec.task_ref.name == request.name),
        key=lambda each: each.name,
    )
    judged = [(each, _why_not(request, each, now)) for each in of_this_name]
    passed_over = tuple((each.name, why) for each, why in judged if why is not None)
    counting = [each.spec for each, why in judged if why is None and each.spec is not None]
    no = next((each for each in counting if each.decision is Decision.DENY), None)
    if no is not None:
        return Consent(denied=_denial(no), passed_over=passed_over)
    return Consent(
        approvers=tuple(_people(counting)),
        until=min((each.expires_at for each in counting if each.expires_at), default=None),
        passed_over=passed_over,
    )


def who_may_approve(request: Request) -> str:
    """Say who may approve a task."""
    holders = f'who has the verb "approve" on agenttasks/{request.name} in {request.namespace} '
    return f"{holders}(ClusterRole agentid-approver), except {names(sorted(request.barred))}"


def _barred(task: TaskFacts, spec: AgentTaskSpec, lineage: Lineage) -> Iterator[tuple[str, str]]:
    for each in reversed(lineage.ancestors):
        if each.spec is not None and each.spec.requester is not None:
            yield each.spec.requester.username, f"asked for {title(each)}, which it is under"
    for person in {spec.on_behalf_of, delegator(task, lineage)} - {None}:
        yield str(person), "is who it is done for"
    if spec.requester is not None:
        yield spec.requester.username, "asked for it"


def _why_not(request: Request, approval: ApprovalFacts, now: datetime) -> str | None:
    """Say why an approval counts for nothing; None if it counts."""
    if approval.spec is None:
        return "it cannot be read by this version of agentid"
    objections = _to_any(request, approval.spec)
    if (why := next(objections, None)) is not None or approval.spec.decision is Decision.DENY:
        return why
    if approval.deleting:
        return "it is being deleted"
    return next(_to_a_yes(request, approval.spec, now), None)


def _to_any(request: Request, said: AgentApprovalSpec) -> Iterator[str]:
    if said.task_ref.uid != request.uid:
        yield f"it is about another task of that name, with UID {said.task_ref.uid}"
    if said.intent_generation != request.intent_generation:
        yield "it is about an intent that the task has not now"
    if said.approver is None:
        yield "nobody is known to have given it"


def _to_a_yes(request: Request, said: AgentApprovalSpec, now: datetime) -> Iterator[str]:
    if said.spec_hash != request.spec_hash:
        yield "it is about a spec that the task has not now"
    if hash_of(said.projection) != said.spec_hash:
        yield "its projection is not what its specHash is of"
    who = said.approver.username if said.approver else ""
    if (why := request.barred.get(who)) is not None:
        yield f"{name(who)} {why}"
    if said.expires_at is None:
        yield "it does not say until when it counts"
    elif said.expires_at <= now:
        yield f"it has expired at {at(said.expires_at)}"


def _people(counting: Iterable[AgentApprovalSpec]) -> Iterator[Approver]:
    groups: dict[str, set[str]] = {}
    for each in counting:
        if each.approver is not None:
            groups.setdefault(each.approver.username, set()).update(each.approver.groups)
    for username in sorted(groups):
        yield Approver(username, tuple(sorted(groups[username])))


def _denial(said: AgentApprovalSpec) -> str:
    who = name(said.approver.username) if said.approver else "somebody"
    return f"denied by {who}: {name(said.comment)}" if said.comment else f"denied by {who}"
