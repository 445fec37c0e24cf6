"""How a decision is told to people: which rule, of which policy, and what to do."""

from collections.abc import Iterable, Sequence
from typing import Final

from agentid.policy.decision import ApprovalNeed, LayerDecision, Reason
from agentid.policy.layer import Layer, LayerName

INSTALL_CLUSTER_POLICY: Final = (
    "No ClusterAgentPolicy is installed, so nothing is allowed. Have the platform team apply one; "
    "deploy/policies/default.cedar is a start."
)
INSTALL_NAMESPACE_POLICY: Final = (
    "The namespace has the label agentid.dev/require-policy and no AgentPolicy, so nothing is allowed. "
    "Apply one, or have the platform team remove the label."
)
_OBJECTS: Final = {LayerName.CLUSTER: "ClusterAgentPolicy", LayerName.NAMESPACE: "AgentPolicy"}


def rule_told(name: str) -> str:
    """Return a rule's name as people read it: `AgentPolicy/refunds, rule "large-refunds"`."""
    source, _, rule = name.rpartition("/")
    return f'{source}, rule "{rule}"'


def sources(names: Iterable[str]) -> str:
    """Return the objects that rules belong to, each once: `ClusterAgentPolicy/a, AgentPolicy/b`."""
    return ", ".join(dict.fromkeys(name.rpartition("/")[0] for name in names))


def allowed(decisions: Sequence[LayerDecision]) -> str:
    """Say who allows it."""
    return f"allowed by {sources(rule for each in decisions for rule in each.determined_by)}"


def approval_needed(need: ApprovalNeed, layers: Iterable[Layer]) -> str:
    """Say what needs how many approvals."""
    people = "an approval" if need.approvals == 1 else f"approvals by {need.approvals} people"
    told = "; ".join(rule_told(rule) for rule in need.rules) or "policy"
    return f"{told} allows it only with {people}.{_advice(need.rules, layers)}"


def denied(reason: Reason, decision: LayerDecision, layer: Layer) -> str:
    """Say which layer denies it, and why."""
    match reason:
        case Reason.FORBIDDEN:
            told = "; ".join(rule_told(rule) for rule in decision.determined_by)
            return f"{told} forbids it.{_advice(decision.determined_by, (layer,))}"
        case Reason.NO_PERMIT:
            asked = ", ".join(layer.sources)
            return f"No rule of {asked} permits it. What is not permitted is denied."
        case Reason.POLICY_ERROR:
            return f"Denied, as a condition could not be evaluated: {'; '.join(decision.errors)}"
        case _:
            objects = _OBJECTS[decision.layer]
            return f"Denied, as the policy engine gave no answer for {objects}: {'; '.join(decision.errors)}"


def _advice(rules: Iterable[str], layers: Iterable[Layer]) -> str:
    known = {name: rule for layer in layers for name, rule in layer.rules.items()}
    told = dict.fromkeys(known[each].advice for each in rules if each in known and known[each].advice)
    return "".join(f" {each}" for each in told)
