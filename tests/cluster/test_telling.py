"""What people see of a task: `kubectl describe` tells its whole story, `kubectl wait` returns on each end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import (
    ANY_POD,
    POD,
    TASK,
    agent,
    job,
    pod,
    service_account,
    task,
    task_of_job,
)
from tests.cluster.people import OPERATOR
from tests.laying_out import clear_workloads

LIFE = "whole-life"
SHORT = {"ttlSeconds": 30}
RENEWED_WITHIN = timedelta(seconds=45)
ENDS = (
    "Completed",
    "Failed",
    "PodDeleted",
    "PodEvicted",
    "WorkloadDeleted",
    "SecondPod",
    "PodChanged",
    "Expired",
    "StartDeadlineExceeded",
    "Ended",
    "Revoked",
    "Denied",
)
"""How a task can end within seconds and without a node that goes; each task is named after its end."""


def name_of(reason: str) -> str:
    return reason.lower()


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace in which a task has come to each end, and one lived through all that a task can."""

    here: Kubectl
    operator: OperatorProcess

    def lines_of(self, found: Object) -> list[dict[str, Any]]:
        """What the operator has logged of a task."""
        return [each for each in self.operator.log_lines() if each.get("uid") == found["metadata"]["uid"]]


@pytest.fixture(scope="module")
def stage(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Stage]:
    """All of it side by side, so that what takes time is waited for once."""
    assert node
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    admin = cluster.kubectl
    admin.create({"kind": "Namespace", "metadata": {"name": "telling"}})
    here = admin.in_namespace("telling")
    with_pods = ("completed", "failed", "poddeleted", "podevicted", "secondpod", "podchanged", LIFE)
    here.create(
        [
            service_account(),
            agent(),
            agent("switched"),
            agent("off", disabled=True),
            task("expired", activeDeadlineSeconds=30, credential=SHORT),
            task("startdeadlineexceeded", startDeadlineSeconds=20, **ANY_POD),
            task("ended", state="Ended"),
            task("revoked", agentRef={"name": "switched"}),
            task("denied", agentRef={"name": "off"}),
            task_of_job("workloaddeleted"),
            job("workloaddeleted", of="workloaddeleted", suspend=True),
            *(task(name, **ANY_POD) for name in with_pods if name != LIFE),
            task(LIFE, credential=SHORT, **ANY_POD),
            *(pod(name, of=name) for name in with_pods),
        ]
    )
    for name in with_pods:
        story.runs(here, name)
        playing.start(here, name)
    playing.finish(here, "completed")
    playing.finish(here, "failed", "Failed")
    playing.remove(here, "poddeleted")
    playing.finish(here, "podevicted", "Failed", reason="Evicted")
    here.create(pod("another", of="secondpod"))
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "agent:2"}]
    here.patch("pod", "podchanged", image, kind_of_patch="json")
    story.runs(here, "revoked")
    here.patch("agent", "switched", {"spec": {"disabled": True}})
    story.stands(here, "AwaitingPod", "workloaddeleted")
    here.delete("job", "workloaddeleted", "--wait=false")
    live(here)
    yield Stage(here, operator_of_session)
    clear_workloads(here)
    admin.delete("namespace", "telling", "--wait=false")


def live(here: Kubectl) -> None:
    """Suspend and resume a task, wait until it is renewed, end it while its pod lives, and later the pod."""
    here.patch("agenttask", LIFE, {"spec": {"state": "Suspended", "stateReason": "odd calls"}})
    story.secret_emptied(here, LIFE)
    here.patch("agenttask", LIFE, {"spec": {"state": "Active", "stateReason": None}})
    resumed = story.runs(here, LIFE)
    story.told(here, resumed, at_least=4, within=RENEWED_WITHIN)
    story.runs(here, LIFE)
    here.patch("agenttask", LIFE, {"spec": {"state": "Ended"}})
    story.secret_emptied(here, LIFE)
    playing.remove(here, LIFE)
    story.secret_gone(here, LIFE)


def test_describe_of_a_finished_task_tells_its_whole_story_in_order(stage: Stage) -> None:
    over = stage.here.get("agenttask", LIFE)
    told = story.told(stage.here, over, at_least=6)

    expected = [
        ("CredentialIssued", "Issue", "Normal", f"Pod/{LIFE}"),
        ("Suspended", "Revoke", "Normal", f"Pod/{LIFE}"),
        ("Resumed", "Issue", "Normal", f"Pod/{LIFE}"),
        ("CredentialRenewed", "Renew", "Normal", f"Pod/{LIFE}"),
        ("TaskEnded", "End", "Normal", f"Pod/{LIFE}"),
        ("CredentialDeleted", "CleanUp", "Normal", f"Secret/agentid-{LIFE}"),
    ]
    assert [(each.reason, each.action, each.kind, each.related) for each in told] == expected
    assert f"Secret agentid-{LIFE} emptied" in told[4].note
    assert f"Secret agentid-{LIFE} deleted, which was empty since" in told[5].note
    describes = stage.here("describe", "agenttask", LIFE)
    _, _, events = describes.partition("\nEvents:")
    places = [events.find(each.note) for each in told]
    assert -1 not in places, events
    assert places == sorted(places), events
    assert "odd calls" in events


def test_log_tells_each_transition_with_task_uid_and_serials(stage: Stage) -> None:
    over = stage.here.get("agenttask", LIFE)
    issued = [each for each in stage.lines_of(over) if each["event"] == "credential issued"]
    first, second, third = (each["serial"] for each in issued)
    others = [
        (each["event"], each.get("status"), each.get("dropped"))
        for each in stage.lines_of(over)
        if each["event"] in {"task status", "task ended", "Secret deleted"} and "dropped" in each
    ]

    assert others == [("task status", "Suspended", [first]), ("task ended", "Ended", [second, third])]
    assert "Secret deleted" in [each["event"] for each in stage.lines_of(over)]
    for each in stage.lines_of(over):
        assert (each["namespace"], each["task"]) == ("telling", LIFE), each


@pytest.mark.parametrize("reason", ENDS)
def test_kubectl_wait_returns_on_every_end(stage: Stage, reason: str) -> None:
    which = f"agenttask/{name_of(reason)}"

    stage.here("wait", "--for=condition=Finished", "--timeout=60s", which)

    over = story.ends(stage.here, reason, name_of(reason))
    assert story.told(stage.here, over)[-1].action in {"End", "CleanUp"}
    if reason == "Completed":
        stage.here("wait", "--for=condition=Succeeded", "--timeout=5s", which)
    else:
        with pytest.raises(KubectlError):
            stage.here("wait", "--for=condition=Succeeded", "--timeout=1s", which)


@pytest.mark.parametrize(("reason", "named"), [("SecondPod", "another"), ("PodChanged", "podchanged")])
def test_event_of_an_end_is_related_to_the_pod_that_made_it(stage: Stage, reason: str, named: str) -> None:
    over = story.ends(stage.here, reason, name_of(reason))

    event = next(each for each in story.told(stage.here, over) if each.action == "End")
    assert (event.reason, event.related) == (reason, f"Pod/{named}")


def test_conditions_are_as_kstatus_wants_them(stage: Stage) -> None:
    stage.here("wait", "--for=condition=Finished", "--timeout=60s", "agenttask", "--all")

    for each in stage.here.list("agenttasks"):
        generation = each["metadata"]["generation"]
        says = story.conditions(each)
        assert each["status"]["observedGeneration"] == generation
        assert {one["observedGeneration"] for one in says.values()} == {generation}, says
        assert not says.keys() & {"Ready", "Reconciling", "Stalled"}, says


def test_successor_of_a_task_whose_pod_lives_waits_without_an_alarm(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    first = story.runs(team)
    playing.start(team, POD)
    team.delete("agenttask", TASK)
    story.secret_emptied(team)

    team.create(task(**ANY_POD))

    waiting = story.stands(team, "SecretNameTaken")
    assert "Stalled" not in story.conditions(waiting)
    assert "is an earlier task's of this name" in story.conditions(waiting)["Finished"]["message"]
    (event,) = story.told(team, waiting)
    assert (event.reason, event.kind, event.related) == (
        "SecretNameTaken",
        "Normal",
        f"Secret/agentid-{TASK}",
    )
    playing.remove(team, POD)
    story.secret_gone(team)
    assert [each.reason for each in story.told(team, first, at_least=3)] == [
        "CredentialIssued",
        "TaskEnded",
        "CredentialDeleted",
    ]


def test_pod_that_does_not_suit_is_named_by_the_event(team: Kubectl) -> None:
    team.create([service_account("other"), task(**ANY_POD), pod("stranger", account="other")])

    (event,) = story.told(team, story.stands(team, "PodMismatch"))

    assert (event.reason, event.kind, event.related) == ("PodMismatch", "Warning", "Pod/stranger")


def test_event_in_a_terminating_namespace_is_logged_and_asked_for_once(
    team: Kubectl, admin: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod()])
    running = story.runs(team)
    playing.start(team, POD)
    since = cluster.audit_position()

    admin.delete("namespace", team.namespace or "", "--wait=false")

    def logged() -> list[dict[str, Any]]:
        return [
            each
            for each in operator.log_lines()
            if each["event"] == "event in a terminating namespace"
            and each["uid"] == running["metadata"]["uid"]
        ]

    wait_until("the end is told in the log", logged, bool, within=timedelta(seconds=30))
    playing.clear_until_gone(team, admin, timedelta(seconds=60))
    refused = [
        each
        for each in cluster.audit(since, user=OPERATOR)
        if each["verb"] == "create"
        and each["objectRef"]["resource"] == "events"
        and each["objectRef"]["namespace"] == team.namespace
        and each["responseStatus"]["code"] >= 400
    ]
    assert next(each["reason"] for each in logged()) == "TaskEnded"
    assert len(refused) == len(logged()), refused
