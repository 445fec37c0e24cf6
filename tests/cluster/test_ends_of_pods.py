"""Every end that comes from a pod: recorded with its cause, credential taken away, Secret emptied or gone."""

from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, job, pod, pod_spec, task, task_of_job

ALLOWS_ANOTHER: dict[str, Any] = {"workload": {"replacement": "Allow"}}
LOST = "node.kubernetes.io/out-of-service"


@pytest.fixture
def running(team: Kubectl) -> Object:
    """A task that has given its credential to the pod `worker`."""
    team.create([task(**ANY_POD), pod()])
    return story.runs(team)


def message(finished: Object) -> str:
    return str(story.conditions(finished)["Finished"]["message"])


@pytest.mark.parametrize(
    ("phase", "reason", "event"),
    [("Succeeded", "Completed", "TaskCompleted"), ("Failed", "Failed", "TaskFailed")],
)
def test_task_ends_with_its_pod(team: Kubectl, running: Object, phase: str, reason: str, event: str) -> None:
    assert running
    playing.finish(team, POD, phase)

    ended = story.ends(team, reason)
    story.secret_gone(team)
    assert [each.reason for each in story.told(team, ended, at_least=2)] == ["CredentialIssued", event]
    assert f"pod {POD}" in message(ended)


def test_task_ends_when_its_pod_is_deleted_and_its_files_are_wiped_before_the_secret_goes(
    team: Kubectl, running: Object
) -> None:
    playing.start(team, POD)
    playing.leave(team, POD)

    ended = story.ends(team, "PodDeleted")
    emptied = story.secret_emptied(team)
    assert emptied["metadata"]["labels"]["agentid.dev/task-uid"] == running["metadata"]["uid"]
    assert set(story.files(emptied)) >= {"tls.crt", "tls.key", "ca.crt"}
    playing.remove(team, POD)
    story.secret_gone(team)
    assert [each.reason for each in story.told(team, ended, at_least=3)] == [
        "CredentialIssued",
        "TaskEnded",
        "CredentialDeleted",
    ]


def test_task_ends_when_its_pod_is_gone_at_once(team: Kubectl, running: Object) -> None:
    assert running
    playing.remove(team, POD)

    story.ends(team, "PodDeleted")
    story.secret_gone(team)


def test_task_ends_when_the_kubelet_evicts_its_pod(team: Kubectl, running: Object) -> None:
    assert running
    playing.finish(team, POD, "Failed", reason="Evicted")

    ended = story.ends(team, "PodEvicted")
    story.secret_gone(team)
    assert story.told(team, ended, at_least=2)[-1].reason == "TaskFailed"


def test_task_ends_when_its_pod_is_evicted_through_the_api(team: Kubectl, running: Object) -> None:
    assert running
    playing.start(team, POD)
    playing.evict(team, POD)

    story.ends(team, "PodEvicted")
    story.secret_emptied(team)
    playing.remove(team, POD)
    story.secret_gone(team)


def test_task_ends_when_the_node_of_its_pod_is_lost(team: Kubectl, admin: Kubectl) -> None:
    node = f"lost-{team.namespace}"
    playing.make_node(admin, node)
    tolerates = [{"key": f"node.kubernetes.io/{what}", "operator": "Exists"} for what in ("not-ready",)]
    spec: dict[str, Any] = {"nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": tolerates}
    team.create([task(**ANY_POD), pod(**spec)])
    story.runs(team)

    admin("taint", "node", node, f"{LOST}=shutdown:NoExecute")

    ended = story.ends(team, "NodeLost")
    story.secret_gone_or_empty(team)
    assert story.told(team, ended, at_least=2)[1].reason == "TaskFailed"
    admin.delete("node", node)


def test_second_pod_ends_the_task_of_the_first(team: Kubectl, running: Object) -> None:
    assert running
    team.create(pod("intruder"))

    ended = story.ends(team, "SecondPod")
    story.secret_emptied(team)
    assert "pod intruder claims the task" in message(ended)
    event = story.told(team, ended, at_least=2)[-1]
    assert (event.reason, event.action, event.kind) == ("SecondPod", "End", "Warning")


def test_second_pod_ends_the_task_of_a_replaceable_first(team: Kubectl) -> None:
    team.create([task(**ALLOWS_ANOTHER), pod()])
    story.runs(team)

    team.create(pod("intruder"))

    ended = story.ends(team, "SecondPod")
    story.secret_emptied(team)
    assert "pod intruder claims the task" in message(ended)


def test_second_pod_that_does_not_even_suit_ends_the_task_since_it_could_mount_the_secret(
    team: Kubectl,
) -> None:
    team.create([task_of_job(), job()])
    story.runs(team)

    team.create(pod("ownerless"))

    assert "pod ownerless" in message(story.ends(team, "SecondPod"))
    story.secret_gone_or_empty(team)


def test_two_pods_that_claim_a_free_task_end_it(team: Kubectl) -> None:
    team.create([pod("one"), pod("two")])

    team.create(task(**ANY_POD))

    story.ends(team, "SecondPod")
    assert team.find("secret", f"agentid-{TASK}") is None


def test_pod_that_claims_a_task_without_a_workload_ends_it(team: Kubectl) -> None:
    team.create(task())
    story.runs(team)

    team.create(pod())

    assert "names no workload" in message(story.ends(team, "SecondPod"))
    story.secret_gone_or_empty(team)


def test_new_image_in_the_pod_ends_the_task(team: Kubectl, running: Object) -> None:
    assert running
    team.patch(
        "pod",
        POD,
        [{"op": "replace", "path": "/spec/containers/0/image", "value": "agent:2"}],
        kind_of_patch="json",
    )

    ended = story.ends(team, "PodChanged")
    story.secret_emptied(team)
    assert story.told(team, ended, at_least=2)[-1].reason == "PodChanged"


def test_ephemeral_container_in_the_pod_ends_the_task(team: Kubectl, running: Object) -> None:
    assert running
    shell = {"name": "shell", "image": "shell:1"}
    team.patch(
        "pod",
        POD,
        {"spec": {"ephemeralContainers": [shell]}},
        "--subresource=ephemeralcontainers",
        kind_of_patch="strategic",
    )

    story.ends(team, "PodChanged")
    story.secret_emptied(team)


def test_pod_that_is_replaceable_is_followed_by_the_next_with_a_new_key(team: Kubectl) -> None:
    team.create([task(**ALLOWS_ANOTHER), pod()])
    first = story.runs(team)
    key = story.public_key(team.get("secret", f"agentid-{TASK}"))

    playing.finish(team, POD, "Failed")
    waiting = story.stands(team, "AwaitingPod")
    story.secret_gone_or_empty(team)
    assert story.serials(waiting) == []
    team.create(pod("successor"))
    second = story.runs(team)

    assert second["status"]["boundPod"]["name"] == "successor"
    assert second["status"]["credentialGeneration"] == 2
    assert story.conditions(second)["CredentialIssued"]["reason"] == "PodReplaced"
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    assert story.public_key(team.get("secret", f"agentid-{TASK}")) != key
    assert second["status"]["spiffeID"] == first["status"]["spiffeID"]


def test_successor_waits_until_the_containers_of_a_leaving_pod_have_ended(team: Kubectl) -> None:
    team.create([task(**ALLOWS_ANOTHER), pod()])
    story.runs(team)
    playing.start(team, POD)

    playing.leave(team, POD)
    story.stands(team, "AwaitingPod")
    team.create(pod("successor"))
    playing.scheduled(team, "successor")
    waiting = team.wait_for(
        "agenttask", TASK, lambda seen: f"waits until the containers of pod {POD}" in message(seen)
    )
    assert story.is_empty(team.get("secret", f"agentid-{TASK}"))
    assert story.serials(waiting) == []

    playing.end_containers(team, POD)

    assert story.runs(team)["status"]["boundPod"]["name"] == "successor"


def test_replacement_of_a_drained_jobs_pod_waits_and_then_gets_a_new_credential(team: Kubectl) -> None:
    team.create([task_of_job(), job(backoffLimit=3)])
    first = story.runs(team)
    drained = playing.pod_of_job(team)
    playing.start(team, drained)

    playing.evict(team, drained)
    replacement = playing.pod_of_job(team)
    assert replacement != drained
    waiting = team.wait_for(
        "agenttask", TASK, lambda seen: f"containers of pod {drained}, which is leaving" in message(seen)
    )
    assert story.standing(waiting) == "AwaitingPod"
    assert story.serials(waiting) == []
    assert story.is_empty(team.get("secret", f"agentid-{TASK}"))
    playing.end_containers(team, drained)
    second = story.runs(team)

    assert second["status"]["boundPod"]["name"] == replacement
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    playing.finish(team, replacement)
    playing.remove(team, drained)
    story.ends(team, "Completed")
    story.secret_gone(team)


def test_pod_kept_terminating_by_a_finalizer_keeps_no_credential(team: Kubectl) -> None:
    held = pod()
    held["metadata"]["finalizers"] = ["example.com/held"]
    team.create([task(**ANY_POD), held])
    story.runs(team)
    playing.start(team, POD)

    playing.remove(team, POD)

    story.ends(team, "PodDeleted")
    story.secret_gone_or_empty(team)
    assert "deletionTimestamp" in team.get("pod", POD)["metadata"]
    team.patch("pod", POD, {"metadata": {"finalizers": None}})
    story.secret_gone(team)


def test_same_named_pod_after_a_delete_is_another_pod(team: Kubectl, running: Object) -> None:
    playing.remove(team, POD)
    story.ends(team, "PodDeleted")
    story.secret_gone(team)

    team.create(pod())
    playing.scheduled(team, POD)
    settled = story.settled(team)

    assert story.standing(settled) == "PodDeleted"
    assert settled["status"]["boundPod"]["uid"] == running["status"]["boundPod"]["uid"]
    assert team.find("secret", f"agentid-{TASK}") is None


def test_first_cause_is_recorded_and_kept(team: Kubectl, running: Object) -> None:
    assert running
    playing.finish(team, POD, "Failed")
    ended = story.ends(team, "Failed")

    playing.remove(team, POD)
    team.patch("agenttask", TASK, {"spec": {"state": "Ended", "stateReason": "too late"}})
    team.patch("agent", "refund-agent", {"spec": {"disabled": True}})
    settled = story.settled(team)

    assert story.conditions(settled)["Finished"] == story.conditions(ended)["Finished"] | {
        "observedGeneration": settled["metadata"]["generation"]
    }
    assert settled["status"]["endTime"] == ended["status"]["endTime"]


def test_pod_without_containers_that_ever_ran_leaves_nothing_behind(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod(schedulingGates=[{"name": "agentid.dev/test"}])])
    story.stands(team, "AwaitingPod")

    playing.remove(team, POD)

    waiting = team.wait_for("agenttask", TASK, lambda seen: "waits for a pod" in message(seen))
    assert story.standing(waiting) == "AwaitingPod"
    assert pod_spec()["serviceAccountName"]
    assert team.find("secret", f"agentid-{TASK}") is None
