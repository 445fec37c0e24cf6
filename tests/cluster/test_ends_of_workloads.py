"""Every end that comes from the object in `workload.ref`: done, failed, gone, or another has its name."""

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.objects import TASK, job, task_of_job


@pytest.fixture
def worker(team: Kubectl) -> str:
    """The pod of a Job whose task runs."""
    team.create([task_of_job(), job()])
    story.runs(team)
    return playing.pod_of_job(team)


def message(finished: Object) -> str:
    return str(story.conditions(finished)["Finished"]["message"])


def test_task_is_complete_when_its_job_is(team: Kubectl, worker: str) -> None:
    playing.finish(team, worker)

    ended = story.ends(team, "Completed")
    story.secret_gone(team)
    assert f"Job {TASK} reported" in message(ended)
    assert story.told(team, ended, at_least=2)[-1].reason == "TaskCompleted"


def test_task_has_failed_when_its_job_has(team: Kubectl, worker: str) -> None:
    playing.finish(team, worker, "Failed")

    ended = story.ends(team, "Failed")
    story.secret_gone(team)
    assert "BackoffLimitExceeded" in message(ended)
    assert story.told(team, ended, at_least=2)[-1].reason == "TaskFailed"


def test_credential_is_taken_away_when_the_pod_is_done_even_before_the_job_says_so(
    team: Kubectl,
) -> None:
    team.create([task_of_job(), job(completions=2)])
    first = story.runs(team)
    done = playing.pod_of_job(team)

    playing.finish(team, done)
    second = playing.pod_of_job(team, good=lambda pod: pod["metadata"]["name"] != done)
    running = team.wait_for(
        "agenttask", TASK, lambda seen: seen["status"].get("boundPod", {}).get("name") == second
    )

    assert set(story.serials(first)).isdisjoint(story.serials(running))
    story.runs(team)
    playing.finish(team, second)
    story.ends(team, "Completed")


def test_task_ends_when_its_job_is_deleted(team: Kubectl, worker: str) -> None:
    playing.start(team, worker)
    team("delete", "job", TASK, "--wait=false", "--cascade=background")

    ended = story.ends(team, "WorkloadDeleted")
    story.secret_gone_or_empty(team)
    assert story.told(team, ended, at_least=2)[-1].reason == "TaskEnded"
    playing.remove(team, worker)
    story.secret_gone(team)


def test_task_of_a_deleted_job_is_not_the_task_of_one_of_the_same_name(team: Kubectl, worker: str) -> None:
    before = team.get("job", TASK)["metadata"]["uid"]
    team(
        "replace",
        "--force",
        "--cascade=background",
        "--filename=-",
        "--grace-period=0",
        stdin=playing.as_text(job()),
    )
    after = team.get("job", TASK)["metadata"]["uid"]
    assert after != before

    ended = story.ends(team, "WorkloadDeleted")
    story.secret_gone_or_empty(team)
    assert ended["status"]["workloadUID"] == before
    second = playing.pod_of_job(team, good=lambda pod: pod["metadata"]["name"] != worker)
    playing.remove(team, worker)
    settled = story.settled(team)
    assert story.standing(settled) == "WorkloadDeleted"
    assert settled["status"].get("boundPod", {}).get("name") != second
    story.secret_gone_or_empty(team)


def test_job_that_was_over_before_the_task_was_made_gives_no_identity(team: Kubectl) -> None:
    team.create(job())
    playing.finish(team, playing.pod_of_job(team))
    team("wait", "--for=condition=Complete", f"job/{TASK}", "--timeout=60s")

    team.create(task_of_job())

    story.ends(team, "Completed")
    assert team.find("secret", f"agentid-{TASK}") is None


@pytest.mark.parametrize("suspended", [True, False])
def test_suspended_job_leaves_its_task_waiting_for_a_pod(team: Kubectl, suspended: bool) -> None:  # noqa: FBT001 - a table
    team.create([task_of_job(), job(suspend=suspended)])

    if suspended:
        story.stands(team, "AwaitingPod")
        team.patch("job", TASK, {"spec": {"suspend": False}})
    running = story.runs(team)
    assert running["status"]["boundPod"]["name"] == playing.pod_of_job(team)
