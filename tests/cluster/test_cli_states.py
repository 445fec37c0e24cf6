"""`agentid suspend`, `resume` and `end` on a real API server, as the right and the wrong people."""

from pathlib import Path

import pytest

from agentid.api.agenttask import DesiredState
from agentid.cli.orders import Order, Result
from agentid.cli.session import session
from agentid.cli.states import carry_out
from agentid.cli.where import Where
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from tests.cluster import story
from tests.cluster.callers import agentid, caller, names, user_of
from tests.cluster.objects import AGENT, agent, task

WHY = ("--reason", "looks wrong")


@pytest.fixture
def editor(cluster: ControlPlane, team: Kubectl, tmp_path: Path) -> Path:
    """Somebody who may work with the namespace's tasks."""
    return caller(cluster, team, "editor", tmp_path, "agentid-editor")


@pytest.fixture
def admin_config(cluster: ControlPlane) -> Path:
    return cluster.kubeconfig


def test_a_task_is_suspended_resumed_and_ended_and_the_operator_has_acted_when_the_command_returns(
    team: Kubectl, editor: Path
) -> None:
    team.create(task("one"))
    story.runs(team, "one")
    for command, status in (("suspend", "Suspended"), ("resume", "Running"), ("end", "Ended")):
        ended = agentid(editor, command, "one", *WHY)

        assert ended.code == 0, ended
        seen = team.get("agenttask", "one")
        assert story.standing(seen) == status
        assert bool(story.serials(seen)) is (status == "Running")
        assert seen["spec"]["stateReason"] == "looks wrong"
        assert seen["spec"]["stateChangedBy"]["username"] == user_of(team, "editor")
        assert ended.out.splitlines()[0].split() == ["NAME", "RESULT", "STATUS"]
        assert ended.out.splitlines()[1].split()[0::2] == ["one", status]


@pytest.mark.parametrize("by", ["agent", "requester", "on-behalf-of", "selector"])
def test_all_live_tasks_of_one_are_ended_and_nobody_elses(team: Kubectl, editor: Path, by: str) -> None:
    team.create(agent("other-agent"))
    team.as_user("alice@example.com", ["system:masters"]).create([task("hers"), task("hers-too")])
    team.create(
        [
            task("others"),
            task("of-agent", agentRef={"name": "other-agent"}),
            task("for-carol", onBehalfOf="carol@example.com"),
            {**task("labelled"), "metadata": {"name": "labelled", "labels": {"team": "blue"}}},
        ]
    )
    meant, value = {
        "agent": ({"of-agent"}, "other-agent"),
        "requester": ({"hers", "hers-too"}, "alice@example.com"),
        "on-behalf-of": ({"for-carol"}, "carol@example.com"),
        "selector": ({"labelled"}, "team=blue"),
    }[by]
    everybody = {"hers", "hers-too", "others", "of-agent", "for-carol", "labelled"}
    for each in everybody:
        story.runs(team, each)

    tried = agentid(editor, "end", f"--{by}", value, *WHY, "--dry-run", "-o", "json")
    assert names(tried.said["tasks"]) == dict.fromkeys(meant, "done"), tried
    assert tried.said["dryRun"] is True
    assert {story.standing(team.get("agenttask", each)) for each in everybody} == {"Running"}

    ended = agentid(editor, "end", f"--{by}", value, *WHY, "-o", "json")

    assert ended.code == 0, ended
    assert names(ended.said["tasks"]) == dict.fromkeys(meant, "done")
    over = {each for each in everybody if story.standing(team.get("agenttask", each)) == "Ended"}
    assert over == meant
    again = agentid(editor, "end", f"--{by}", value, *WHY)
    assert again.code == 1
    assert f"in namespace {team.namespace}" in again.err
    assert all(story.standing(team.get("agenttask", each)) == "Running" for each in everybody - meant)


def test_a_persons_tasks_in_all_namespaces_are_ended_with_one_command(
    admin: Kubectl, team: Kubectl, admin_config: Path
) -> None:
    elsewhere = admin.in_namespace(f"{team.namespace[:50]}-b")
    admin.create({"kind": "Namespace", "metadata": {"name": elsewhere.namespace}})
    try:
        elsewhere.create(agent())
        person = f"dave-{team.namespace}@example.com"
        for here in (team, elsewhere):
            here.as_user(person, ["system:masters"]).create(task("his"))
            story.runs(here, "his")

        ended = agentid(admin_config, "end", "--requester", person, "-A", *WHY, "-o", "wide")

        assert ended.code == 0, ended
        lines = [line.split() for line in ended.out.splitlines()]
        assert lines[0][0] == "NAMESPACE"
        assert {line[0] for line in lines[1:]} == {team.namespace, elsewhere.namespace}
        assert all(person in line for line in lines[1:])
        for here in (team, elsewhere):
            story.ends(here, "Ended", "his")
    finally:
        admin.delete("namespace", elsewhere.namespace, "--wait=false")


def test_who_may_only_look_changes_nothing_and_is_told_what_was_refused(
    cluster: ControlPlane, team: Kubectl, tmp_path: Path
) -> None:
    viewer = caller(cluster, team, "viewer", tmp_path, "agentid-viewer")
    team.create(task("one"))
    story.runs(team, "one")

    for options in ((), ("--dry-run",)):
        refused = agentid(viewer, "end", "one", *WHY, *options)
        assert refused.code == 1
        assert f"AgentTask {team.namespace}/one:" in refused.err
        assert 'cannot patch resource "agenttasks"' in refused.err
        assert refused.out.splitlines()[1].split()[1] == "refused"
    assert story.standing(team.get("agenttask", "one")) == "Running"


def test_who_may_not_look_either_is_told(cluster: ControlPlane, team: Kubectl, tmp_path: Path) -> None:
    nobody = caller(cluster, team, "nobody", tmp_path)
    team.create(task("one"))
    for which in (("one",), ("--agent", AGENT)):
        refused = agentid(nobody, "end", *which, *WHY)
        assert refused.code == 1
        assert "403 Forbidden" in refused.err
        assert refused.out == ""


def test_anothers_suspension_is_undone_only_by_who_may_resume(
    cluster: ControlPlane, team: Kubectl, editor: Path, admin_config: Path, tmp_path: Path
) -> None:
    on_call = caller(cluster, team, "on-call", tmp_path, "agentid-editor", "agentid-resume")
    team.create(task("one"))
    story.runs(team, "one")
    assert agentid(admin_config, "suspend", "one", "-n", team.namespace, *WHY).code == 0

    for options in (("--dry-run",), ()):
        refused = agentid(editor, "resume", "one", *WHY, *options)
        assert refused.code == 1
        assert 'it takes the verb "resume" on agenttasks.agentid.dev' in refused.err
    assert story.standing(team.get("agenttask", "one")) == "Suspended"

    assert agentid(on_call, "resume", "one", *WHY).code == 0
    story.runs(team, "one")


def test_a_suspension_takes_anothers_place_so_that_only_who_may_resume_ends_it(
    cluster: ControlPlane, team: Kubectl, editor: Path, tmp_path: Path
) -> None:
    on_call = caller(cluster, team, "on-call", tmp_path, "agentid-editor", "agentid-resume")
    another = caller(cluster, team, "another", tmp_path, "agentid-editor")
    team.create(task("one"))
    story.runs(team, "one")
    assert agentid(editor, "suspend", "one", *WHY).code == 0

    refused = agentid(another, "suspend", "one", "--reason", "incident 42")
    same = agentid(on_call, "suspend", "one", *WHY)
    taken = agentid(on_call, "suspend", "one", "--reason", "incident 42")

    assert (refused.code, same.code, taken.code) == (1, 1, 0), (refused, same, taken)
    assert 'it takes the verb "resume" on agenttasks.agentid.dev' in refused.err
    assert "Give another --reason, which makes the suspension yours" in same.err
    assert team.get("agenttask", "one")["spec"]["stateChangedBy"]["username"] == user_of(team, "on-call")
    assert agentid(editor, "resume", "one", *WHY).code == 1
    assert story.standing(team.get("agenttask", "one")) == "Suspended"


def test_what_cannot_be_done_any_more_or_is_so_already_is_told_apart(team: Kubectl, editor: Path) -> None:
    team.create([task("over"), task("idle"), task("runs")])
    for each in ("over", "idle", "runs"):
        story.runs(team, each)
    assert agentid(editor, "end", "over", *WHY).code == 0
    assert agentid(editor, "suspend", "idle", *WHY).code == 0

    said = [
        (agentid(editor, *command, *WHY, "-o", "json"), code, result, part)
        for command, code, result, part in (
            (("end", "over"), 0, "unchanged", "has ended already"),
            (("suspend", "over"), 1, "refused", "has ended (Ended), which is final"),
            (("resume", "over"), 1, "refused", "Create a new AgentTask"),
            (("suspend", "idle"), 0, "unchanged", f"set by {user_of(team, 'editor')}: looks wrong"),
            (("resume", "runs"), 0, "unchanged", "is Active already"),
        )
    ]
    for ended, code, result, part in said:
        assert (ended.code, ended.said["tasks"][0]["result"]) == (code, result), ended
        assert part in ended.said["tasks"][0]["message"]

    none = agentid(editor, "end", "never-was", *WHY)
    assert none.code == 1
    assert f"AgentTask {team.namespace}/never-was does not exist" in none.err


def test_only_suspended_tasks_are_meant_where_all_of_an_agent_are_resumed(
    team: Kubectl, editor: Path
) -> None:
    team.create([task("idle"), task("runs")])
    for each in ("idle", "runs"):
        story.runs(team, each)
    assert agentid(editor, "suspend", "agenttask.agentid.dev/idle", *WHY).code == 0

    resumed = agentid(editor, "resume", "--agent", AGENT, *WHY, "-o", "name")

    assert resumed.out.split() == ["agenttask.agentid.dev/idle"], resumed
    story.runs(team, "idle")


@pytest.mark.usefixtures("no_operator")
def test_without_an_operator_the_change_is_made_and_told_not_to_be_acted_on(
    place: Kubectl, cluster: ControlPlane, tmp_path: Path
) -> None:
    editor = caller(cluster, place, "editor", tmp_path, "agentid-editor")
    place.create([task("one"), task("two")])

    late = agentid(editor, "end", "one", *WHY, "--timeout", "1", "-o", "yaml")
    assert late.code == 1
    assert "result: unsettled" in late.out
    assert "agentid doctor" in late.out
    assert agentid(editor, "end", "two", *WHY, "--no-wait").code == 0
    assert {each["spec"]["state"] for each in place.list("agenttask")} == {"Ended"}


@pytest.mark.usefixtures("no_operator")
async def test_a_task_of_the_same_name_is_not_the_one_that_was_meant(
    place: Kubectl, cluster: ControlPlane
) -> None:
    seen = place.create(task("one"))
    place.delete("agenttask", "one")
    place.create(task("one"))
    order = Order(DesiredState.ENDED, "looks wrong", within_seconds=0)

    async with session(Where(cluster.kubeconfig, None, place.namespace)) as here:
        (outcome,) = await carry_out(here, order, [seen], lambda _: None)

    assert outcome.result is Result.REFUSED
    assert "is another one by now" in outcome.message
    assert place.get("agenttask", "one")["spec"]["state"] == "Active"
