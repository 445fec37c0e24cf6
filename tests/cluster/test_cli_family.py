"""`agentid tree` and `agentid breakglass` on a real API server: families, and emergencies live and over."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from tests.cluster import story
from tests.cluster.callers import agentid, caller, policy
from tests.cluster.objects import AGENT, agent, task

INTENT = {"purpose": "Triage", "actions": ["orders:read"], "grantable": ["refunds:create"]}
REFUND = {"purpose": "Refund order 4711", "actions": ["refunds:create"], "resources": ["order/4711"]}
STEP = {"credential": {"mode": "None", "renew": False, "ttlSeconds": 60}, "intent": REFUND}
FOUR_EYES = """permit (principal, action, resource);
@id("four-eyes") forbid (principal, action, resource)
unless { context.approved || !resource.actions.contains("refunds:create") };
"""
WHY = "The payment provider is down and orders pile up."


def child(of: Object, name: str, **spec: object) -> Object:
    reference = {key: of["metadata"][key] for key in ("name", "uid")}
    return task(name, parentRef=reference, **{"intent": INTENT, **spec})


@pytest.fixture
def viewer(cluster: ControlPlane, team: Kubectl, tmp_path: Path) -> Path:
    return caller(cluster, team, "viewer", tmp_path, "agentid-viewer")


@pytest.fixture
def four_eyes(team: Kubectl) -> Iterator[Kubectl]:
    """A namespace in which refunds need an approval."""
    team.create(policy("refunds", FOUR_EYES))
    team.wait_for("agentpolicy", "refunds", lambda seen: "accepted" in seen.get("status", {}))
    yield team
    team.delete("agentpolicy", "refunds")


def test_a_family_is_shown_with_how_each_stands_and_what_its_steps_grant(
    cluster: ControlPlane, four_eyes: Kubectl, viewer: Path, tmp_path: Path
) -> None:
    approver = caller(cluster, four_eyes, "approver", tmp_path, "agentid-approver")
    four_eyes.apply(agent(actions=["orders:read", "refunds:create"]))
    four_eyes.create([task("triage", intent=INTENT, onBehalfOf="carol@example.com"), task("alone")])
    top = story.runs(four_eyes, "triage")
    four_eyes.create(child(top, "inner"))
    inner = story.runs(four_eyes, "inner")
    four_eyes.create([child(inner, "pays", **STEP), child(top, "later", **STEP)])
    for name in ("pays", "later"):
        story.stands(four_eyes, "AwaitingApproval", name)
    assert agentid(approver, "approve", "pays").code == 0
    four_eyes.wait_for("agenttask", "inner", lambda seen: bool(seen["status"].get("grants")))

    shown = agentid(viewer, "tree", "inner")

    assert (shown.code, shown.err) == (0, ""), shown
    head, *rows = (re.split(r"\s{3,}", line.rstrip()) for line in shown.out.splitlines())
    assert head == ["NAME", "STATUS", "AGENT", "EXPIRES", "MAY-DO"]
    assert [row[:3] for row in rows] == [
        ["triage", "Running", AGENT],
        ["├─ inner ←", "Running", AGENT],
        ["│  └─ pays", "Running", AGENT],
        ["└─ later", "AwaitingApproval", AGENT],
    ]
    assert rows[0][-1] == "orders:read; may grant refunds:create"
    assert rows[2][-1] == "grants refunds:create on order/4711"
    assert rows[3][-1] == "step for refunds:create on order/4711"
    said = agentid(viewer, "tree", "pays", "-o", "json").said
    assert [(each["name"], each["parent"], each["depth"]) for each in said["tasks"]] == [
        ("triage", None, 0),
        ("inner", "triage", 1),
        ("pays", "inner", 2),
        ("later", "triage", 1),
    ]
    assert [each["name"] for each in said["tasks"][1]["grants"]] == ["pays"]
    assert {each["onBehalfOf"] for each in said["tasks"]} == {"carol@example.com"}
    assert agentid(viewer, "tree", "triage", "-o", "name").out.split()[-1] == "agenttask.agentid.dev/later"
    assert "carol@example.com" in agentid(viewer, "tree", "later", "-o", "wide").out.splitlines()[3]
    assert "asked: alone" in agentid(viewer, "tree", "alone", "-o", "yaml").out


def test_a_parent_that_is_gone_is_said_and_who_may_not_look_is_told(
    cluster: ControlPlane, team: Kubectl, viewer: Path, tmp_path: Path
) -> None:
    gone = {"metadata": {"name": "gone", "uid": "00000000-0000-4000-8000-000000000001"}}
    team.create(child(gone, "orphan"))
    story.stands(team, "DelegationRefused", "orphan")

    shown = agentid(viewer, "tree", "orphan")
    assert shown.code == 0
    assert f"AgentTask {team.namespace}/gone, which it is a child of, does not exist" in shown.err
    assert shown.out.splitlines()[1].split()[:3] == ["orphan", "←", "DelegationRefused"]

    none = agentid(viewer, "tree", "never-was")
    assert (none.code, "does not exist" in none.err) == (1, True)
    nobody = caller(cluster, team, "nobody", tmp_path)
    for command in (("tree", "orphan"), ("breakglass",)):
        refused = agentid(nobody, *command)
        assert refused.code == 1
        assert re.search(r"you may not (get|list) agenttasks.agentid.dev in namespace", refused.err)
        assert "ClusterRole agentid-viewer" in refused.err


def test_emergencies_are_listed_live_and_over_with_whose_and_why(
    cluster: ControlPlane, team: Kubectl, viewer: Path
) -> None:
    assert agentid(viewer, "breakglass").err.startswith(
        f"no AgentTask in namespace {team.namespace} is or was"
    )
    short = {"renew": False, "ttlSeconds": 60}
    for name in ("first", "second"):
        labels = {"metadata": {"name": name, "labels": {"incident": name}}}
        made = {**task(name, breakGlass={"justification": WHY}, credential=short), **labels}
        team.as_user("oncall@example.com", ["system:masters"]).create(made)
        story.runs(team, name)
    team.create(task("ordinary"))
    assert agentid(cluster.kubeconfig, "end", "first", "-n", team.namespace, "--reason", "over").code == 0

    listed = agentid(viewer, "breakglass")

    assert listed.code == 0, listed
    head, *rows = (re.split(r"\s{3,}", line.rstrip()) for line in listed.out.splitlines())
    assert head == ["NAME", "STATUS", "REQUESTER", "CREATED", "UNTIL", "JUSTIFICATION"]
    assert sorted((row[0], row[1], row[2], row[5]) for row in rows) == [
        ("first", "Ended", "oncall@example.com", WHY),
        ("second", "Running", "oncall@example.com", WHY),
    ]
    ended = team.get("agenttask", "first")["status"]["endTime"]
    assert [row[4] for row in rows if row[0] == "first"] == [ended]
    everywhere = agentid(cluster.kubeconfig, "breakglass", "-A", "-l", "incident=second", "-o", "json").said
    ours = [each for each in everywhere["tasks"] if each["namespace"] == team.namespace]
    assert [(each["name"], each["status"]) for each in ours] == [("second", "Running")]
    assert sorted(agentid(viewer, "breakglass", "-o", "name").out.split()) == [
        "agenttask.agentid.dev/first",
        "agenttask.agentid.dev/second",
    ]
    assert "ClusterAgentPolicy/everything" in agentid(viewer, "breakglass", "-o", "wide").out
