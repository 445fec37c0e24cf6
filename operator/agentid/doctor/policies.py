"""Whether policies are there and in force; without a ClusterAgentPolicy that is, nothing is issued."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentid.api.agentpolicy import PolicyStatus
from agentid.cluster.connection import Body
from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES, Resource
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look
from agentid.policy.accept import accept
from agentid.policy.errors import RefusedPolicyError
from agentid.watched.facts import mapping, read

CHECK: Final = "policies"
_APPLY: Final = "Apply one. How to install the chart's default: docs/operations.md, When no policy is left."
_CORRECT: Final = "Correct spec.cedar; kubectl describe says where it is wrong."
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class PolicySeen:
    """A policy, and how the operator says that it stands.

    Attributes:
        name: Kind, namespace if it has one, and name.
        looked_at: Whether the operator has looked at the text that is in its spec.
        refusal: Why that text is not in force; None if it is.
        in_force: The text in force, if one is.
    """

    name: str
    looked_at: bool
    refusal: str | None
    in_force: str | None

    @property
    def is_lost(self) -> bool:
        """Whether its text in force is one that this version does not accept, so that nothing is allowed."""
        if self.in_force is None or self.refusal is None:
            return False
        try:
            accept(self.name, self.in_force)
        except RefusedPolicyError:
            return True
        return False


async def look_at_policies(look: Look, namespaces: Sequence[str]) -> list[Finding]:
    """List the cluster's policies, and those in `namespaces` (none: all)."""
    cluster = [
        seen(CLUSTER_AGENT_POLICIES, each) async for each in look.objects(CLUSTER_AGENT_POLICIES, None)
    ]
    others = [
        seen(AGENT_POLICIES, each)
        for namespace in namespaces or (None,)
        async for each in look.objects(AGENT_POLICIES, namespace)
    ]
    return judge_policies(cluster, others)


def seen(resource: Resource, body: Body) -> PolicySeen:
    """Return what an object and its status say."""
    metadata = mapping(body.get("metadata"))
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    status = read(PolicyStatus, body.get("status") or {})[0] or PolicyStatus()
    condition = next(iter(status.conditions), None)
    refused = condition is not None and condition.status != "True"
    return PolicySeen(
        name=f"{resource.kind} {place}{metadata['name']}",
        looked_at=condition is not None and status.observed_generation == metadata.get("generation"),
        refusal=condition.message if condition is not None and refused else None,
        in_force=None if status.accepted is None else status.accepted.cedar,
    )


def judge_policies(cluster: Sequence[PolicySeen], others: Sequence[PolicySeen]) -> list[Finding]:
    """Say whether anything can be allowed, and which texts are not in force."""
    if not cluster:
        return [problem(CHECK, "No ClusterAgentPolicy is there, so nothing is issued.", _APPLY)]
    every = [*cluster, *others]
    findings = []
    if all(each.refusal is not None and each.in_force is None for each in cluster):
        said = f"No ClusterAgentPolicy was ever accepted, so nothing is issued: {_refused(cluster)}"
        findings.append(problem(CHECK, said, _CORRECT))
        every = list(others)
    if lost := [each for each in every if each.is_lost]:
        said = f"This version cannot read what was accepted of {_names(lost)}, so nothing is allowed there."
        findings.append(problem(CHECK, said, f"{_CORRECT} Or go back to the version that accepted it."))
    if refused := [each for each in every if each.refusal is not None and each not in lost]:
        findings.append(warning(CHECK, f"Not in force as written: {_refused(refused)}", _CORRECT))
    if waiting := [each for each in every if not each.looked_at]:
        said = f"The operator has not looked at {_names(waiting)} yet, as it is now."
        findings.append(warning(CHECK, said, "See that an operator leads; it takes a second."))
    said = f"{_names(cluster)} and {len(others)} AgentPolicies are in force as written."
    return findings or [well(CHECK, said)]


def _names(policies: Sequence[PolicySeen]) -> str:
    more = f" and {len(policies) - _SHOWN} more" if len(policies) > _SHOWN else ""
    return ", ".join(each.name for each in policies[:_SHOWN]) + more


def _refused(policies: Sequence[PolicySeen]) -> str:
    more = f" And {len(policies) - _SHOWN} more." if len(policies) > _SHOWN else ""
    return " ".join(f"{each.name}: {each.refusal}" for each in policies[:_SHOWN]) + more
