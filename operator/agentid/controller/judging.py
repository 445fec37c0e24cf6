"""Asks policy about a task: puts the question together, and the answer into the words of a task's life."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from agentid.controller.namespaces import Namespaces
from agentid.controller.policies import Policies
from agentid.lifecycle.consent import Consent
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import Judgement, Observation, PolicyAction
from agentid.lifecycle.permission import asks, is_resumed_as_another
from agentid.lifecycle.pods import next_holder
from agentid.lifecycle.record import asked, is_step
from agentid.lifecycle.wording import names
from agentid.policy.decision import Decision, Reason
from agentid.policy.engine import decide
from agentid.policy.question import Ancestor, Environment, Person, Pod, Question
from agentid.policy.vocabulary import Action

_log = structlog.get_logger("agentid.policies")

_IN_DOUBT: Final = frozenset({Reason.POLICY_ERROR, Reason.ENGINE_ERROR, Reason.TOO_MUCH_POLICY})
"""Answers that say of the policies, or of the engine, that something is wrong with them, not of the task."""


class Judge:
    """Policy as it is in force, asked about one task at a time."""

    def __init__(
        self,
        policies: Policies,
        namespaces: Namespaces,
        *,
        trust_domain: str,
        cluster_labels: Mapping[str, str],
    ) -> None:
        self._policies = policies
        self._namespaces = namespaces
        self._trust_domain = trust_domain
        self._cluster_labels = cluster_labels

    def judge(self, observation: Observation) -> Judgement | None:
        """Return what policy says of the task; None where nothing depends on it. What goes wrong denies."""
        action = asks(observation)
        if action is None:
            return None
        try:
            return self._judged(observation, action)
        except BaseException as error:
            # A pass that fails would leave the credential where it is. A panic of the engine is no Exception.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            _log.exception("policy could not be asked")
            return _doubt(action, f"Denied, as policy could not be asked: {type(error).__name__}")

    def _judged(self, observation: Observation, action: PolicyAction) -> Judgement:
        namespace = observation.task.namespace
        labels = self._namespaces.labels(namespace)
        if labels is None:
            return _doubt(action, f"the labels of namespace {namespace} are not known yet")
        if lost := self._policies.lost(namespace):
            # What they forbid is not known, so that nothing is permitted by the others.
            said = f"Denied, as the accepted text of {names(lost)} cannot be read by this version of agentid."
            return _doubt(action, said)
        environment = Environment(self._trust_domain, self._cluster_labels, labels)
        answer = self._answer(observation, action, environment)
        if not answer.allowed or not is_resumed_as_another(observation):
            return answer
        return _both(answer, self._answer(observation, PolicyAction.ISSUE, environment))

    def _answer(self, observation: Observation, action: PolicyAction, environment: Environment) -> Judgement:
        question = question_about(observation, action, environment)
        answer = self._said(question, action, observation)
        if not answer.allowed or (question.delegator is None and not question.ancestors):
            return answer
        # Its authority is somebody else's, and policy has a say in whether it may be.
        delegated = replace(question, action=Action.DELEGATE)
        return _both(answer, self._said(delegated, action, observation))

    def _said(self, question: Question, action: PolicyAction, observation: Observation) -> Judgement:
        return _consented(_judgement(action, self._decision(question)), observation.consent)

    def _decision(self, question: Question) -> Decision:
        return decide(question, self._policies.cluster, self._policies.of(question.namespace))


def question_about(observation: Observation, action: PolicyAction, environment: Environment) -> Question:
    """Return what policy is asked: the task and its Agent as they are, and who asked for it.

    Raises:
        ValueError: it is not known who asked, or there is no Agent.
    """
    task, spec = observation.task, asked(observation)
    agent, requester = observation.agent.spec if observation.agent is not None else None, spec.requester
    if requester is None or agent is None:
        raise ValueError("policy cannot be asked without a requester and an Agent")
    lineage = observation.family.lineage
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
            Ancestor(each.name, each.uid, each.spec.agent_ref.name, each.spec.requester.username)
            for each in lineage.ancestors
            if each.spec is not None and each.spec.requester is not None
        ),
        approvers=tuple(Person(each.username, each.groups) for each in observation.consent.approvers),
        break_glass=spec.break_glass is not None,
    )


def _consented(answer: Judgement, given: Consent) -> Judgement:
    """Return the answer with who approved, and for no longer than that counts."""
    until = min((each for each in (answer.holds_until, given.until) if each is not None), default=None)
    if not answer.allowed or not given.approvers:
        return replace(answer, holds_until=until)
    by = names(each.username for each in given.approvers)
    return replace(answer, holds_until=until, message=f"{answer.message}, approved by {by}")


def _both(first: Judgement, also: Judgement) -> Judgement:
    """Return what holds where two things are asked, of which the first is allowed."""
    if not also.allowed:
        return replace(also, action=first.action)
    # When an answer may turn depends on all rules alike, so that both hold as long.
    return replace(first, policies=tuple(dict.fromkeys(first.policies + also.policies)))


def _doubt(action: PolicyAction, message: str) -> Judgement:
    return Judgement(action, allowed=False, message=message, in_doubt=True)


def _judgement(action: PolicyAction, decision: Decision) -> Judgement:
    lines = "".join(f"{each.layer} {each.digest}\n" for each in decision.layers)
    return Judgement(
        action,
        allowed=decision.allowed,
        message=decision.message,
        policies=decision.determined_by,
        digest=f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}",
        awaits_approval=decision.reason is Reason.NEEDS_APPROVAL,
        in_doubt=decision.reason in _IN_DOUBT,
        holds_until=decision.holds_until,
    )
