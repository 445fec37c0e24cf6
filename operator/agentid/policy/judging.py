"""What policy says of a task as it was observed: the question, and the answer in a task's own words."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from agentid.lifecycle.consent import Consent
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import Judgement, Observation, PolicyAction
from agentid.lifecycle.permission import is_resumed_as_another, stays_by
from agentid.lifecycle.pods import next_holder
from agentid.lifecycle.record import asked, is_step
from agentid.lifecycle.wording import names
from agentid.policy.decision import Decision, LayerDecision, Reason
from agentid.policy.engine import decide
from agentid.policy.layer import Layer
from agentid.policy.question import Ancestor, Environment, Person, Pod, Question, Secret
from agentid.policy.request import Request, request
from agentid.policy.vocabulary import Action

_IN_DOUBT: Final = frozenset(
    {Reason.POLICY_ERROR, Reason.ENGINE_ERROR, Reason.TOO_MUCH_POLICY, Reason.TOO_MUCH_ASKED}
)
"""Answers that say that it could not be asked as it should, and nothing of whether the task may be."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What the tasks of one namespace are judged by.

    Attributes:
        environment: Where they are.
        cluster: The layer of all ClusterAgentPolicies.
        namespace: The layer of the namespace's AgentPolicies.
        lost: Policies whose accepted text cannot be read, so that it is not known what they forbid.
    """

    environment: Environment
    cluster: Layer
    namespace: Layer
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What policy says of a task, and how it came to that.

    Attributes:
        judgement: What follows for the task.
        asked: What was asked, each with what was decided; empty where nothing could be asked.
    """

    judgement: Judgement
    asked: tuple[tuple[Question, Decision], ...] = ()


def judge(observation: Observation, action: PolicyAction, in_force: InForce) -> Answer:
    """Ask policy whether `action` is allowed for the task.

    Raises:
        ValueError: it is not known who asked for the task, or there is no Agent.
    """
    if in_force.lost:
        # What they forbid is not known, so that nothing is permitted by the others.
        lost = names(in_force.lost)
        said = f"Denied, as the accepted text of {lost} cannot be read by this version of agentid."
        return Answer(doubt(action, said))
    return _with_static_secrets(observation, _of_the_task(observation, action, in_force), in_force)


def requests(answer: Answer) -> tuple[Request, ...]:
    """Return what was asked, as Cedar was asked it, for whoever has a say beside it.

    Where an approval is to be awaited, it reads as if that were given: what is denied all the same need not
    be approved. In an emergency it reads as if it were approved. Whose authority a task takes is part of
    each, so that what `delegate` was asked about is not asked once more.
    """
    return tuple(
        _as_if_approved(request(question), decision)
        for question, decision in answer.asked
        if question.action is not Action.DELEGATE or decision.need is not None
    )


def _as_if_approved(asked: Request, decision: Decision) -> Request:
    if asked.context["breakGlass"] is True:
        return asked.with_consent(replace(asked.consent, approved=True))
    if decision.need is None:
        return asked
    return asked.with_consent(replace(asked.consent, approved=True, approvals=decision.need.approvals))


def doubt(action: PolicyAction, message: str, holds_until: datetime | None = None) -> Judgement:
    """Return a denial of what could not be found out; None: until something changes."""
    return Judgement(action, allowed=False, message=message, in_doubt=True, holds_until=holds_until)


def digest_of(layers: Iterable[LayerDecision]) -> str:
    """Return the digest of all policies that were asked, as a task's status has it."""
    lines = "".join(f"{each.layer} {each.digest}\n" for each in layers)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def question_about(observation: Observation, action: PolicyAction, environment: Environment) -> Question:
    """Return what policy is asked: the task and its Agent as they are, and who asked for it.

    Raises:
        ValueError: it is not known who asked, or there is no Agent.
    """
    task, spec = observation.task, asked(observation)
    agent, requester = observation.agent.spec if observation.agent is not None else None, spec.asker
    if requester is None or agent is None:
        raise ValueError("policy cannot be asked without a requester and an Agent")
    lineage = observation.family.lineage
    # Between two pods it is none: the status names the last one no longer, so a rule would hear of it once.
    holder = next_holder(observation)
    if is_step(task) and lineage.ancestors and (above := lineage.ancestors[0].spec) is not None:
        # It is done where its parent is.
        spec = spec.model_copy(update={"workload": above.workload})
        holder = observation.family.parents_pod
    running = holder.running_images if holder is not None and action is not PolicyAction.ISSUE else ()
    return Question(
        action=Action(action.value),
        namespace=task.namespace,
        agent=agent,
        task_name=task.name,
        task_uid=task.uid,
        task=spec,
        requester=Person(requester.username, tuple(requester.groups)),
        now=observation.now,
        environment=environment,
        pod=None if holder is None else Pod(holder.service_account, holder.images, running),
        delegator=delegator(task, lineage),
        ancestors=tuple(
            Ancestor(each.name, each.uid, each.spec.agent_ref.name, each.spec.asker.username)
            for each in lineage.ancestors
            if each.spec is not None and each.spec.asker is not None
        ),
        approvers=tuple(Person(each.username, each.groups) for each in observation.consent.approvers),
        break_glass=spec.break_glass is not None,
        static_secrets=tuple(each.name for each in spec.static_secrets),
    )


def _of_the_task(observation: Observation, action: PolicyAction, in_force: InForce) -> Answer:
    """Ask about the task but for its static secrets."""
    answer = _answer(observation, action, in_force)
    if answer.judgement.allowed:
        if not is_resumed_as_another(observation):
            return answer
        also = _answer(observation, PolicyAction.ISSUE, in_force)
        return Answer(_both(answer.judgement, also.judgement), answer.asked + also.asked)
    stays = None if answer.asked[0][1].is_said else stays_by(observation)
    if stays is None:
        return answer
    return _until_it_turns(_answer(observation, stays, in_force), answer.judgement)


def _with_static_secrets(observation: Observation, answer: Answer, in_force: InForce) -> Answer:
    """Ask, where the task is allowed, about each of its static secrets too; the first denial counts."""
    for each in observation.static_secrets:
        action = answer.judgement.action
        if not answer.judgement.allowed or each.spec is None:
            return answer
        question = replace(
            question_about(observation, action, in_force.environment),
            action=Action.USE_SECRET,
            secret=Secret(each.name, each.spec.max_ttl_seconds),
        )
        also = _decided(observation, question, action, in_force)
        both = _both(answer.judgement, also.judgement)
        judgement = replace(both, secrets=both.secrets | {each.name}) if both.allowed else both
        answer = Answer(judgement, answer.asked + also.asked)
    return answer


def _answer(observation: Observation, action: PolicyAction, in_force: InForce) -> Answer:
    question = question_about(observation, action, in_force.environment)
    answer = _decided(observation, question, action, in_force)
    if not answer.judgement.allowed or (question.delegator is None and not question.ancestors):
        return answer
    # Its authority is somebody else's, and policy has a say in whether it may be.
    also = _decided(observation, replace(question, action=Action.DELEGATE), action, in_force)
    return Answer(_both(answer.judgement, also.judgement), answer.asked + also.asked)


def _decided(observation: Observation, question: Question, action: PolicyAction, in_force: InForce) -> Answer:
    decision = decide(question, in_force.cluster, in_force.namespace)
    return Answer(_consented(_judgement(action, decision), observation.consent), ((question, decision),))


def _consented(answer: Judgement, given: Consent) -> Judgement:
    """Return the answer with who approved, and for no longer than that counts."""
    until = _sooner(answer.holds_until, given.until)
    if not answer.allowed or not given.approvers:
        return replace(answer, holds_until=until)
    by = names(each.username for each in given.approvers)
    return replace(answer, holds_until=until, message=f"{answer.message}, approved by {by}")


def _until_it_turns(stays: Answer, denied: Judgement) -> Answer:
    """Return by what a credential stays, for as long as the renewal is denied: then that is asked again."""
    soonest = _sooner(stays.judgement.holds_until, denied.holds_until)
    return replace(stays, judgement=replace(stays.judgement, holds_until=soonest))


def _both(first: Judgement, also: Judgement) -> Judgement:
    """Return what holds where two things are asked, of which the first is allowed."""
    if not also.allowed:
        return replace(also, action=first.action)
    return replace(
        first,
        policies=tuple(dict.fromkeys(first.policies + also.policies)),
        holds_until=_sooner(first.holds_until, also.holds_until),
    )


def _sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _judgement(action: PolicyAction, decision: Decision) -> Judgement:
    return Judgement(
        action,
        allowed=decision.allowed,
        message=decision.message,
        policies=decision.determined_by,
        digest=digest_of(decision.layers),
        awaits_approval=decision.reason is Reason.NEEDS_APPROVAL,
        in_doubt=decision.reason in _IN_DOUBT,
        holds_until=decision.holds_until,
    )
