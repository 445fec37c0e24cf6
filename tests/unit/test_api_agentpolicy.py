"""Policy objects: bounded text in, the accepted text and its digest out."""

from typing import Any

import pytest
from pydantic import ValidationError

from agentid.api.agentpolicy import MAX_CEDAR_LENGTH, AcceptedText, PolicyCondition, PolicySpec, PolicyStatus
from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES
from agentid.policy.accept import accept
from agentid.policy.text import MAX_BYTES, MAX_RULES

PERMIT = "permit(principal, action, resource);"
CONDITION: dict[str, Any] = {
    "type": "Accepted",
    "status": "False",
    "reason": "Invalid",
    "message": "line 2, column 17: attribute `owner` on entity type `Task` not found",
    "observedGeneration": 2,
    "lastTransitionTime": "2026-06-03T10:00:00Z",
}


def test_a_text_is_taken_up_to_its_bound() -> None:
    assert PolicySpec.model_validate({"cedar": "x" * MAX_CEDAR_LENGTH}).cedar


@pytest.mark.parametrize(
    "spec", [{}, {"cedar": ""}, {"cedar": "x" * (MAX_CEDAR_LENGTH + 1)}, {"cedar": 1}, {"rego": "x"}], ids=str
)
def test_what_is_no_policy_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicySpec.model_validate(spec)


def test_the_bounds_of_the_object_are_those_of_the_text() -> None:
    rules = PolicyStatus.model_json_schema()["$defs"]["AcceptedText"]["properties"]["rules"]

    assert MAX_BYTES == MAX_CEDAR_LENGTH
    assert rules["maximum"] == MAX_RULES


def test_a_status_carries_the_text_in_force_and_its_digest() -> None:
    policy = accept("AgentPolicy/a", PERMIT)
    accepted = {"cedar": policy.text, "digest": policy.digest, "generation": 1, "rules": len(policy.rules)}

    status = PolicyStatus.model_validate(
        {"observedGeneration": 2, "accepted": accepted, "conditions": [CONDITION]}
    )

    assert status.model_dump(mode="json", by_alias=True, exclude_none=True)["accepted"] == accepted
    assert status.conditions == [PolicyCondition.model_validate(CONDITION)]


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "g" * 64, "a" * 64, "sha256:" + "0" * 64 + "\n"]
)
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(ValidationError):
        AcceptedText.model_validate({"cedar": PERMIT, "digest": digest, "generation": 1, "rules": 1})


@pytest.mark.parametrize("reason", ["Accepted", "valid", ""])
def test_a_reason_is_one_of_the_fixed_set(reason: str) -> None:
    with pytest.raises(ValidationError):
        PolicyCondition.model_validate({**CONDITION, "reason": reason})


def test_where_policies_live() -> None:
    assert CLUSTER_AGENT_POLICIES.path(None, "default") == (
        "/apis/agentid.dev/v1alpha1/clusteragentpolicies/default"
    )
    assert AGENT_POLICIES.path("support", "refunds", "status") == (
        "/apis/agentid.dev/v1alpha1/namespaces/support/agentpolicies/refunds/status"
    )
