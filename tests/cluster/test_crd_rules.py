"""The rules that the CRDs carry, and how an AgentTask looks to whoever types kubectl."""

import json
from typing import Any

import pytest

from devcluster.kubectl import Kubectl
from tests.cluster.approving import approval, denial
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
PARENT = {"name": "triage-4711", "uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000001"}
OTHER_PARENT = {"name": "triage-4712", "uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000002"}
BREAK_GLASS = {"justification": "The payment provider is down"}
STEP: dict[str, Any] = {"parentRef": PARENT, "credential": {"mode": "None", "renew": False}}
EMERGENCY: dict[str, Any] = {"breakGlass": BREAK_GLASS, "credential": {"renew": False}}
GRANTABLE = {"purpose": "Look", "actions": ["orders:read"], "grantable": ["refunds:create"]}


@pytest.mark.parametrize("field", FIXED)
def test_what_was_asked_for_stays(kubectl: Kubectl, field: str) -> None:
    kubectl.create(task(onBehalfOf="carol@example.com", workload=WORKLOAD))

    for change in FIXED[field]:
        said = refusal(lambda change=change: kubectl.patch("agenttask", "refund-4711", {"spec": change}))
        assert f"{field} can't be changed after creation: create a new AgentTask" in said


@pytest.mark.parametrize("other", [None, OTHER_PARENT, PARENT | {"uid": OTHER_PARENT["uid"]}])
def test_the_parent_stays(kubectl: Kubectl, other: dict[str, str] | None) -> None:
    kubectl.create(task(parentRef=PARENT))

    said = refusal(lambda: kubectl.patch("agenttask", "refund-4711", {"spec": {"parentRef": other}}))

    assert "parentRef can't be changed after creation: create a new AgentTask" in said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (STEP | {"parentRef": None}, "no parent is named: set parentRef, or another mode"),
        (STEP | {"workload": {}}, "which runs in the parent's pod: leave workload out"),
        (STEP | {"credential": {"mode": "None"}}, "which ends after credential.ttlSeconds: set"),
        (STEP | {"intent": GRANTABLE}, "and has no children: leave intent.grantable empty"),
        (
            STEP | {"staticSecrets": [{"name": "crm"}]},
            "no Secret for copies: leave staticSecrets out",
        ),
        (EMERGENCY | {"parentRef": PARENT}, "which somebody answers for alone: leave parentRef out"),
        (EMERGENCY | {"credential": {}}, "which ends after credential.ttlSeconds: set credential.renew to"),
        (EMERGENCY | {"intent": GRANTABLE}, "an emergency, and has no children: leave intent.grantable"),
        (EMERGENCY | {"breakGlass": {}}, "justification"),
        (EMERGENCY | {"breakGlass": {"justification": "x" * 19}}, "at least 20"),
        (EMERGENCY | {"breakGlass": {"justification": "x" * 1025}}, "1024"),
        ({"parentRef": PARENT | {"namespace": "other"}}, "unknown field"),
        ({"parentRef": PARENT | {"uid": "1"}}, "36"),
    ],
)
def test_what_a_step_an_emergency_and_a_child_may_not_be(
    kubectl: Kubectl, spec: dict[str, Any], said: str
) -> None:
    assert said in refusal(lambda: kubectl.create(task(**spec), "--validate=strict"))
    assert kubectl.list("agenttask") == []


def test_a_step_and_an_emergency_as_they_should_be(kubectl: Kubectl) -> None:
    step, emergency = kubectl.create(task("step", **STEP)), kubectl.create(task("emergency", **EMERGENCY))

    assert step["spec"]["credential"] == {"mode": "None", "ttlSeconds": 300, "renew": False}
    assert emergency["spec"]["breakGlass"] == BREAK_GLASS


@pytest.mark.parametrize("field", ["onBehalfOf", "workload", "parentRef", "breakGlass"])
def test_what_was_not_asked_for_is_not_added(kubectl: Kubectl, field: str) -> None:
    kubectl.create(task(credential={"renew": False}))
    added = {
        "onBehalfOf": "carol@example.com",
        "workload": {},
        "parentRef": PARENT,
        "breakGlass": BREAK_GLASS,
    }

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


def test_columns_of_approvals(kubectl: Kubectl) -> None:
    asked = kubectl.create(task())
    kubectl.create(approval(asked, comment="Looks right"))
    kubectl.create(denial(asked))

    head, yes, no = kubectl("get", "aapproval").splitlines()
    assert head.split() == ["NAME", "TASK", "DECISION", "APPROVER", "EXPIRES", "AGE"]
    assert yes.split()[:3] == ["approval", "refund-4711", "Approve"]
    assert yes.split()[4].startswith("2")
    assert no.split()[:3] == ["denial", "refund-4711", "Deny"]
    assert "Looks right" in kubectl("get", "agentapproval", "approval", "--output=wide")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expiresAt": None}, "set it for the one, leave it out for the other"),
        ({"decision": "Deny"}, "set it for the one, leave it out for the other"),
        ({"decision": "Perhaps"}, "decision"),
        ({"specHash": "v1:0"}, "must be a spec hash"),
        ({"intentGeneration": 0}, "greater than or equal to 1"),
        ({"projection": "x" * 65_537}, "65536"),
        ({"comment": "a\nb"}, "must be text on one line"),
        ({"expiresAt": "tomorrow"}, "expiresAt"),
        ({"taskRef": {"name": "Refund", "uid": PARENT["uid"]}}, "must be the name of an AgentTask"),
    ],
)
def test_what_an_approval_may_not_say(kubectl: Kubectl, change: dict[str, Any], said: str) -> None:
    manifest = approval(kubectl.create(task()))
    spec = {key: each for key, each in (manifest["spec"] | change).items() if each is not None}

    assert said in refusal(lambda: kubectl.create(manifest | {"spec": spec}))


def test_the_largest_projection_is_taken_and_kept(kubectl: Kubectl) -> None:
    largest = "é" * 65_536

    created = kubectl.create(approval(kubectl.create(task()), projection=largest))

    assert created["spec"]["projection"] == largest
    again = {"metadata": {"labels": {"a": "b"}}}
    assert kubectl.patch("agentapproval", "approval", again)["spec"]["projection"] == largest


def test_the_category_shows_everything_of_ours_and_all_does_not(kubectl: Kubectl) -> None:
    kubectl.create(approval(kubectl.create(task())))
    kubectl.create([AGENT, agent_policy(PERMIT_ALL)])

    shown = json.loads(kubectl("get", "agentid", "--output=json"))["items"]
    assert {each["kind"] for each in shown} == {
        "AgentTask",
        "Agent",
        "AgentApproval",
        "AgentPolicy",
        "ClusterAgentPolicy",
    }
    assert "refund-4711" not in kubectl("get", "all")


def test_server_side_apply_of_fewer_actions_leaves_no_more(kubectl: Kubectl) -> None:
    wide = {"purpose": "Look", "actions": ["orders:read", "refunds:create"]}
    narrow = {"purpose": "Look", "actions": ["orders:read"]}
    kubectl.create(task(intent=wide))

    applied = kubectl.apply(task(intent=narrow), "--server-side", "--force-conflicts")

    assert applied["spec"]["intent"]["actions"] == ["orders:read"]
