"""Each file of `deploy/examples`, applied as it stands, does what its comment says on a real node."""

from pathlib import Path

import pytest
import yaml

from devcluster.kubectl import Kubectl, Object
from devcluster.places import CHECKOUT
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.people import refusal
from tests.e2e import inside

EXAMPLES = CHECKOUT / "deploy" / "examples"
RAN = (
    "02-job",
    "03-pod",
    "04-unbound-task",
    "05-suspended",
    "06-replaced-pod",
    "07-on-behalf-of",
    "08-own-volume",
    "11-cronjob",
)
WITHOUT_POD = ("12-family", "13-emergency")
ELSEWHERE = ("09-static-secret", "10-task-with-static-secret", "14-step-under-approval")
"""Those that tests on the API server apply: they take values of the chart, or make others wait."""


def example(name: str) -> Path:
    return EXAMPLES / f"{name}.yaml"


@pytest.fixture(scope="module")
def place(shared_namespace: Kubectl) -> Kubectl:
    """A namespace to which the examples with pods are applied, in their order."""
    for name in ("01-agent", *RAN):
        shared_namespace.apply(example(name))
    return shared_namespace


def deployed(place: Kubectl, but: str = "") -> str:
    """Wait until the Deployment has a running pod other than the one named, and return its name."""

    def look() -> list[Object]:
        pods = place.list("pods", "--selector=app=refund-desk")
        return [each for each in pods if each["metadata"]["uid"] != but]

    found = wait_until(
        "a pod of the Deployment runs",
        look,
        lambda seen: len(seen) == 1 and seen[0]["status"].get("phase") == "Running",
        within=inside.STARTED,
    )
    return str(found[0]["metadata"]["name"])


def test_every_example_is_run_here() -> None:
    run = {"01-agent", *RAN, *WITHOUT_POD, *ELSEWHERE}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == run


def test_a_jobs_pod_lists_its_files_and_the_task_ends_with_the_job(place: Kubectl) -> None:
    story.runs(place, "refund-4711", inside.STARTED)

    place.wait_for(
        "job", "refund-4711", lambda job: job.get("status", {}).get("completionTime"), inside.STARTED
    )
    listed = place("logs", "job/refund-4711")

    for file in ("tls.crt", "tls.key", "ca.crt", "credential-bundle.private-key.pem"):
        assert file in listed
    story.ends(place, "Completed", "refund-4711", inside.STARTED)
    story.secret_gone(place, "refund-4711")


def test_a_labelled_pod_has_an_identity_until_it_is_over(place: Kubectl) -> None:
    inside.running(place, "refund-4712")
    running = story.runs(place, "refund-4712", inside.STARTED)

    assert running["status"]["boundPod"]["name"] == "refund-4712"
    assert inside.sizes(place, "refund-4712")["tls.key"]
    place.delete("pod", "refund-4712", "--grace-period=1")
    story.ends(place, "PodDeleted", "refund-4712", inside.STARTED)


def test_a_task_without_a_pod_has_its_identity_in_a_secret_and_ends_with_it(place: Kubectl) -> None:
    running = story.runs(place, "report-0311", inside.STARTED)

    (credential,) = running["status"]["credentials"]
    assert credential["notAfter"] == running["status"]["deadline"]
    assert "boundPod" not in running["status"]


def test_a_suspended_task_gets_its_identity_when_it_is_made_active(place: Kubectl) -> None:
    waiting = story.stands(place, "Suspended", "refund-4713", inside.STARTED)
    assert "Waits for the customer to call back" in story.conditions(waiting)["Finished"]["message"]
    assert place.find("secret", "agentid-refund-4713") is None

    place.patch("agenttask", "refund-4713", {"spec": {"state": "Active"}})
    story.runs(place, "refund-4713", inside.STARTED)
    place.patch("agenttask", "refund-4713", {"spec": {"state": "Ended"}})

    story.ends(place, "Ended", "refund-4713", inside.STARTED)
    place.delete("pod", "refund-4713", "--grace-period=1")
    story.secret_gone(place, "refund-4713", inside.STARTED)


def test_a_deployments_next_pod_gets_a_credential_of_its_own(place: Kubectl) -> None:
    first_pod = deployed(place)
    first = story.runs(place, "refund-desk", inside.STARTED)
    assert first["status"]["boundPod"]["name"] == first_pod

    place.delete("pod", first_pod, "--grace-period=1")
    next_pod = deployed(place, but=first["status"]["boundPod"]["uid"])

    second = place.wait_for(
        "agenttask",
        "refund-desk",
        lambda seen: seen["status"].get("boundPod", {}).get("name") == next_pod,
        inside.STARTED,
        "the task is bound to the next pod",
    )
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    inside.holds(place, next_pod, story.serials(second)[-1])


def test_a_task_on_behalf_of_somebody_takes_the_right_to_delegate(place: Kubectl) -> None:
    story.runs(place, "refund-4714", inside.STARTED)
    *_, task, _ = yaml.safe_load_all(example("07-on-behalf-of").read_text())
    task["metadata"]["name"] = "refund-4714-again"
    place("create", "rolebinding", "editors", "--clusterrole=edit", "--user=orchestrator@example.com")
    place("create", "rolebinding", "others", "--clusterrole=edit", "--user=mallory@example.com")
    orchestrator = place.as_user("orchestrator@example.com")
    place.wait_for("rolebinding", "others", lambda _: orchestrator.can_i("create", "agenttasks.agentid.dev"))

    assert "delegate" in refusal(lambda: place.as_user("mallory@example.com").create(task))
    assert orchestrator.create(task)["spec"]["requester"]["username"] == "orchestrator@example.com"


def test_only_the_container_that_mounts_the_credential_has_it(place: Kubectl) -> None:
    inside.running(place, "refund-4715")
    story.runs(place, "refund-4715", inside.STARTED)

    assert inside.sh(place, "refund-4715", "cat /credential/tls.key").startswith("-----BEGIN PRIVATE KEY")
    mounts = inside.sh(place, "refund-4715", "cat /proc/mounts", "sidecar")
    assert "/credential" not in mounts
    assert "agentid.dev" not in mounts


def test_a_run_of_a_labelled_cron_job_has_an_identity_until_it_is_done(place: Kubectl) -> None:
    place("create", "job", "try-1", "--from=cronjob/nightly-refunds")

    story.runs(place, "try-1", inside.STARTED)
    place.wait_for("job", "try-1", lambda job: job.get("status", {}).get("completionTime"), inside.STARTED)
    assert "tls.key" in place("logs", "job/try-1")
    story.ends(place, "Completed", "try-1", inside.STARTED)
    story.secret_gone(place, "try-1")


def test_a_family_and_an_emergency_have_their_identities_without_a_pod(place: Kubectl) -> None:
    for name in WITHOUT_POD:
        place.apply(example(name))

    assert "boundPod" not in story.runs(place, "triage-4720", inside.STARTED)["status"]
    emergency = story.runs(place, "mend-refunds", inside.STARTED)
    assert emergency["status"]["decision"]["breakGlass"] is True
