"""Tasks whose workload is a Job: it completes, it fails, a CronJob makes it, its pod is drained."""

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import task_of_job
from tests.e2e import inside
from tests.e2e.objects import LINGERS, container, job, job_spec, pod_spec

READS_KEY = "test -s $SPIFFE_CREDENTIAL_FOLDER/tls.key"
NIGHTLY = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "nightly"},
    "spec": {
        "schedule": "0 3 * * *",
        "jobTemplate": {"spec": job_spec("nightly-4711", container("sh", "-c", READS_KEY))},
    },
}


def drained_job() -> Object:
    """A Job whose pod goes on for as long as it likes once it is asked to end."""
    made = job("drained", backoffLimit=3)
    made["spec"]["template"]["spec"] = pod_spec(
        container("sh", "-c", LINGERS), terminationGracePeriodSeconds=300
    )
    return made


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """All Jobs of this module with their tasks."""
    jobs = [
        job("completes", container("sh", "-c", READS_KEY)),
        job("fails", container("sh", "-c", "exit 3")),
        drained_job(),
    ]
    together.create([task_of_job(each["metadata"]["name"]) for each in jobs] + jobs)
    together.create([NIGHTLY, task_of_job("nightly-4711")])
    together("create", "job", "nightly-4711", "--from=cronjob/nightly")
    return together


def pod_of(place: Kubectl, name: str, but: str = "") -> str:
    """Wait until a Job has a pod that runs, other than the one named, and return its name."""

    def candidates() -> list[Object]:
        pods = place.list("pods", f"--selector=batch.kubernetes.io/job-name={name}")
        return [each for each in pods if each["metadata"]["name"] != but]

    found = wait_until(
        f"a pod of Job {name} runs",
        candidates,
        lambda seen: any(each["status"].get("phase") == "Running" for each in seen),
        within=inside.STARTED,
    )
    return str(found[0]["metadata"]["name"])


@pytest.mark.parametrize(
    ("name", "reason", "event"),
    [
        ("completes", "Completed", "TaskCompleted"),
        ("fails", "Failed", "TaskFailed"),
        ("nightly-4711", "Completed", "TaskCompleted"),
    ],
)
def test_the_task_ends_as_its_job_did(place: Kubectl, name: str, reason: str, event: str) -> None:
    finished = place.wait_for(
        "agenttask", name, story.is_finished, inside.STARTED, f"AgentTask {name} is finished"
    )

    assert story.ends(place, reason, name) == finished
    assert f"Job {name}" in story.conditions(finished)["Finished"]["message"]
    assert finished["status"]["workloadUID"] == place.get("job", name)["metadata"]["uid"]
    story.secret_gone(place, name, inside.STARTED)
    assert story.told(place, finished, at_least=2)[-1].reason == event


def test_the_replacement_of_a_drained_pod_waits_for_its_end_and_gets_a_credential_of_its_own(
    place: Kubectl,
) -> None:
    drained = pod_of(place, "drained")
    first = story.runs(place, "drained", inside.STARTED)
    inside.holds(place, drained, story.serials(first)[-1])
    key = inside.read(place, drained, "tls.key")

    playing.evict(place, drained)
    replacement = pod_of(place, "drained", but=drained)

    waiting = story.stands(place, "AwaitingPod", "drained", inside.STARTED)
    assert story.serials(waiting) == []
    assert "deletionTimestamp" in place.get("pod", drained)["metadata"]
    assert not any(inside.sizes(place, replacement).values()), "no key while the first pod still runs"
    inside.sh(place, drained, "touch /tmp/go")

    second = story.runs(place, "drained", inside.STARTED)
    assert second["status"]["boundPod"]["name"] == replacement
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    inside.holds(place, replacement, story.serials(second)[-1])
    assert inside.read(place, replacement, "tls.key") != key
    assert not any(inside.restarts(place.get("pod", replacement)))
