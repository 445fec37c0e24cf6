"""Asks policy about tasks as the operator does: the same question, from the facts that the caller may see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from agentid.cli.surroundings import NAMESPACE_LABELS, Surroundings
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.approvals import consent_to
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import follow
from agentid.lifecycle.model import (
    Family,
    Limits,
    Observation,
    PolicyAction,
    SecretFacts,
    SecretState,
    StaticSecretFacts,
    TaskFacts,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.permission import agent_gap, asks, ceiling_breach, is_disabled, overdue_review
from agentid.lifecycle.record import current, has_started, is_finished, is_step
from agentid.lifecycle.static_secrets import static_secret_gap, static_secrets
from agentid.policy.explaining import Explanation, explain, reads
from agentid.policy.judging import Answer, InForce, judge
from agentid.policy.question import Environment
from agentid.watched.policies import Policies

_ANY_LENGTH: Final = timedelta.max
"""Limits of an installation do not matter to what policy is asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one task.

    Attributes:
        observation: What it was asked on.
        action: What was asked.
        ceiling: What is against it whatever policy says, with what to do; None: nothing.
        answer: What policy says; None where it could not be asked.
        gaps: What policies read and the caller could not see.
    """

    observation: Observation
    action: PolicyAction
    ceiling: str | None
    answer: Answer | None
    gaps: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether nothing is against it, and policy allows it."""
        return self.ceiling is None and self.answer is not None and self.answer.judgement.allowed

    @property
    def outcome(self) -> str:
        """`allow`, `deny`, or `approval`: denied now, allowed if approved."""
        if self.allowed:
            return "allow"
        waits = self.answer is not None and self.answer.judgement.awaits_approval
        return "approval" if waits and self.ceiling is None else "deny"

    @property
    def message(self) -> str:
        """Why, for people."""
        if self.ceiling is not None:
            return self.ceiling
        return self.answer.judgement.message if self.answer is not None else "policy could not be asked"


def observe(body: Mapping[str, Any], around: Surroundings, now: datetime) -> Observation:
    """Return a task as it stands, with its Agent and its pods."""
    task = PackedTask.of(body).facts()
    family = _family(task, around)
    facts = Observation(
        now=now,
        task=task,
        agent=around.agents.get((task.namespace, task.spec.agent_ref.name)) if task.spec else None,
        pods=around.pods.get((task.namespace, task.name), ()),
        workload=WorkloadFacts(WorkloadState.NOT_NAMED),
        secret=SecretFacts(SecretState.ABSENT),
        limits=Limits(around.trust_domain, timedelta(0), _ANY_LENGTH, _ANY_LENGTH),
        family=family,
        consent=consent_to(task, family.lineage, around.approvals.of((task.namespace, task.name)), now),
    )
    if task.spec is not None:
        seen = [name for name in static_secrets(facts) if name in around.static_secrets]
        secrets = tuple(StaticSecretFacts(name, around.static_secrets[name]) for name in seen)
        facts = replace(facts, static_secrets=secrets)
    newest = current(facts)
    if newest is None:
        return facts
    return replace(facts, secret=SecretFacts(SecretState.FILLED, generation=newest.generation))


def _family(task: TaskFacts, around: Surroundings) -> Family:
    """Return the tasks above a task, and for a step the pod of its parent."""
    lineage = follow(task, lambda name: around.above.get((task.namespace, name)))
    parent = lineage.ancestors[0] if lineage.ancestors else None
    bound = parent.status.bound_pod if parent is not None and is_step(task) else None
    pods = around.pods.get((task.namespace, parent.name), ()) if parent is not None else ()
    parents_pod = next((each for each in pods if bound is not None and each.uid == bound.uid), None)
    return Family(lineage, parents_pod=parents_pod)


def in_force(policies: Policies, around: Surroundings, namespace: str) -> InForce:
    """Return what the tasks of a namespace are judged by."""
    labels = around.labels.get(namespace, {})
    return InForce(
        Environment(around.trust_domain, around.cluster_labels, labels),
        policies.cluster,
        policies.of(namespace),
        policies.lost(namespace),
    )


def action_of(observation: Observation) -> PolicyAction:
    """Return what the operator asks about the task now; of one it asks nothing of, what it would ask next."""
    asked = asks(observation)
    if asked is not None:
        return asked
    return PolicyAction.RESUME if has_started(observation) else PolicyAction.ISSUE


def ceiling_of(observation: Observation) -> str | None:
    """Return what is against the task before policy is asked, with what to do; None: nothing.

    That is what its Agent's record has against it, the tasks above it, and people who said no.
    """
    if (gap := agent_gap(observation) or overdue_review(observation)) is not None:
        return gap
    if is_disabled(observation) and observation.task.spec is not None:
        agent = f"Agent {observation.task.namespace}/{observation.task.spec.agent_ref.name}"
        return f"{agent} is disabled. Have its owner set spec.disabled to false."
    if not unseen_secrets(observation) and (gap := static_secret_gap(observation)) is not None:
        return gap
    if (breach := ceiling_breach(observation)) is not None:
        return breach
    refused = delegation_breach(observation.task, observation.family.lineage, observation.now)
    return refused or observation.consent.denied


def unseen_secrets(observation: Observation) -> tuple[str, ...]:
    """Return the static secrets that the task asks for, and the caller cannot see."""
    if observation.task.spec is None:
        return ()
    seen = {each.name for each in observation.static_secrets}
    return tuple(each for each in static_secrets(observation) if each not in seen)


def ask(observation: Observation, action: PolicyAction, by: InForce, around: Surroundings) -> Verdict:
    """Ask policy about `action`."""
    ceiling = ceiling_of(observation)
    spec, agent = observation.task.spec, observation.agent
    if spec is None or spec.asker is None or agent is None or agent.spec is None:
        return Verdict(observation, action, ceiling, None)
    unseen = unseen_secrets(observation)
    gaps = (*_gaps(by, around), *(f"AgentSecret {each}, which is not asked about" for each in unseen))
    return Verdict(observation, action, ceiling, judge(observation, action, by), gaps)


def explained(verdict: Verdict, by: InForce) -> tuple[Explanation, ...]:
    """Return why policy says what it says, for each thing that was asked."""
    asked = verdict.answer.asked if verdict.answer is not None else ()
    return tuple(explain(question, decision, by.cluster, by.namespace) for question, decision in asked)


def _gaps(by: InForce, around: Surroundings) -> tuple[str, ...]:
    read = reads(rule for layer in (by.cluster, by.namespace) for rule in layer.rules.values())
    if not by.namespace.sources:
        # Whether it has to have one is written in a label.
        read |= {NAMESPACE_LABELS}
    return tuple(around.relevant_gaps(read))


def is_live(observation: Observation) -> bool:
    """Whether the task has not ended."""
    return not is_finished(observation) and not observation.task.deleting
