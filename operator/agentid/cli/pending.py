"""What a task that waits for approvals looks like to those who may give them, judged as the operator does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentid.api.agentapproval import Decision
from agentid.api.reasons import WaitReason
from agentid.api.spec_hash import hash_of
from agentid.cli.authority import look_above, look_for_approvals
from agentid.cli.rights import reading
from agentid.cli.selecting import condition, is_over, standing, which
from agentid.cli.session import Session
from agentid.cluster.connection import Body
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import APPROVALS, TASKS
from agentid.cluster.watching import list_chunks
from agentid.controller.approvals import Approvals
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.approvals import ApprovalFacts, Request, consent_to, judged, request_of
from agentid.lifecycle.consent import Consent
from agentid.lifecycle.lineage import follow
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.policy.wording import need_told
from agentid.watched.facts import mapping, moment, text

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Word:
    """One person's yes or no to a task.

    Attributes:
        facts: What it says.
        why_not: Why it counts for nothing; None: it counts.
        said_at: When it was said; None: nobody knows.
        projection: What was looked at, where that is what its hash is of; otherwise empty.
    """

    facts: ApprovalFacts
    why_not: str | None
    said_at: datetime | None
    projection: str

    @property
    def username(self) -> str:
        """Who said it; empty where that is not known."""
        spec = self.facts.spec
        return spec.approver.username if spec is not None and spec.approver is not None else ""

    @property
    def is_yes(self) -> bool:
        """Whether it is a yes, be it one that counts or not."""
        return self.facts.spec is not None and self.facts.spec.decision is Decision.APPROVE


@dataclass(frozen=True, slots=True)
class Pending:
    """One task, what an approval of it has to be of, and what those that there are come to.

    Attributes:
        body: The task as it was sent.
        task: The same, read.
        lineage: The tasks above it.
        request: What an approval has to be of; None where nobody can know, as the task cannot be read.
        now: The API server's time, for which it was judged.
        consent: What the approvals come to; None: the caller may not see them.
        words: The approvals, where they were asked for one by one.
    """

    body: Body
    task: TaskFacts
    lineage: Lineage
    request: Request | None
    now: datetime
    consent: Consent | None
    words: tuple[Word, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether it waits for an approval."""
        return is_waiting(self.body)

    @property
    def message(self) -> str:
        """What the operator says of how it stands."""
        return text(condition(self.body, "Finished").get("message"))

    @property
    def need(self) -> tuple[str, int] | None:
        """Return what wants approvals, and of how many people; None where the operator does not say so."""
        return need_told(self.message) if self.waits else None

    @property
    def approved_by(self) -> tuple[str, ...] | None:
        """Whose yes counts; None where the caller may not see it."""
        return None if self.consent is None else tuple(each.username for each in self.consent.approvers)

    @property
    def last_approved(self) -> Word | None:
        """Return the newest yes to this very task as it was before; None: there is none.

        A text is believed only where it is what its hash is of, and from nobody whose yes counts for nothing
        here: who asks for a task could make a change of it look small.
        """
        request = self.request
        earlier = [
            each
            for each in self.words
            if request is not None
            and (said := each.facts.spec) is not None
            and each.is_yes
            and each.projection
            and said.task_ref.uid == request.uid
            and said.spec_hash != request.spec_hash
            and each.username not in {"", *request.barred}
        ]
        known = [(each.said_at, each.facts.name, each) for each in earlier if each.said_at is not None]
        return max(known, key=lambda each: each[:2])[2] if known else None


def is_waiting(task: Body) -> bool:
    """Whether a task as it was sent waits for an approval."""
    return standing(task) == WaitReason.AWAITING_APPROVAL and not is_over(task)


async def all_waiting(here: Session, labels: str | None) -> tuple[list[Pending], tuple[str, ...]]:
    """Return the tasks that wait for an approval, and the namespaces whose approvals cannot be seen.

    Raises:
        NotSeenError: the caller may not list tasks.
    """
    now = await here.connection.server_date()
    pages = list_chunks(here.connection, TASKS, here.scope, label_selector=labels or None, tries=_TRIES)
    with reading(here, "list agenttasks.agentid.dev"):
        tasks = sorted([each async for bodies, _ in pages for each in bodies if is_waiting(each)], key=which)
    above = await look_above(here, tasks)
    approvals, unseen = await look_for_approvals(here, sorted({which(each)[0] for each in tasks}))
    found = []
    for body in tasks:
        seen = None if which(body)[0] in unseen else approvals.of(which(body))
        found.append(_pending(body, above, seen, now))
    return found, unseen


async def one(here: Session, body: Body) -> Pending:
    """Return one task with all approvals of its name.

    Raises:
        NotSeenError: the caller may not see a task above it.
    """
    now = await here.connection.server_date()
    above = await look_above(here, [body])
    return judge(body, above, await _approvals_of(here, which(body)), now)


def judge(
    body: Body, above: Mapping[tuple[str, str], TaskFacts], approvals: list[Body] | None, now: datetime
) -> Pending:
    """Return one task with its approvals as the operator judges them.

    Args:
        body: The task.
        above: The tasks above it.
        approvals: The AgentApprovals that name it; None: the caller may not see them.
        now: The time.
    """
    if approvals is None:
        return _pending(body, above, None, now)
    kept = Approvals(lambda _: None)
    for each in approvals:
        kept.take(each)
    by_name = {which(each)[1]: each for each in approvals}
    return _pending(body, above, kept.of(which(body)), now, by_name)


def _pending(
    body: Body,
    above: Mapping[tuple[str, str], TaskFacts],
    approvals: Iterable[ApprovalFacts] | None,
    now: datetime,
    bodies: Mapping[str, Body] | None = None,
) -> Pending:
    task = PackedTask.of(body).facts()
    lineage = follow(task, lambda name: above.get((task.namespace, name)))
    request = request_of(task, lineage)
    if approvals is None:
        return Pending(body, task, lineage, request, now, None)
    known = list(approvals)
    words: tuple[Word, ...] = ()
    if request is not None and bodies is not None:
        words = tuple(_word(bodies[each.name], each, why) for each, why in judged(request, known, now))
    consent = consent_to(task, lineage, known, now)
    return Pending(body, task, lineage, request, now, consent, words)


def _word(body: Body, facts: ApprovalFacts, why_not: str | None) -> Word:
    said_at = moment(mapping(body.get("metadata")).get("creationTimestamp"))
    projection = text(mapping(body.get("spec")).get("projection"))
    is_whole = facts.spec is not None and hash_of(projection) == facts.spec.spec_hash
    return Word(facts, why_not, said_at, projection if is_whole else "")


async def _approvals_of(here: Session, task: tuple[str, str]) -> list[Body] | None:
    """Return the AgentApprovals that name a task; None: the caller may not see them."""
    namespace, name = task
    pages = list_chunks(here.connection, APPROVALS, namespace, tries=_TRIES)
    try:
        return [each async for bodies, _ in pages for each in bodies if _task_of(each) == name]
    except ForbiddenError:
        return None


def _task_of(approval: Body) -> str:
    return text(mapping(mapping(approval.get("spec")).get("taskRef")).get("name"))
