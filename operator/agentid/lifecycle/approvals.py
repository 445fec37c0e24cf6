"""Which approvals count for a task as it is asked for now, and who would not be believed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from agentid.api.agentapproval import AgentApprovalSpec, Decision
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import hash_of, spec_hash
from agentid.lifecycle.consent import NOBODYS, Approver, Consent
from agentid.lifecycle.lineage import delegator, title
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.lifecycle.wording import at, name, names

_MOST_TOLD: Final = 3
"""How many approvals that do not count are told of."""


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """One AgentApproval as last seen.

    Attributes:
        name: Its name.
        task: Name of the task that it is about.
        deleting: Whether it is being deleted.
        spec: What it says, without its text; None where it does not fit its model.
        is_whole: Whether its text is what its hash is of.
    """

    name: str
    task: str
    deleting: bool
    spec: AgentApprovalSpec | None
    is_whole: bool

    @classmethod
    def of(cls, name: str, task: str, spec: AgentApprovalSpec | None, *, deleting: bool) -> Self:
        """Return the facts; the text, which may be long, is compared with its hash and not kept."""
        if spec is None:
            return cls(name, task, deleting, None, is_whole=False)
        is_whole = hash_of(spec.projection) == spec.spec_hash
        return cls(name, task, deleting, spec.model_copy(update={"projection": ""}), is_whole)


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


def consent_to(
    task: TaskFacts, lineage: Lineage, approvals: Iterable[ApprovalFacts], now: datetime
) -> Consent:
    """Return what `approvals` come to for a task as it is asked for now; an emergency asks for none."""
    request = request_of(task, lineage)
    if request is None or (task.spec is not None and task.spec.break_glass is not None):
        return NOBODYS
    return consent(request, approvals, now)


def consent(request: Request, approvals: Iterable[ApprovalFacts], now: datetime) -> Consent:
    """Return what `approvals`, of whatever tasks they are, come to for this one.

    A no counts whenever it was said and whoever says yes, until it is deleted: so a later one ends what an
    earlier yes allowed. A person counts once, however often they say it.
    """
    all_of_them = judged(request, approvals, now)
    if (unread := next((each for each, _ in all_of_them if each.spec is None), None)) is not None:
        # It may be a no.
        return Consent(denied=f"AgentApproval {unread.name} cannot be read by this version of agentid")
    passed_over = tuple((each.name, why) for each, why in all_of_them if why is not None)
    counting = [each.spec for each, why in all_of_them if why is None and each.spec is not None]
    no = next((each for each in counting if each.decision is Decision.DENY), None)
    if no is not None:
        return Consent(denied=_denial(no), passed_over=passed_over)
    return Consent(
        approvers=tuple(_people(counting)),
        until=min((each.expires_at for each in counting if each.expires_at), default=None),
        passed_over=passed_over,
    )


def judged(
    request: Request, approvals: Iterable[ApprovalFacts], now: datetime
) -> list[tuple[ApprovalFacts, str | None]]:
    """Return those of `approvals` that name this task, each with why it counts for nothing; None: it counts.

    The right to approve was asked for under the name, so that one which names another task is none of this
    one's, whatever its UID. In the order of their names, so that the same approvals always say the same.
    """
    of_this_name = (each for each in approvals if each.task == request.name)
    return [(each, _why_not(request, each, now)) for each in sorted(of_this_name, key=lambda each: each.name)]


def who_may_approve(request: Request) -> str:
    """Say who may approve a task."""
    holders = f'who has the verb "approve" on agenttasks/{request.name} in {request.namespace} '
    return f"{holders}(ClusterRole agentid-approver), except {names(sorted(request.barred))}"


def what_is_awaited(request: Request, given: Consent) -> str:
    """Say whose approval of what exactly a task waits for, who has given theirs, and which do not count."""
    so_far = names(each.username for each in given.approvers)
    parts = [
        f"Approved so far by {so_far}." if so_far else "",
        f"It is approved as it is now (intent {request.intent_generation}, {request.spec_hash})",
        f"by {who_may_approve(request)}.",
        *(f"AgentApproval {each} does not count: {why}." for each, why in given.passed_over[:_MOST_TOLD]),
    ]
    return " ".join(filter(None, parts))


def _barred(task: TaskFacts, spec: AgentTaskSpec, lineage: Lineage) -> Iterator[tuple[str, str]]:
    for each in reversed(lineage.ancestors):
        if each.spec is not None:
            yield from ((who, f"{did} {title(each)}, which it is under") for who, did in _behind(each.spec))
    for person in {spec.on_behalf_of, delegator(task, lineage)} - {None}:
        yield str(person), "is who it is done for"
    yield from ((who, f"{did} it") for who, did in _behind(spec))


def _behind(spec: AgentTaskSpec) -> Iterator[tuple[str, str]]:
    """Yield who had a hand in what is asked for, and what they did; a template's author had one for good."""
    if spec.template_ref is not None:
        yield spec.template_ref.author.username, "wrote the template of"
    if spec.requester is not None:
        yield spec.requester.username, "asked for"


def _why_not(request: Request, approval: ApprovalFacts, now: datetime) -> str | None:
    """Say why an approval counts for nothing; None if it counts."""
    said = approval.spec
    if said is None or (why := next(_to_any(request, said), None)) is not None:
        return "it cannot be read" if said is None else why
    if said.decision is Decision.DENY:
        return None
    return next(_to_a_yes(request, approval, said, now), None)


def _to_any(request: Request, said: AgentApprovalSpec) -> Iterator[str]:
    if said.task_ref.uid != request.uid:
        yield f"it is about another task of that name, with UID {said.task_ref.uid}"
    if said.intent_generation != request.intent_generation:
        yield "it is about an intent that the task has not now"
    if said.approver is None:
        yield "nobody is known to have given it"


def _to_a_yes(
    request: Request, approval: ApprovalFacts, said: AgentApprovalSpec, now: datetime
) -> Iterator[str]:
    if approval.deleting:
        yield "it is being deleted"
    if said.spec_hash != request.spec_hash:
        yield "it is about a spec that the task has not now"
    if not approval.is_whole:
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
