"""What the doctor makes of the policies that there are, as the operator's statuses tell of them."""

from typing import Any

import pytest

from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES
from agentid.doctor import policies
from agentid.doctor.finding import Standing
from agentid.doctor.policies import PolicySeen
from tests.unit.doctor_installation import one
from tests.unit.policy_objects import BROKEN, PERMIT_ALL, policy

REFUSAL = "line 2, column 17: attribute nope on entity type Task not found."


def status(*, accepted: bool, in_force: str | None, generation: int = 1) -> dict[str, Any]:
    """A status as the operator writes it."""
    condition = {
        "type": "Accepted",
        "status": str(accepted),
        "reason": "Valid" if accepted else "Invalid",
        "message": "in force, 1 rule" if accepted else REFUSAL,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    }
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": [condition]}
    if in_force is not None:
        found["accepted"] = {
            "cedar": in_force,
            "digest": "sha256:" + "0" * 64,
            "generation": 1,
            "rules": 1,
        }
    return found


def of_cluster(text: str = PERMIT_ALL, generation: int = 1, **told: Any) -> PolicySeen:  # noqa: ANN401 - of `status`
    body = policy(text, generation=generation, status=status(**told) if told else None)
    return policies.seen(CLUSTER_AGENT_POLICIES, body)


def of_namespace(**told: Any) -> PolicySeen:  # noqa: ANN401 - of `status`
    body = policy(PERMIT_ALL, name="refunds", namespace="support", status=status(**told))
    return policies.seen(AGENT_POLICIES, body)


GOOD = of_cluster(accepted=True, in_force=PERMIT_ALL)
NEVER = of_cluster(BROKEN, accepted=False, in_force=None)
KEPT = of_cluster(BROKEN, accepted=False, in_force=PERMIT_ALL)
LOST = of_cluster(BROKEN, accepted=False, in_force=BROKEN)


@pytest.mark.parametrize(
    ("cluster", "others", "standing", "told"),
    [
        ([GOOD], [], "OK", "ClusterAgentPolicy default and 0 AgentPolicies are in force as written."),
        ([], [], "Problem", "No ClusterAgentPolicy is there, so nothing is issued."),
        ([NEVER], [], "Problem", f"so nothing is issued: ClusterAgentPolicy default: {REFUSAL}"),
        ([GOOD, NEVER], [], "Warning", f"Not in force as written: ClusterAgentPolicy default: {REFUSAL}"),
        ([KEPT], [], "Warning", f"Not in force as written: ClusterAgentPolicy default: {REFUSAL}"),
        ([LOST], [], "Problem", "cannot read what was accepted of ClusterAgentPolicy default"),
        ([of_cluster()], [], "Warning", "has not looked at ClusterAgentPolicy default yet"),
        (
            [of_cluster(generation=2, accepted=True, in_force=PERMIT_ALL)],
            [],
            "Warning",
            "has not looked at ClusterAgentPolicy default yet, as it is now",
        ),
        (
            [GOOD],
            [of_namespace(accepted=False, in_force=None)],
            "Warning",
            f"Not in force as written: AgentPolicy support/refunds: {REFUSAL}",
        ),
        ([GOOD], [of_namespace(accepted=True, in_force=PERMIT_ALL)], "OK", "and 1 AgentPolicies are"),
    ],
)
def test_how_the_policies_stand(
    cluster: list[PolicySeen], others: list[PolicySeen], standing: str, told: str
) -> None:
    found = one(policies.judge_policies(cluster, others))

    assert found.standing == Standing(standing)
    assert told in found.sentence
    assert bool(found.remedy) == (standing != "OK")


def test_of_many_policies_some_are_named() -> None:
    found = one(policies.judge_policies([GOOD] * 7, []))

    assert "and 2 more" in found.sentence
