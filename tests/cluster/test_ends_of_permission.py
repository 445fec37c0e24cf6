"""Every end that somebody decides: the Agent's ceiling, review and switch, the task's state, its deletion."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, agent, job, pod, task, task_of_job

ASKS: Mapping[str, Any] = {
    "intent": {
        "purpose": "Refund order 4711",
        "actions": ["orders:read"],
        "grantable": ["refunds:create"],
        "sensitivity": "Internal",
    }
}

PATIENTLY = timedelta(minutes=2)

NARROWER: Mapping[str, tuple[dict[str, Any], str]] = {
    "actions": ({"actions": ["refunds:create"]}, "intent.actions asks for orders:read"),
    "grantable": ({"actions": ["orders:read"]}, "intent.grantable asks for refunds:create"),
    "sensitivity": ({"maxSensitivity": "Public"}, "intent.sensitivity is Internal"),
    "deadline": ({"maxActiveDeadlineSeconds": 60}, "activeDeadlineSeconds is 3600"),
    "service account": ({"serviceAccounts": ["other"]}, "service account"),
    "no service account": ({"serviceAccounts": []}, "service account"),
}


def message(finished: Object) -> str:
    return str(story.conditions(finished)["Finished"]["message"])


@pytest.fixture
def running(team: Kubectl) -> Object:
    """A task whose pod has the credential and runs."""
    team.create([task(**ANY_POD, **ASKS), pod()])
    found = story.runs(team)
    playing.start(team, POD)
    return found


def revoked(team: Kubectl, running: Object) -> Object:
    """Wait until the task is revoked and its credential is out of the running pod's Secret."""
    ended = story.ends(team, "Revoked")
    story.secret_emptied(team)
    event = story.told(team, ended, at_least=2)[-1]
    assert (event.reason, event.action, event.kind) == ("TaskRevoked", "End", "Warning")
    assert story.serials(running)[0] in event.note
    assert story.conditions(ended)["Approved"]["status"] == "False"
    return ended


def test_switching_the_agent_off_ends_its_running_task_now(team: Kubectl, running: Object) -> None:
    team.patch("agent", AGENT, {"spec": {"disabled": True}})

    assert "is switched off" in message(revoked(team, running))


def test_switching_the_agent_off_denies_its_waiting_task(team: Kubectl) -> None:
    team.create(task(**ANY_POD))
    story.stands(team, "AwaitingPod")

    team.patch("agent", AGENT, {"spec": {"disabled": True}})

    ended = story.ends(team, "Denied")
    assert "is switched off" in message(ended)
    assert team.find("secret", f"agentid-{TASK}") is None


def test_switching_the_agent_on_again_brings_no_ended_task_back(team: Kubectl, running: Object) -> None:
    team.patch("agent", AGENT, {"spec": {"disabled": True}})
    revoked(team, running)

    team.patch("agent", AGENT, {"spec": {"disabled": False}})

    assert story.standing(story.settled(team)) == "Revoked"


def test_deleting_the_agent_ends_its_running_task(team: Kubectl, running: Object) -> None:
    team.delete("agent", AGENT)

    assert "does not exist" in message(revoked(team, running))
    team.create(agent())
    assert story.standing(story.settled(team)) == "Revoked"


def test_overdue_review_ends_the_running_task(team: Kubectl, running: Object) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)

    team.patch("agent", AGENT, {"spec": {"reviewBy": f"{yesterday:%Y-%m-%dT%H:%M:%SZ}"}})

    assert "was to be reviewed by" in message(revoked(team, running))


def test_review_that_falls_due_while_the_task_runs_ends_it_at_that_moment(
    team: Kubectl, running: Object
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)

    team.patch("agent", AGENT, {"spec": {"reviewBy": f"{soon:%Y-%m-%dT%H:%M:%SZ}"}})
    ended = revoked(team, running)

    assert datetime.fromisoformat(ended["status"]["endTime"]) >= soon


@pytest.mark.parametrize("what", NARROWER)
def test_narrower_ceiling_ends_what_goes_beyond_it(team: Kubectl, running: Object, what: str) -> None:
    spec, says = NARROWER[what]

    team.patch("agent", AGENT, {"spec": spec})

    assert says in message(revoked(team, running))


def test_wider_ceiling_changes_nothing(team: Kubectl, running: Object) -> None:
    team.patch("agent", AGENT, {"spec": {"actions": ["orders:*", "refunds:*", "mail:send"]}})

    settled = story.settled(team)
    assert settled["status"] == running["status"]


def test_state_ended_ends_the_task_and_says_who_and_why(team: Kubectl, running: Object) -> None:
    team.patch("agenttask", TASK, {"spec": {"state": "Ended", "stateReason": "looked odd"}})

    ended = story.ends(team, "Ended")
    story.secret_emptied(team)
    assert "by agentid-admin: looked odd" in message(ended)
    event = story.told(team, ended, at_least=2)[-1]
    assert (event.reason, event.action, event.related) == ("TaskEnded", "End", f"Pod/{POD}")
    assert story.serials(running)[0] in event.note


def test_state_ended_ends_a_waiting_task(team: Kubectl) -> None:
    team.create(task(**ANY_POD))
    story.stands(team, "AwaitingPod")

    team.patch("agenttask", TASK, {"spec": {"state": "Ended"}})

    ended = story.ends(team, "Ended")
    assert "credentialGeneration" not in ended["status"]
    assert team.find("secret", f"agentid-{TASK}") is None


def test_task_created_as_ended_never_gets_a_credential(team: Kubectl) -> None:
    team.create([task(state="Ended", **ANY_POD), pod()])

    ended = story.ends(team, "Ended")
    assert "credentialGeneration" not in ended["status"]
    assert team.find("secret", f"agentid-{TASK}") is None


def test_deleting_the_task_wipes_the_files_in_its_running_pod_first(team: Kubectl, running: Object) -> None:
    team.delete("agenttask", TASK)

    emptied = story.secret_emptied(team)
    assert emptied["metadata"]["labels"]["agentid.dev/task-uid"] == running["metadata"]["uid"]
    event = told_of_end(team, running)
    assert event.related == f"Pod/{POD}"
    assert f"serial {story.serials(running)[0]} revoked, Secret agentid-{TASK} emptied" in event.note
    playing.finish(team, POD)
    story.secret_gone(team)


def test_deleting_a_task_without_a_pod_takes_its_secret_at_once(team: Kubectl) -> None:
    team.create(task())
    alone = story.runs(team)

    team.delete("agenttask", TASK)

    story.secret_gone(team)
    event = told_of_end(team, alone)
    assert event.related == f"Secret/agentid-{TASK}"
    assert f"serial {story.serials(alone)[0]} revoked, Secret agentid-{TASK} deleted" in event.note


def told_of_end(team: Kubectl, gone: Object) -> story.Told:
    """Wait until an Event tells how a task ended that was deleted, and return it."""
    event = story.told(team, gone, at_least=2)[-1]
    assert (event.reason, event.action, event.kind) == ("TaskEnded", "End", "Normal")
    assert "the AgentTask was deleted" in event.note
    return event


def test_deleting_a_task_that_has_ended_tells_of_no_second_end(team: Kubectl) -> None:
    team.create(task())
    story.runs(team)
    team.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    over = story.ends(team, "Ended")
    before = story.told(team, over, at_least=2)

    team.delete("agenttask", TASK)
    team.create(task("later"))
    story.runs(team, "later")

    assert story.told(team, over, at_least=2) == before


def test_task_in_foreground_deletion_ends_before_it_is_gone(team: Kubectl) -> None:
    held = task(**ANY_POD)
    held["metadata"]["finalizers"] = ["example.com/held"]
    team.create([held, pod()])
    story.runs(team)

    team("delete", "agenttask", TASK, "--cascade=foreground", "--wait=false")

    ended = story.ends(team, "Deleted")
    story.secret_gone_or_empty(team)
    assert "deletionTimestamp" in ended["metadata"]
    team.patch("agenttask", TASK, {"metadata": {"finalizers": None}})
    team.wait_gone("agenttask", TASK)


def test_namespace_with_live_tasks_goes_with_them(team: Kubectl, admin: Kubectl) -> None:
    names = [f"task-{number}" for number in range(10)]
    team.create([each for name in names for each in (task(name, **ANY_POD), pod(name, of=name))])
    team.create([task_of_job(), job(), task("unbound")])
    for name in ("task-0", "task-9", TASK, "unbound"):
        story.runs(team, name)

    admin.delete("namespace", team.namespace, "--wait=false")
    playing.clear_until_gone(team, admin, timedelta(minutes=3))

    assert admin.find("namespace", team.namespace) is None


def test_tasks_of_one_agent_end_together_and_others_run_on(team: Kubectl) -> None:
    other = task("other")
    other["spec"]["agentRef"] = {"name": "other-agent"}
    team.create([agent("other-agent"), other, task("one"), task("two")])
    for name in ("one", "two", "other"):
        story.runs(team, name)

    team.patch("agent", AGENT, {"spec": {"disabled": True}})

    for name in ("one", "two"):
        story.ends(team, "Revoked", name)
        story.secret_gone(team, name)
    assert story.standing(story.settled(team, "other")) == "Running"


def all_stand(team: Kubectl, reason: str) -> set[str]:
    """Wait until the STATUS of every task of the namespace is `reason`, and return their names."""
    seen = wait_until(
        f"all tasks are {reason}",
        lambda: {each["metadata"]["name"]: story.standing(each) for each in team.list("agenttasks")},
        lambda standings: set(standings.values()) == {reason},
        within=PATIENTLY,
    )
    return set(seen)


def test_switch_ends_fifty_running_tasks(team: Kubectl) -> None:
    names = {f"task-{number}" for number in range(50)}
    team.create([task(name) for name in names])
    all_stand(team, "Running")

    team.patch("agent", AGENT, {"spec": {"disabled": True}})

    assert all_stand(team, "Revoked") == names
    wait_until("no Secret is left", lambda: team.list("secrets"), lambda seen: not seen, within=PATIENTLY)
