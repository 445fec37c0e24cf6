"""Asks policy about tasks as the operator does: the same question, from the facts that the caller may see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from agentid.cli.surroundings import NAMESPACE_LABELS, Surroundings
from agentid.controller.packed_task import PackedTask
from agentid.controller.policies import Policies
from agentid.lifecycle.model import (
    Limits,
    Observation,
    PolicyAction,
    SecretFacts,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.permission import agent_gap, asks, ceiling_breach, is_disabled, overdue_review
from agentid.lifecycle.record import current, has_started, is_finished
from agentid.policy.explaining import Explanation, explain, reads
from agentid.policy.judging import Answer, InForce, judge
from agentid.policy.question import Environment

_ANY_LENGTH: Final = timedelta.max
"""Limits of an installation do not matter to what policy is asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one task.

    Attributes:
        observation: What it was asked on.
        action: What was asked.
        ceiling: What the Agent's record has against it, with what to do; None: nothing.
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
        """Whether the Agent's record and policy both allow it."""
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
    facts = Observation(
        now=now,
        task=task,
        agent=around.agents.get((task.namespace, task.spec.agent_ref.name)) if task.spec else None,
        pods=around.pods.get((task.namespace, task.name), ()),
        workload=WorkloadFacts(WorkloadState.NOT_NAMED),
        secret=SecretFacts(SecretState.ABSENT),
        limits=Limits(around.trust_domain, timedelta(0), _ANY_LENGTH, _ANY_LENGTH),
    )
    newest = current(facts)
    if newest is None:
        return facts
    return replace(facts, secret=SecretFacts(SecretState.FILLED, generation=newest.generation))


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
    """Return what the Agent's record has against the task, with what to do; None: nothing."""
    if (gap := agent_gap(observation) or overdue_review(observation)) is not None:
        return gap
    if is_disabled(observation) and observation.task.spec is not None:
        agent = f"Agent {observation.task.namespace}/{observation.task.spec.agent_ref.name}"
        return f"{agent} is disabled. Have its owner set spec.disabled to false."
    return ceiling_breach(observation)


def ask(observation: Observation, action: PolicyAction, by: InForce, around: Surroundings) -> Verdict:
    """Ask policy about `action`."""
    ceiling = ceiling_of(observation)
    spec, agent = observation.task.spec, observation.agent
    if spec is None or spec.requester is None or agent is None or agent.spec is None:
        return Verdict(observation, action, ceiling, None)
    return Verdict(observation, action, ceiling, judge(observation, action, by), _gaps(by, around))


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
