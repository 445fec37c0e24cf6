"""`agentid inventory` on a real API server: what it lists is what is live, for whoever may see it."""

from datetime import datetime
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from tests.cluster import story
from tests.cluster.callers import Ended, agentid, caller, names_of
from tests.cluster.objects import AGENT, agent, task

CAROL = "carol@example.com"
INTENT = {"purpose": "Triage", "actions": ["orders:read"], "grantable": ["refunds:create"]}
STEP = {
    "credential": {"mode": "None", "renew": False, "ttlSeconds": 300},
    "intent": {"purpose": "Refund order 4711", "actions": ["refunds:create"]},
}


@pytest.fixture
def viewer(cluster: ControlPlane, team: Kubectl, tmp_path: Path) -> Path:
    """Somebody who may look at the namespace's tasks and Agents."""
    return caller(cluster, team, "viewer", tmp_path, "agentid-viewer")


@pytest.fixture
def busy(team: Kubectl) -> Kubectl:
    """A namespace in which two tasks of two agents run, one has ended, and one waits."""
    team.create(agent("other-agent", owner="other-team@example.com"))
    team.create(
        [
            task("one", onBehalfOf=CAROL, credential={"ttlSeconds": 600}),
            task("two", agentRef={"name": "other-agent"}, credential={"ttlSeconds": 300}),
            task("over"),
            task("waits", agentRef={"name": "none"}),
        ]
    )
    for each in ("one", "two", "over"):
        story.runs(team, each)
    story.stands(team, "AwaitingAgent", "waits")
    team.patch("agenttask", "over", {"spec": {"state": "Ended"}})
    story.ends(team, "Ended", "over")
    return team


def listed(config: Path, *options: str) -> Ended:
    ended = agentid(config, "inventory", *options, "-o", "json")
    assert ended.code == 0, ended
    return ended


def test_what_is_live_is_listed_with_whose_it_is_and_nothing_else(busy: Kubectl, viewer: Path) -> None:
    said = listed(viewer).said

    assert names_of(said["tasks"]) == ["two", "one"]
    two, one = said["tasks"]
    assert (one["agent"], one["owner"], one["onBehalfOf"]) == (AGENT, "payments-team@example.com", CAROL)
    assert (two["agent"], two["owner"], two["onBehalfOf"]) == ("other-agent", "other-team@example.com", None)
    for each in said["tasks"]:
        seen = busy.get("agenttask", each["name"])
        status = seen["status"]
        assert [held["serial"] for held in each["credentials"]] == story.serials(seen)
        assert each["expires"] == status["credentials"][-1]["notAfter"]
        assert each["spiffeID"] == status["spiffeID"]
        assert each["uid"] == seen["metadata"]["uid"]
        assert datetime.fromisoformat(said["at"]) < datetime.fromisoformat(each["expires"])
    assert said["notKnown"] == []

    busy.patch("agenttask", "one", {"spec": {"state": "Suspended"}})
    story.stands(busy, "Suspended", "one")
    assert names_of(listed(viewer).said["tasks"]) == ["two"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--agent", AGENT), ["one"]),
        (("--owner", "other-team@example.com"), ["two"]),
        (("--on-behalf-of", CAROL), ["one"]),
        (("--expiring-within", "6m"), ["two"]),
        (("-l", "team=blue"), []),
    ],
)
@pytest.mark.usefixtures("busy")
def test_only_what_is_asked_for_is_listed(viewer: Path, options: tuple[str, ...], found: list[str]) -> None:
    assert names_of(listed(viewer, *options).said["tasks"]) == found


@pytest.mark.usefixtures("busy")
def test_they_are_counted_and_told_in_rows(viewer: Path) -> None:
    ended = agentid(viewer, "inventory", "--by", "owner")
    assert [line.split()[:3] for line in ended.out.splitlines()] == [
        ["OWNER", "TASKS", "CREDENTIALS"],
        ["other-team@example.com", "1", "1"],
        ["payments-team@example.com", "1", "1"],
    ]
    rows = [line.split() for line in agentid(viewer, "inventory").out.splitlines()]
    assert rows[0] == ["TASK", "AGENT", "OWNER", "DELEGATOR", "EXPIRES"]
    assert [row[:4] for row in rows[1:]] == [
        ["two", "other-agent", "other-team@example.com", "<none>"],
        ["one", AGENT, "payments-team@example.com", CAROL],
    ]


def test_a_step_is_told_with_the_task_whose_identity_may_do_more(team: Kubectl, viewer: Path) -> None:
    team.create(task("triage", intent=INTENT, onBehalfOf=CAROL))
    above = story.runs(team, "triage")
    reference = {key: above["metadata"][key] for key in ("name", "uid")}
    team.create(task("child", intent=INTENT, parentRef=reference))
    story.runs(team, "child")
    team.create(task("pay", parentRef=reference, **STEP))
    team.wait_for("agenttask", "triage", lambda seen: seen["status"].get("grants"))

    told = {each["name"]: each for each in listed(viewer, "--on-behalf-of", CAROL).said["tasks"]}

    assert set(told) == {"triage", "child"}
    (grant,) = told["triage"]["grants"]
    assert (grant["step"], grant["actions"]) == ("pay", ["refunds:create"])
    wide = agentid(viewer, "inventory", "-o", "wide").out.splitlines()
    assert "refunds:create" in next(line for line in wide if line.startswith("triage"))


def test_all_namespaces_are_for_those_who_may_see_them(
    admin: Kubectl, cluster: ControlPlane, busy: Kubectl, viewer: Path
) -> None:
    elsewhere = admin.in_namespace(f"{busy.namespace[:50]}-b")
    admin.create({"kind": "Namespace", "metadata": {"name": elsewhere.namespace}})
    try:
        elsewhere.create([agent(), task("one", onBehalfOf=busy.namespace)])
        busy.create(task("three", onBehalfOf=busy.namespace))
        for here, name in ((elsewhere, "one"), (busy, "three")):
            story.runs(here, name)

        every = agentid(cluster.kubeconfig, "inventory", "-A", "--on-behalf-of", busy.namespace)

        assert every.code == 0, every
        rows = [line.split() for line in every.out.splitlines()]
        assert rows[0][:2] == ["NAMESPACE", "TASK"]
        assert {(row[0], row[1]) for row in rows[1:]} == {
            (elsewhere.namespace, "one"),
            (busy.namespace, "three"),
        }
        refused = agentid(viewer, "inventory", "-A")
        assert (refused.code, refused.out) == (1, "")
        assert "you may not list agenttasks.agentid.dev in all namespaces; name a namespace" in refused.err
    finally:
        admin.delete("namespace", elsewhere.namespace, "--wait=false")


def test_who_may_not_see_agents_or_tasks_is_told(
    cluster: ControlPlane, busy: Kubectl, tmp_path: Path
) -> None:
    approver = caller(cluster, busy, "approver", tmp_path, "agentid-approver")
    nobody = caller(cluster, busy, "nobody", tmp_path)

    seen = listed(approver)
    assert names_of(seen.said["tasks"]) == ["two", "one"]
    assert [each["owner"] for each in seen.said["tasks"]] == [None, None]
    assert "you may not list agents.agentid.dev" in seen.said["notKnown"][0]
    assert agentid(approver, "inventory", "--owner", "other-team@example.com").code == 1

    refused = agentid(nobody, "inventory")
    assert (refused.code, refused.out) == (1, "")
    assert f"you may not list agenttasks.agentid.dev in namespace {busy.namespace}" in refused.err
