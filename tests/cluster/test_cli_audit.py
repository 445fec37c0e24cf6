"""`agentid audit` and `report` on the ledger that the operator writes, as somebody who may read just that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.callers import Ended, agentid, agentid_process, caller
from tests.cluster.objects import AGENT, task

CAROL = "carol@example.com"


@pytest.fixture
def auditor(cluster: ControlPlane, admin: Kubectl, team: Kubectl, tmp_path: Path) -> Iterator[Path]:
    """Somebody who may read the ledger, and nothing else."""
    name = f"auditor-{team.namespace[-20:].strip('-')}"
    home = admin.in_namespace(NAMESPACE)
    yield caller(cluster, home, name, tmp_path, "agentid-auditor")
    home.delete("rolebinding", f"{name}-agentid-auditor")
    home.delete("serviceaccount", name)


@pytest.fixture
def lived(team: Kubectl) -> dict[str, Any]:
    """A task that was issued, suspended, resumed and ended, of which no object and no Event is left."""
    team.create(task("one", onBehalfOf=CAROL, credential={"ttlSeconds": 600}))
    first = story.serials(story.runs(team, "one"))
    team.patch("agenttask", "one", {"spec": {"state": "Suspended", "stateReason": "looks wrong"}})
    story.stands(team, "Suspended", "one")
    team.patch("agenttask", "one", {"spec": {"state": "Active"}})
    second = story.serials(story.runs(team, "one"))
    team.patch("agenttask", "one", {"spec": {"state": "Ended", "stateReason": "done by hand"}})
    story.ends(team, "Ended", "one")
    uid = team.get("agenttask", "one")["metadata"]["uid"]
    team.delete("agenttask", "one")
    team("delete", "events", "--all")
    return {"uid": uid, "serials": [*first, *second]}


def kinds(config: Path, here: Kubectl, *options: str) -> list[str]:
    ended = agentid(config, "audit", "query", "-n", here.namespace, *options, "-o", "json")
    assert ended.code == 0, ended
    return [each["kind"] for each in ended.said["records"]]


def told(config: Path, here: Kubectl, *kinds_wanted: str) -> None:
    """Wait until the records are there: an end waits for nothing, and its record follows."""
    wait_until(
        f"{kinds_wanted} are recorded",
        lambda: kinds(config, here),
        lambda found: found == list(kinds_wanted),
        within=story.PROMPTLY,
    )


LIFE = ("issued", "suspended", "resumed", "ended")


def test_the_story_of_a_task_that_is_gone_is_told_by_the_ledger(
    team: Kubectl, auditor: Path, lived: dict[str, Any]
) -> None:
    told(auditor, team, *LIFE)
    one, two = lived["serials"]

    shown = agentid(auditor, "audit", "show", "one", "-n", team.namespace, "-o", "json")
    (found,) = shown.said["tasks"]
    assert (shown.code, found["uid"], shown.said["notes"]) == (0, lived["uid"], [])
    assert [each["kind"] for each in found["records"]] == list(LIFE)
    text = agentid(auditor, "audit", "show", lived["uid"]).out
    said = " ".join(text.split())
    for part in (
        f"{team.namespace}/one ({lived['uid']}) has ended: Ended.",
        f"agent {AGENT}",
        f"on behalf of {CAROL}",
        f"issued: serial {one} until ",
        "decided by ClusterAgentPolicy/",
        "suspended (Suspended): ",
        f"counts no longer: serial {one}",
        f"resumed: serial {two} until ",
        "ended (Ended): ",
        "done by hand",
        f"counts no longer: serial {two}",
        # "not recorded", or "no decision point", where that of another test reports to the same ledger.
        "used no",
    ):
        assert part in said, (part, text)
    nobody = agentid(auditor, "audit", "show", "none", "-n", team.namespace)
    assert (nobody.code, nobody.out) == (1, "")
    assert f"no record tells of a task none in namespace {team.namespace}" in nobody.err


def test_records_are_found_by_what_they_say(team: Kubectl, auditor: Path, lived: dict[str, Any]) -> None:
    told(auditor, team, *LIFE)
    assert kinds(auditor, team, "--event", "ended", "--event", "issued") == ["issued", "ended"]
    assert kinds(auditor, team, "--serial", lived["serials"][0]) == ["issued", "suspended"]
    assert kinds(auditor, team, "--agent", AGENT, "--delegator", CAROL) == list(LIFE)
    assert kinds(auditor, team, "--requester", "nobody@example.com") == []
    assert kinds(auditor, team, "--since", "1h") == list(LIFE)
    assert kinds(auditor, team, "--until", "2026-01-01") == []
    rows = agentid(auditor, "audit", "query", "-n", team.namespace).out.splitlines()
    assert [row.split()[1:5] for row in rows[1:]] == [[each, team.namespace, "one", AGENT] for each in LIFE]
    names = agentid(auditor, "audit", "query", "-A", "--event", "ledgerStarted", "-o", "name").out
    assert names.strip() in {"", "1-0"}


def test_what_is_exported_is_verified_without_a_cluster_and_one_byte_changed_is_found(
    team: Kubectl, auditor: Path, lived: dict[str, Any], tmp_path: Path
) -> None:
    told(auditor, team, *LIFE)
    checkpoint, exported, key = tmp_path / "checkpoint", tmp_path / "ledger.jsonl", tmp_path / "key.pem"
    there = agentid(auditor, "audit", "verify", "--save-checkpoint", str(checkpoint), "-o", "json")
    wrong = [each for each in there.said["findings"] if not each["notice"]]
    assert (wrong, there.code, there.said["right"]) == ([], 0, True)
    started = agentid(auditor, "audit", "query", "-A", "--event", "ledgerStarted", "-o", "json")
    key.write_text(started.said["records"][0]["public_key"])

    written = agentid(auditor, "audit", "export", "--out", str(exported))
    assert (written.code, written.out) == (0, "")
    here = offline("audit", "verify", "--file", str(exported), "--key", str(key), "--since", str(checkpoint))
    assert here.code == 0, here
    assert "The ledger is whole." in here.out
    assert "counts no longer" in offline("audit", "show", lived["uid"], "--file", str(exported)).out

    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(exported.read_bytes().replace(b"done by hand", b"done by hund"))
    touched = offline("audit", "verify", "--file", str(copy), "--key", str(key))
    assert touched.code == 1
    assert ": edited: its records are not the" in touched.out
    again = agentid(auditor, "audit", "export", "--out", str(exported))
    assert (again.code, "is there already" in again.err) == (1, True)


def test_one_record_is_proved_to_who_has_the_key(
    team: Kubectl, auditor: Path, lived: dict[str, Any], tmp_path: Path
) -> None:
    told(auditor, team, *LIFE)
    proof, key = tmp_path / "proof.json", tmp_path / "key.pem"
    started = agentid(auditor, "audit", "query", "-A", "--event", "ledgerStarted", "-o", "json")
    key.write_text(started.said["records"][0]["public_key"])
    name = agentid(
        auditor, "audit", "query", "-n", team.namespace, "--event", "ended", "-o", "name"
    ).out.strip()

    assert agentid(auditor, "audit", "prove", name, "--out", str(proof)).code == 0

    checked = offline("audit", "check-proof", str(proof), "--key", str(key), "-o", "json")
    assert (checked.code, checked.said["record"]["uid"]) == (0, lived["uid"])
    proof.write_text(proof.read_text().replace("done by hand", "done by hund"))
    assert offline("audit", "check-proof", str(proof), "--key", str(key)).code == 1


@pytest.mark.usefixtures("lived")
def test_an_agent_is_reported_on(team: Kubectl, auditor: Path) -> None:
    told(auditor, team, *LIFE)
    ended = agentid(auditor, "report", "-n", team.namespace, "-o", "json")
    assert ended.code == 0, ended
    (agent,) = ended.said["agents"]
    assert (agent["agent"], agent["tasks"], agent["credentials"], agent["suspended"]) == (AGENT, 1, 2, 1)
    assert (agent["ends"], agent["used"] or {}, agent["withoutEnd"]) == ({"Ended": 1}, {}, 0)
    assert "you may not list agents" in ended.said["notes"][0]
    rows = agentid(auditor, "report", "-n", team.namespace).out
    assert "used no" in " ".join(rows.split())


def test_who_may_not_read_the_ledger_is_told_what_would_let_them(
    cluster: ControlPlane, team: Kubectl, tmp_path: Path
) -> None:
    viewer = caller(cluster, team, "viewer", tmp_path, "agentid-viewer")
    for command in (("audit", "verify"), ("audit", "query"), ("audit", "show", "one"), ("report",)):
        refused = agentid(viewer, *command)
        assert (refused.code, refused.out) == (1, "")
        assert f"you may not list ledgerbatches.agentid.dev in namespace {NAMESPACE}" in refused.err
        assert "ClusterRole agentid-auditor gives that, bound by a RoleBinding there" in refused.err
    elsewhere = agentid(viewer, "audit", "verify", "--ledger-namespace", team.namespace)
    assert f"in namespace {team.namespace}; ClusterRole agentid-auditor" in elsewhere.err


def offline(*arguments: str) -> Ended:
    """Run a command in a process that knows of no cluster."""
    return agentid_process(None, *arguments)
