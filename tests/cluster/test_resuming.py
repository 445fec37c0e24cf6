"""A resumed task's pod is attested again: the same images have to run in it as before the suspension."""

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task

SUSPENDED = {"spec": {"state": "Suspended"}}
ACTIVE = {"spec": {"state": "Active"}}
OTHER = "sha256:1"


@pytest.fixture
def suspended(team: Kubectl) -> Object:
    """A suspended task whose pod ran by then."""
    team.create([task(**ANY_POD), pod()])
    story.runs(team)
    playing.start(team, POD)
    # It is looked at as it runs once something else is: the operator works in the order of its watches.
    story.settled(team)
    team.patch("agenttask", TASK, SUSPENDED)
    held = story.stands(team, "Suspended")
    assert held["status"]["boundPod"]["runningImages"]
    return held


def message(of: Object) -> str:
    return str(story.conditions(of)["Finished"]["message"])


def test_pod_that_runs_the_same_as_before_gets_a_credential_again(team: Kubectl, suspended: Object) -> None:
    team.patch("agenttask", TASK, ACTIVE)

    resumed = story.runs(team)

    assert resumed["status"]["decision"]["action"] == "resume"
    bound = dict(suspended["status"]["boundPod"])
    del bound["runningImages"]
    assert resumed["status"]["boundPod"] == bound


@pytest.mark.parametrize("across_a_restart", [False, True])
def test_pod_that_runs_another_image_than_before_gets_none(
    team: Kubectl,
    suspended: Object,
    operator: OperatorProcess,
    across_a_restart: bool,  # noqa: FBT001 - a table
) -> None:
    if across_a_restart:
        operator.kill()
    playing.start(team, POD, OTHER)
    team.patch("agenttask", TASK, ACTIVE)
    if across_a_restart:
        operator.restart()

    ended = story.ends(team, "PodChanged")

    assert f"pod {POD} does not run the images that it ran" in message(ended)
    assert ended["status"]["credentialGeneration"] == suspended["status"]["credentialGeneration"]
    story.secret_gone_or_empty(team)


def test_pod_that_runs_another_image_gets_none_for_another_intent_either(
    team: Kubectl, suspended: Object
) -> None:
    team.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    changed = story.settled(team)
    assert changed["status"]["boundPod"] == suspended["status"]["boundPod"]
    playing.start(team, POD, OTHER)

    team.patch("agenttask", TASK, ACTIVE)

    story.ends(team, "PodChanged")


def test_pod_that_does_not_run_is_waited_for(team: Kubectl, suspended: Object) -> None:
    playing.pend(team, POD)
    team.patch("agenttask", TASK, ACTIVE)

    waiting = story.stands(team, "AwaitingPod")

    assert message(waiting).startswith(f"waits until all containers of pod {POD} run")
    assert story.serials(story.settled(team)) == []
    playing.start(team, POD)
    resumed = story.runs(team)
    assert set(story.serials(suspended)).isdisjoint(story.serials(resumed))


def test_where_no_container_ran_yet_what_runs_later_is_judged_by_policy(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    story.runs(team)
    team.patch("agenttask", TASK, SUSPENDED)
    assert "runningImages" not in story.stands(team, "Suspended")["status"]["boundPod"]
    team.patch("agenttask", TASK, ACTIVE)
    story.stands(team, "AwaitingPod")

    playing.start(team, POD, OTHER)

    assert story.runs(team)["status"]["decision"]["action"] == "resume"
