"""Waits until the operator has acted on a yes or no to a task, and says what came of it."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

from agentid.api.reasons import WaitReason
from agentid.cli.orders import Outcome, Result
from agentid.cli.pending import Pending, is_waiting
from agentid.cli.saying import Saying
from agentid.cli.selecting import condition, how_it_ended, is_over, standing
from agentid.cli.session import Session
from agentid.cli.settling import find
from agentid.cluster.connection import Body
from agentid.cluster.errors import ApiAnswerError
from agentid.controller.approvals import Approvals
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.approvals import ApprovalFacts, judged, request_of
from agentid.watched.facts import mapping, text

_POLL_SECONDS: Final = 0.5
BEFORE_A_NO: Final = frozenset(
    {
        WaitReason.SUSPENDED,
        WaitReason.AWAITING_AGENT,
        WaitReason.AWAITING_STATIC_SECRET,
        WaitReason.CEILING_EXCEEDED,
        WaitReason.DELEGATION_REFUSED,
        WaitReason.AWAITING_PARENT,
        WaitReason.TOO_MANY_CHILDREN,
        WaitReason.ISSUANCE_BLOCKED,
    }
)
"""What a task may wait for without its status saying that it was denied; it has no credential then."""


async def heeded(here: Session, saying: Saying, seen: Pending, approval: Body) -> Outcome:
    """Wait until the operator has acted on what was said, and return what came of it.

    Args:
        here: The cluster.
        saying: What was said.
        seen: The task as it was before.
        approval: The AgentApproval as it was created.
    """
    began, unseen = time.monotonic(), None
    facts = facts_of(approval)
    while True:
        passed = time.monotonic() - began
        try:
            task = await find(here, seen.task.namespace, seen.task.name)
            unseen = None
            came = came_of(saying, seen, facts, task, seen.now + timedelta(seconds=passed))
        except ApiAnswerError as error:
            came, unseen = None, error
        if came is not None:
            return came
        if passed > saying.within_seconds:
            return Outcome(seen.body, Result.UNSETTLED, _late(saying, seen, facts, unseen))
        await asyncio.sleep(_POLL_SECONDS)


def facts_of(approval: Body) -> ApprovalFacts:
    """Return an AgentApproval as the operator sees it."""
    metadata, spec = mapping(approval.get("metadata")), mapping(approval.get("spec"))
    task = text(mapping(spec.get("taskRef")).get("name"))
    kept = Approvals(lambda _: None)
    kept.take(approval)
    return kept.of((text(metadata.get("namespace")), task))[0]


def came_of(
    saying: Saying, seen: Pending, said: ApprovalFacts, task: Body | None, now: datetime
) -> Outcome | None:
    """Return what came of what was said, once the operator has acted on it; None: not yet.

    Args:
        saying: What was said.
        seen: The task as it was before.
        said: The approval, as it was created.
        task: The task as it is; None: gone.
        now: The time.
    """
    name = f"AgentTask {seen.task.namespace}/{seen.task.name}"
    me = said.spec.approver.username if said.spec is not None and said.spec.approver is not None else ""
    if task is None or mapping(task.get("metadata")).get("uid") != seen.task.uid:
        return Outcome(seen.body, Result.REFUSED, f"{name} is gone")
    why = text(condition(task, "Finished").get("message"))
    if is_over(task):
        acted = not saying.is_yes or me in _approvers(task)
        ended = f"{name} has ended ({how_it_ended(task)}){f': {why}' if why else ''}"
        return Outcome(task, Result.DONE if acted else Result.REFUSED, ended)
    if (flaw := _does_not_count(seen, said, task, now)) is not None:
        again = f"Look again with `agentid approvals {seen.task.name} -n {seen.task.namespace}`."
        return Outcome(
            task, Result.REFUSED, f"{name}: AgentApproval {said.name} does not count: {flaw}. {again}"
        )
    if standing(task) == WaitReason.APPROVAL_DENIED:
        return Outcome(task, Result.REFUSED if saying.is_yes else Result.DONE, f"{name}: {why}")
    if saying.is_yes:
        return _of_a_yes(seen, task, me)
    waits = standing(task) in BEFORE_A_NO
    return Outcome(task, Result.DONE, f"{name} waits ({standing(task)}): {why}") if waits else None


def _of_a_yes(seen: Pending, task: Body, me: str) -> Outcome | None:
    """Return what came of a yes that counts, as far as the operator's own words show it."""
    why = text(condition(task, "Finished").get("message"))
    name = f"AgentTask {seen.task.namespace}/{seen.task.name}"
    if is_waiting(task):
        if why == seen.message and me not in (seen.approved_by or ()):
            return None
        return Outcome(task, Result.DONE, f"{name} still waits: {why}")
    held_up = condition(task, "Approved").get("status") == "False"
    return Outcome(task, Result.DONE, f"{name} waits ({standing(task)}): {why}" if held_up else "")


def _does_not_count(seen: Pending, said: ApprovalFacts, task: Body, now: datetime) -> str | None:
    """Say why what was said counts for nothing: the task is another one now, or the operator says so."""
    request = request_of(PackedTask.of(task).facts(), seen.lineage)
    if request is None:
        return "the task cannot be read by this version of agentid"
    (_, why), *_ = judged(request, [said], now)
    if why is not None:
        return why
    told = f"AgentApproval {said.name} does not count: "
    _, found, rest = text(condition(task, "Finished").get("message")).partition(told)
    return rest.partition(". AgentApproval ")[0].rstrip(".") if found else None


def _approvers(task: Body) -> list[str]:
    decision = mapping(mapping(task.get("status")).get("decision"))
    found = decision.get("approvers")
    return found if isinstance(found, list) else []


def _late(saying: Saying, seen: Pending, said: ApprovalFacts, problem: ApiAnswerError | None) -> str:
    what = (
        f"no operator has acted on it in {saying.within_seconds:g} s; `agentid doctor` says what is wrong"
        if problem is None
        else f"what came of it cannot be seen: {problem}"
    )
    name = f"AgentTask {seen.task.namespace}/{seen.task.name}"
    return f"{name} was {saying.done} by AgentApproval {said.name}, but {what}"
