"""What the Agent of a task allows: each field, patterns, service accounts."""

import pytest

from tests.unit.lifecycle_facts import agent, finished, observe, pod, task_spec


@pytest.mark.parametrize(
    ("asked", "allowed", "breach"),
    [
        (
            {"intent": {"purpose": "p", "actions": ["a:b"], "grantable": ["c:d"]}},
            ["a:b"],
            "intent.grantable asks",
        ),
        ({"intent": {"purpose": "p", "actions": ["ordersx:read"]}}, ["orders:*"], "intent.actions asks"),
        ({"intent": {"purpose": "p", "actions": ["orders"]}}, ["orders:*"], "intent.actions asks"),
        (
            {"intent": {"purpose": "p", "actions": ["a:b"], "sensitivity": "Confidential"}},
            ["a:b"],
            "intent.sensitivity is Confidential, but Agent refund-agent allows at most Internal",
        ),
        (
            {"intent": {"purpose": "p", "actions": ["a:b"]}, "activeDeadlineSeconds": 3601},
            ["a:b"],
            "activeDeadlineSeconds is 3601, but Agent refund-agent allows at most 3600",
        ),
        (
            {"intent": {"purpose": "p", "actions": ["a:b"]}, "workload": {"serviceAccountName": "x"}},
            ["a:b"],
            "workload.serviceAccountName is x, but Agent refund-agent lists refund-agent",
        ),
    ],
)
def test_ceiling_holds_for_each_field(asked: dict[str, object], allowed: list[str], breach: str):
    status, reason, message = finished(
        observe(spec=task_spec(**asked), agent=agent(actions=allowed), pods=[pod()])
    )
    assert (status, reason) == ("False", "CeilingExceeded")
    assert breach in message
    assert "payments-team@example.com" in message


def test_pattern_of_the_agent_allows_what_starts_with_it():
    spec = task_spec(intent={"purpose": "p", "actions": ["orders:read", "orders:read:own"]})
    assert finished(observe(spec=spec, agent=agent(actions=["orders:*"]), pods=[pod()]))[1] == "Running"


def test_agent_without_service_accounts_allows_no_pod():
    spec = task_spec(workload={})
    message = finished(observe(spec=spec, agent=agent(serviceAccounts=[]), pods=[pod()]))[2]
    assert "spec.workload asks for a pod, but Agent refund-agent lists no service account" in message


def test_agent_without_service_accounts_allows_a_task_without_a_pod():
    assert finished(observe(spec=task_spec(workload=None), agent=agent(serviceAccounts=[])))[1] == "Running"
