"""Every end that comes from a pod, as a kubelet and the API server report it."""

import json

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.e2e import inside
from tests.e2e.objects import BUSYBOX, LINGERS, PYTHON, container, pod, task_of_pod

STAY = ("deleted", "evicted", "new-image", "debugged", "lingers")


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """Pods with their tasks: two that end by themselves, and those that stay."""
    pods = [
        pod("succeeds", container("sh", "-c", "test -s $SPIFFE_CREDENTIAL_FOLDER/tls.key")),
        pod("fails", container("sh", "-c", "exit 3")),
        pod("lingers", container("sh", "-c", LINGERS), terminationGracePeriodSeconds=300),
        *(pod(name) for name in STAY if name != "lingers"),
    ]
    together.create([task_of_pod(each["metadata"]["name"]) for each in pods] + pods)
    inside.running(together, *STAY)
    return together


def told(place: Kubectl, task: Object) -> list[str]:
    """The reasons of the Events that tell of a task's life."""
    return [each.reason for each in story.told(place, task, at_least=2)]


@pytest.mark.parametrize(
    ("name", "phase", "reason", "event"),
    [
        ("succeeds", "Succeeded", "Completed", "TaskCompleted"),
        ("fails", "Failed", "Failed", "TaskFailed"),
    ],
)
def test_the_task_ends_as_its_pod_did(place: Kubectl, name: str, phase: str, reason: str, event: str) -> None:
    assert inside.is_over(place, name)["status"]["phase"] == phase

    ended = story.ends(place, reason, name, inside.STARTED)
    story.secret_gone(place, name, inside.STARTED)
    assert told(place, ended) == ["CredentialIssued", event]


def test_the_task_ends_when_its_pod_is_deleted(place: Kubectl) -> None:
    story.runs(place, "deleted", inside.STARTED)

    place.delete("pod", "deleted")

    ended = story.ends(place, "PodDeleted", "deleted", inside.STARTED)
    story.secret_gone(place, "deleted", inside.STARTED)
    assert told(place, ended)[:2] == ["CredentialIssued", "TaskEnded"]


def test_the_task_ends_when_its_pod_is_evicted(place: Kubectl) -> None:
    story.runs(place, "evicted", inside.STARTED)

    playing.evict(place, "evicted")

    ended = story.ends(place, "PodEvicted", "evicted", inside.STARTED)
    story.secret_gone(place, "evicted", inside.STARTED)
    assert told(place, ended)[1] in {"TaskFailed", "TaskEnded"}


def test_the_task_ends_at_once_while_its_deleted_pod_still_runs(place: Kubectl) -> None:
    story.runs(place, "lingers", inside.STARTED)

    playing.leave(place, "lingers")

    story.ends(place, "PodDeleted", "lingers", inside.STARTED)
    story.secret_emptied(place, "lingers", inside.STARTED)
    (container,) = place.get("pod", "lingers")["status"]["containerStatuses"]
    assert "running" in container["state"]
    inside.sh(place, "lingers", "touch /tmp/go")
    story.secret_gone(place, "lingers", inside.STARTED)
    place.wait_gone("pod", "lingers", inside.STARTED)


def test_a_new_image_in_the_running_pod_ends_the_task(place: Kubectl) -> None:
    story.runs(place, "new-image", inside.STARTED)

    place("set", "image", "pod/new-image", f"agent={PYTHON}")

    ended = story.ends(place, "PodChanged", "new-image", inside.STARTED)
    story.secret_gone_or_empty(place, "new-image", inside.STARTED)
    assert told(place, ended) == ["CredentialIssued", "PodChanged"]


def test_a_debugger_in_the_running_pod_ends_the_task_and_finds_empty_files(place: Kubectl) -> None:
    story.runs(place, "debugged", inside.STARTED)
    assert inside.read(place, "debugged", "tls.key")

    debug = ("--container=debugger", f"--image={BUSYBOX}", "--image-pull-policy=IfNotPresent")
    place("debug", "debugged", *debug, "--attach=false", "--quiet", "--", "sleep", "300")

    ended = story.ends(place, "PodChanged", "debugged", inside.STARTED)
    inside.emptied(place, "debugged")
    assert "debugged" in story.conditions(ended)["Finished"]["message"], json.dumps(ended["status"])
