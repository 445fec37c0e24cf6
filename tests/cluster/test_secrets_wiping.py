"""What becomes of a Secret whose credential was taken away, by an operator that waits three seconds."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import leases, playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task

GRACE = {"AGENTID_WIPE_GRACE_SECONDS": "3"}


@pytest.fixture(scope="module")
def hasty(operator_of_session: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, which gives a kubelet three seconds to see that a Secret is empty."""
    leases.begin_anew(operator_of_session, GRACE)
    yield operator_of_session
    operator_of_session.terminate()


@pytest.fixture
def running(hasty: OperatorProcess, place: Kubectl) -> Object:
    """A task whose pod has the credential and runs."""
    assert hasty.alive()
    place.create([task(**ANY_POD), pod()])
    found = story.runs(place)
    playing.start(place, POD)
    return found


def end(place: Kubectl) -> None:
    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})


def test_secret_of_a_living_pod_is_emptied_at_once_and_deleted_after_the_wipe_grace(
    place: Kubectl, running: Object
) -> None:
    uid = place.get("secret", f"agentid-{TASK}")["metadata"]["uid"]
    end(place)
    emptied = story.secret_emptied(place)
    assert emptied["metadata"]["uid"] == uid
    assert {each["uid"] for each in emptied["metadata"]["ownerReferences"]} == {
        running["metadata"]["uid"],
        running["status"]["boundPod"]["uid"],
    }

    story.secret_gone(place)

    assert place.get("pod", POD)["status"]["phase"] == "Running"
    _, ended, deleted = story.told(place, running, at_least=3)
    assert (ended.reason, deleted.reason) == ("TaskEnded", "CredentialDeleted")
    assert f"Secret agentid-{TASK} deleted, which was empty since" in deleted.note


def test_secret_emptied_before_a_restart_is_deleted_after_it(
    place: Kubectl, running: Object, hasty: OperatorProcess
) -> None:
    end(place)
    story.secret_emptied(place)

    leases.begin_anew(hasty, GRACE)

    story.secret_gone(place)
    assert story.told(place, running, at_least=3)[-1].reason == "CredentialDeleted"
    assert place.get("pod", POD)["status"]["phase"] == "Running"


def test_secret_emptied_before_a_kill_goes_when_its_pod_went_meanwhile(
    place: Kubectl, running: Object, hasty: OperatorProcess
) -> None:
    assert running
    end(place)
    story.secret_emptied(place)

    hasty.kill()
    playing.remove(place, POD)
    leases.begin(hasty, GRACE)

    story.secret_gone(place)


def test_secret_of_a_deleted_task_is_wiped_across_a_restart(
    place: Kubectl, running: Object, hasty: OperatorProcess
) -> None:
    assert running
    hasty.kill()
    place.delete("agenttask", TASK)
    assert place.find("secret", f"agentid-{TASK}") is not None, "its pod keeps it from the garbage collector"

    leases.begin(hasty, GRACE)

    story.secret_emptied(place)
    story.secret_gone(place)
    assert place.get("pod", POD)["status"]["phase"] == "Running"


def test_predecessors_emptied_secret_goes_after_the_grace_though_its_pod_lives_and_a_successor_waits(
    place: Kubectl, running: Object
) -> None:
    place.delete("agenttask", TASK)
    emptied = story.secret_emptied(place)

    place.create(task(**ANY_POD))

    successor = story.runs(place, within=timedelta(seconds=25))
    secret = place.get("secret", f"agentid-{TASK}")
    assert secret["metadata"]["uid"] != emptied["metadata"]["uid"]
    assert set(story.serials(running)).isdisjoint(story.serials(successor))
    assert place.get("pod", POD)["status"]["phase"] == "Running"
    assert "SecretNameTaken" in [each.reason for each in story.told(place, successor, at_least=2)]


def test_secret_of_a_suspended_task_stays_empty_beyond_the_wipe_grace_for_its_pod(
    place: Kubectl, running: Object
) -> None:
    uid = place.get("secret", f"agentid-{TASK}")["metadata"]["uid"]
    place.patch("agenttask", TASK, {"spec": {"state": "Suspended"}})
    story.secret_emptied(place)
    # Another task's Secret is deleted after the grace, so this one's grace is over by then.
    place.create([task("other", **ANY_POD), pod("other", of="other")])
    story.runs(place, "other")
    playing.start(place, "other")
    place.patch("agenttask", "other", {"spec": {"state": "Ended"}})
    story.secret_gone(place, "other", timedelta(seconds=20))

    assert story.is_empty(place.get("secret", f"agentid-{TASK}"))
    place.patch("agenttask", TASK, {"spec": {"state": "Active"}})

    resumed = story.runs(place)
    assert place.get("secret", f"agentid-{TASK}")["metadata"]["uid"] == uid
    assert set(story.serials(running)).isdisjoint(story.serials(resumed))
