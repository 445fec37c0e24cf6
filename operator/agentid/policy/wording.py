"""How a decision is told to people: which rule, of which policy, and what to do."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from agentid.lifecycle.authority_holds import BESIDES
from agentid.policy.decision import ApprovalNeed, LayerDecision, Reason
from agentid.policy.layer import Layer

INSTALL_CLUSTER_POLICY: Final = (
    "No ClusterAgentPolicy is installed, so nothing is allowed. Have the platform team apply one; "
    "deploy/policies/default.cedar is a start."
)
INSTALL_NAMESPACE_POLICY: Final = (
    "The namespace has the label agentid.dev/require-policy and no AgentPolicy, so nothing is allowed. "
    "Apply one, or have the platform team remove the label."
)
_MAX_NAMED: Final = 5
_NEED: Final = re.compile(r"(.+?) allows it only with (?:an approval|approvals by ([0-9]{1,9}) people)\.")


def rule_told(name: str) -> str:
    """Return a rule's name as people read it: `AgentPolicy/refunds, rule "large-refunds"`."""
    source, _, rule = name.rpartition("/")
    return f'{source}, rule "{rule}"'


def sources(names: Iterable[str]) -> str:
    """Return the objects that rules belong to, each once: `ClusterAgentPolicy/a, AgentPolicy/b`."""
    return _some(list(dict.fromkeys(name.rpartition("/")[0] for name in names)), ", ")


def allowed(decisions: Sequence[LayerDecision]) -> str:
    """Say who allows it."""
    return f"allowed by {sources(rule for each in decisions for rule in each.determined_by)}"


def too_large(layer: Layer) -> str:
    """Say that a layer holds more than may be asked about."""
    more = layer.load.excess(layer.limit) or "not all of it was looked through yet"
    have = _some(layer.sources, ", ")
    return f"Denied, as {have} are more than is asked about together: {more}. Delete what is not needed."


def too_much_asked(number: int, of: str, most: int) -> str:
    """Say that the facts about a task are more than may be asked about."""
    said = f"Denied, as what policy would be asked has {number} {of}; at most {most} are asked about"
    return f"{said}. Use fewer or shorter names of images, groups, labels and actions."


def approval_needed(need: ApprovalNeed, layers: Iterable[Layer]) -> str:
    """Say what needs how many approvals."""
    people = "an approval" if need.approvals == 1 else f"approvals by {need.approvals} people"
    told = _rules(need.rules) or "policy"
    return f"{told} allows it only with {people}.{_advice(need.rules, layers)}"


def need_told(message: str) -> tuple[str, int] | None:
    """Return what `approval_needed` said needs approvals, and how many; None where `message` is none of it.

    Whoever waits for an approval is told in a condition; most who may give it cannot read the policies. Of a
    task that waits for its next pod too, the message says that first.
    """
    found = _NEED.match(message)
    return None if found is None else (found[1].rpartition(BESIDES)[2], int(found[2] or 1))


def denied(reason: Reason, decision: LayerDecision, layer: Layer) -> str:
    """Say which layer denies it, and why."""
    match reason:
        case Reason.FORBIDDEN:
            told = _rules(decision.determined_by)
            return f"{told} forbids it.{_advice(decision.determined_by, (layer,))}"
        case Reason.NO_PERMIT:
            return f"No rule of {_some(layer.sources, ', ')} permits it. What is not permitted is denied."
        case Reason.POLICY_ERROR:
            return f"Denied, as a condition could not be evaluated: {_some(decision.errors, '; ')}"
        case _:
            said = f"Denied, as the policy engine gave no answer for the {decision.layer}'s policies"
            return f"{said}: {_some(decision.errors, '; ')}"


def _rules(names: Sequence[str]) -> str:
    return _some([rule_told(name) for name in names], "; ")


def _some(items: Sequence[str], between: str) -> str:
    """Return the first of them, and how many more there are."""
    more = [f"{len(items) - _MAX_NAMED} more"] if len(items) > _MAX_NAMED else []
    return between.join([*items[:_MAX_NAMED], *more])


def _advice(rules: Sequence[str], layers: Iterable[Layer]) -> str:
    """Return what the rules say to do, each once, with a blank before it."""
    known = tuple(layers)
    found = (layer.rules[rule] for rule in rules[:_MAX_NAMED] for layer in known if rule in layer.rules)
    return "".join(dict.fromkeys(f" {rule.advice}" for rule in found if rule.advice))
