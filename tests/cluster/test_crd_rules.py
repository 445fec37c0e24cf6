"""The rules that the CRDs carry, and how an AgentTask looks to whoever types kubectl."""

import json
from typing import Any

import pytest

from devcluster.kubectl import Kubectl
from tests.cluster.people import People, refusal, task
from tests.cluster.policies import PERMIT_ALL, agent_policy

AGENT: dict[str, Any] = {
    "apiVersion": "agentid.dev/v1alpha1",
    "kind": "Agent",
    "metadata": {"name": "refund-agent"},
    "spec": {"owner": "payments", "class": "Ephemeral", "actions": ["orders:read"]},
}
WORKLOAD = {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "refund-4711"}}
FIXED: dict[str, list[dict[str, Any]]] = {
    "agentRef": [{"agentRef": {"name": "other"}}],
    "onBehalfOf": [{"onBehalfOf": "dave@example.com"}, {"onBehalfOf": None}],
    "workload": [
        {"workload": None},
        {"workload": {"ref": {"name": "other"}}},
        {"workload": {"ref": None}},
        {"workload": {"serviceAccountName": "other"}},
        {"workload": {"replacement": "Allow"}},
    ],
    "startDeadlineSeconds": [{"startDeadlineSeconds": 601}, {"startDeadlineSeconds": 1}],
    "activeDeadlineSeconds": [{"activeDeadlineSeconds": 3601}],
    "ttlSecondsAfterFinished": [{"ttlSecondsAfterFinished": 0}],
    "credential": [{"credential": {"ttlSeconds": 60}}, {"credential": {"renew": False}}],
}


@pytest.mark.parametrize("field", FIXED)
def test_what_was_asked_for_stays(kubectl: Kubectl, field: str) -> None:
    kubectl.create(task(onBehalfOf="carol@example.com", workload=WORKLOAD))

    for change in FIXED[field]:
        said = refusal(lambda change=change: kubectl.patch("agenttask", "refund-4711", {"spec": change}))
        assert f"{field} can't be changed after creation: create a new AgentTask" in said


@pytest.mark.parametrize("field", ["onBehalfOf", "workload"])
def test_what_was_not_asked_for_is_not_added(kubectl: Kubectl, field: str) -> None:
    kubectl.create(task())
    added = {"onBehalfOf": "carol@example.com", "workload": {}}

    said = refusal(lambda: kubectl.patch("agenttask", "refund-4711", {"spec": {field: added[field]}}))

    assert f"{field} can't be changed after creation" in said


def test_intent_and_state_may_change(kubectl: Kubectl) -> None:
    kubectl.create(task(workload=WORKLOAD))

    changes: list[dict[str, Any]] = [
        {"intent": {"purpose": "Look", "actions": ["orders:list"], "session": "a", "resources": ["o/1"]}},
        {"state": "Suspended", "stateReason": "Odd"},
        {"state": "Active", "stateReason": None},
        {"state": "Ended"},
    ]
    for change in changes:
        spec = kubectl.patch("agenttask", "refund-4711", {"spec": change})["spec"]
        for field, value in change.items():
            assert spec.get(field) == (value | {"sensitivity": "Internal"} if field == "intent" else value)


@pytest.mark.parametrize("state", ["Active", "Suspended", None])
def test_ended_is_final(kubectl: Kubectl, state: str | None) -> None:
    kubectl.create(task(state="Ended"))

    said = refusal(lambda: kubectl.patch("agenttask", "refund-4711", {"spec": {"state": state}}))

    assert "an Ended task stays Ended: create a new AgentTask" in said


def test_a_credential_does_not_outlive_the_task(kubectl: Kubectl) -> None:
    too_long = task(activeDeadlineSeconds=60)
    said = refusal(lambda: kubectl.create(too_long))

    assert (
        "credential.ttlSeconds must be at most activeDeadlineSeconds: lower it, or raise the deadline" in said
    )
    kubectl.create(task(activeDeadlineSeconds=60, credential={"ttlSeconds": 60}))


def test_an_item_stands_in_a_list_once(kubectl: Kubectl) -> None:
    twice = {"purpose": "Look", "actions": ["orders:read", "orders:read"]}

    assert "an item stands in this list twice" in refusal(lambda: kubectl.create(task(intent=twice)))


def test_a_recurring_agent_says_when_it_is_reviewed(kubectl: Kubectl) -> None:
    recurring = AGENT | {"spec": AGENT["spec"] | {"class": "Recurring"}}

    assert "class Recurring needs reviewBy" in refusal(lambda: kubectl.create(recurring))
    recurring["spec"]["reviewBy"] = "2027-05-31T00:00:00Z"
    kubectl.create(recurring)
    unreviewed = {"spec": {"reviewBy": None}}
    assert "class Recurring needs reviewBy" in refusal(
        lambda: kubectl.patch("agent", "refund-agent", unreviewed)
    )


def test_defaults_are_written_out(kubectl: Kubectl) -> None:
    spec = kubectl.create(task())["spec"]

    assert spec["credential"] == {"mode": "Secret", "ttlSeconds": 300, "renew": True}
    assert spec["state"] == "Active"
    assert spec["intent"]["sensitivity"] == "Internal"
    assert (spec["startDeadlineSeconds"], spec["activeDeadlineSeconds"]) == (600, 3600)
    assert "workload" not in spec


def test_explain_reads_well(kubectl: Kubectl) -> None:
    intent = kubectl("explain", "agenttask.spec.intent")
    seconds = kubectl("explain", "atask.spec.credential.ttlSeconds")

    assert "What the task is for and what it may do." in intent
    for field in ("actions", "grantable", "purpose", "resources", "sensitivity", "session"):
        assert f"  {field}\t" in intent
    assert "Life of each credential in seconds" in seconds


@pytest.mark.usefixtures("no_operator")
def test_columns(kubectl: Kubectl, people: People) -> None:
    kubectl.create(task(onBehalfOf="carol@example.com"))
    finished = {
        "type": "Finished",
        "status": "False",
        "reason": "Running",
        "message": "ends by 14:37:12Z",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-31T14:00:00Z",
    }
    times = {"notBefore": "2026-05-31T14:00:00Z"}
    status = {
        "conditions": [
            finished,
            finished | {"type": "Approved", "status": "True", "reason": "PolicyAllowed"},
        ],
        "deadline": "2026-05-31T15:00:00Z",
        "spiffeID": "spiffe://demo.local/ns/support/agent/refund-agent/task/5c0e",
        "boundPod": {
            "name": "refund-x7k2p",
            "uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000001",
            "fingerprint": "f",
        },
        "credentials": [
            {"generation": 1, "serial": "4f9a", "notAfter": "2026-05-31T14:05:00Z", **times},
            {"generation": 2, "serial": "81c2", "notAfter": "2026-05-31T14:08:20Z", **times},
        ],
    }
    # kubectl reads before it patches, which the operator itself may not: it acts with every right here.
    people.operator.patch("agenttask", "refund-4711", {"status": status}, "--subresource=status")

    head, row = kubectl("get", "atask").splitlines()
    assert head.split() == ["NAME", "AGENT", "STATUS", "EXPIRES", "AGE"]
    assert row.split()[:4] == ["refund-4711", "refund-agent", "Running", "2026-05-31T15:00:00Z"]

    head, row = kubectl("get", "agenttask", "--output=wide").splitlines()
    assert head.split()[5:] == ["SPIFFE-ID", "DELEGATOR", "POD", "CREDENTIAL-EXPIRES"]
    assert row.split()[5:] == [
        "spiffe://demo.local/ns/support/agent/refund-agent/task/5c0e",
        "carol@example.com",
        "refund-x7k2p",
        "2026-05-31T14:08:20Z",
    ]


def test_the_category_shows_everything_of_ours_and_all_does_not(kubectl: Kubectl) -> None:
    kubectl.create(task())
    kubectl.create([AGENT, agent_policy(PERMIT_ALL)])

    shown = json.loads(kubectl("get", "agentid", "--output=json"))["items"]
    assert {each["kind"] for each in shown} == {"AgentTask", "Agent", "AgentPolicy", "ClusterAgentPolicy"}
    assert "refund-4711" not in kubectl("get", "all")


def test_server_side_apply_of_fewer_actions_leaves_no_more(kubectl: Kubectl) -> None:
    wide = {"purpose": "Look", "actions": ["orders:read", "refunds:create"]}
    narrow = {"purpose": "Look", "actions": ["orders:read"]}
    kubectl.create(task(intent=wide))

    applied = kubectl.apply(task(intent=narrow), "--server-side", "--force-conflicts")

    assert applied["spec"]["intent"]["actions"] == ["orders:read"]
