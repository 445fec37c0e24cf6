"""`agentid why`: what was decided about a task, by whom, on which facts, and what would change it."""

from collections.abc import Iterator
from dataclasses import dataclass

import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.api.reasons import ConditionType, RunReason, WaitReason
from agentid.cli.asking import Verdict, action_of, ask, explained, in_force, is_live, observe
from agentid.cli.errors import NotSeenError, finish
from agentid.cli.options import Output
from agentid.cli.printing import paragraphs, printer, told
from agentid.cli.selecting import named
from agentid.cli.session import Session, session
from agentid.cli.sources import Source
from agentid.cli.surroundings import Assumed, Surroundings, look_around
from agentid.cli.telling import Row, as_json, asked_for, decided, next_told, task_as_json
from agentid.cli.titles import title_of
from agentid.cli.where import Where
from agentid.cluster.connection import Body
from agentid.lifecycle.approvals import request_of, who_may_approve
from agentid.lifecycle.model import Observation
from agentid.lifecycle.record import condition, current, is_finished
from agentid.policy.explaining import Explanation
from agentid.policy.wording import rule_told
from agentid.process.clocks import Clock


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known about one task.

    Attributes:
        observation: How it stands.
        now: What would be decided now; None where the caller cannot know, or nothing is decided any more.
        explanations: Why that is so.
        unseen: Why the caller cannot know; empty where that is not so.
    """

    observation: Observation
    now: Verdict | None
    explanations: tuple[Explanation, ...]
    unseen: str


def run(where: Where, name: str, assumed: Assumed, output: Output) -> None:
    """Tell why a task stands as it does."""
    finish("why", _why(where, name, assumed, output))


async def _why(where: Where, name: str, assumed: Assumed, output: Output) -> int:
    async with session(where) as here:
        task = await named(here, name)
        asked = await _asked(here, task, assumed)
    if output is Output.TEXT:
        title, style = title_of(asked.observation.task)
        paragraphs(title, style, list(rows(asked)), printer())
        if (commands := commands_of(asked.observation)) is not None:
            typer.echo(f"\n{commands}")
    else:
        typer.echo(told(_answer(asked), output))
    return 0


async def _asked(here: Session, task: Body, assumed: Assumed) -> Asked:
    """Decide anew as far as the caller may see what that takes."""
    namespace = task["metadata"]["namespace"]
    try:
        around = await look_around(here, [task], assumed)
        observation = observe(task, around, Clock().now())
        if not is_live(observation):
            return Asked(observation, None, (), "")
        policies = await Source(True, None).policies(here, namespace, namespace)
    except NotSeenError as error:
        return Asked(observe(task, Surroundings(), Clock().now()), None, (), str(error))
    by = in_force(policies, around, namespace)
    verdict = ask(observation, action_of(observation), by, around)
    return Asked(observation, verdict, explained(verdict, by), "")


def rows(asked: Asked) -> Iterator[Row]:
    """Yield all that is said about the task."""
    facts = asked.observation
    if facts.task.spec is not None:
        yield from asked_for(facts.task.spec, "did" if is_finished(facts) else "may do")
    yield from _recorded(facts)
    if asked.now is not None:
        yield "now", f"asked about {asked.now.action.value}: {asked.now.outcome}"
        if is_changed_since(asked):
            yield "now", "other policies are in force than when the credential was issued"
        recorded = {each.message for each in facts.task.status.conditions}
        yield from (row for row in decided(asked.now, asked.explanations) if row[1] not in recorded)
    if asked.unseen:
        yield "not known", f"to you: what would be decided now; {asked.unseen}"
    yield from _next(facts)


def _recorded(facts: Observation) -> Iterator[Row]:
    """Yield what the operator wrote down."""
    status = facts.task.status
    if facts.task.status_invalid is not None:
        yield "status", f"cannot be read by this version of agentid: {facts.task.status_invalid}"
    told = set()
    for name, kind in (("status", ConditionType.FINISHED), ("decided", ConditionType.APPROVED)):
        said = condition(status, kind)
        if said is not None and said.message not in told:
            told.add(said.message)
            yield name, f"{said.reason} since {format_time(said.last_transition_time)}: {said.message}"
    if (newest := current(facts)) is not None:
        pod = f", in pod {status.bound_pod.name}" if status.bound_pod is not None else ""
        yield "credential", f"serial {newest.serial} until {format_time(newest.not_after)}{pod}"
    if status.decision is not None:
        by = "; ".join(map(rule_told, status.decision.policies))
        yield "issued by", f"{status.decision.action} at {format_time(status.decision.at)}: {by}"
    if (status.observed_generation or 0) < facts.task.generation:
        yield "pending", "it was changed, and the operator has not acted on that yet"


def _next(facts: Observation) -> Iterator[Row]:
    """Yield what can be done about it, where the messages do not say it."""
    finished = condition(facts.task.status, ConditionType.FINISHED)
    here = f"{facts.task.name} -n {facts.task.namespace}"
    where = f"{here} --reason …"
    if finished is None:
        yield "next", "agentid doctor says whether an operator works here"
    elif finished.status == "True":
        return
    elif finished.reason == WaitReason.AWAITING_APPROVAL:
        request = request_of(facts.task, facts.family.lineage)
        if request is not None and facts.family.lineage.flaw is None:
            yield "who may approve", who_may_approve(request)
    elif finished.reason == WaitReason.APPROVAL_DENIED:
        yield "next", f"agentid approvals {here}   shows who said no, to what"
    elif finished.reason == WaitReason.SUSPENDED:
        yield "next", f"agentid resume {where}"
    elif finished.reason == RunReason.RUNNING:
        yield "next", f"agentid suspend {where}   or   agentid end {where}"


def commands_of(facts: Observation) -> str | None:
    """Return by which commands a task that waits for an approval is approved or denied; None: it does not."""
    finished = condition(facts.task.status, ConditionType.FINISHED)
    if finished is None or finished.status == "True" or finished.reason != WaitReason.AWAITING_APPROVAL:
        return None
    request = request_of(facts.task, facts.family.lineage)
    spec_hash = request.spec_hash if request is not None else None
    return next_told(facts.task.name, facts.task.namespace, spec_hash)


def is_changed_since(asked: Asked) -> bool:
    """Whether other policies are in force now than the newest credential was issued by."""
    then = asked.observation.task.status.decision
    now = asked.now.answer.judgement.digest if asked.now is not None and asked.now.answer is not None else ""
    return then is not None and bool(now) and then.digest != now


def _answer(asked: Asked) -> JsonValue:
    facts = asked.observation
    status = facts.task.status
    conditions: list[JsonValue] = [each.model_dump(mode="json", by_alias=True) for each in status.conditions]
    now: JsonValue = as_json(asked.now, asked.explanations) if asked.now is not None else None
    issued_by: JsonValue = (
        status.decision.model_dump(mode="json", by_alias=True) if status.decision is not None else None
    )
    return {
        "task": task_as_json(facts.task.namespace, facts.task.name, facts.task.spec),
        "title": title_of(facts.task)[0],
        "conditions": conditions,
        "issuedBy": issued_by,
        "now": now,
        "policiesChangedSince": is_changed_since(asked),
        "notKnown": asked.unseen or None,
    }
