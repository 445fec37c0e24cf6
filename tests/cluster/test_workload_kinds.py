"""Kinds that may be named beside Job: a task lives and ends by the conditions of such an object."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import POD, TASK, job, pod, task
from tests.cluster.people import OPERATOR
from tests.laying_out import clear_workloads, make_agent

GROUP = "crews.example.com"
API_VERSION = f"{GROUP}/v1"
JOBS = {"apiVersion": "batch/v1", "kind": "Job", "resource": "jobs"}
RUNS = {"apiVersion": API_VERSION, "kind": "CrewRun", "resource": "crewruns"}
ALLOWED = [JOBS, RUNS]
IDLE = timedelta(seconds=150)
"""Longer than an operator keeps a watch that no task needs any more."""

ENDS = {
    "Complete=True": "Completed",
    "Completed=True": "Completed",
    "Succeeded=True": "Completed",
    "Finished=True": "Completed",
    "Failed=True": "Failed",
    "Succeeded=False": "Failed",
    "Finished=True Failed=True": "Failed",
}
"""How a task ends by what its object reports; an object that is over because it failed, has failed."""

NO_END = "Complete=False Completed=Unknown Finished=False Failed=False Succeeded=Unknown Running=True"


def definition(plural: str, kind: str) -> Object:
    """A kind of the test's own, with a status that its controller writes."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with two kinds of the test's own, and the chart, which allows one of them."""
    with ControlPlane.start() as control_plane, nothing_foreign_answered(control_plane):
        admin = control_plane.kubectl
        admin.create([definition("crewruns", "CrewRun"), definition("crewplans", "CrewPlan")])
        for plural in ("crewruns", "crewplans"):
            admin("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}", "--timeout=30s")
        install_chart(control_plane, {"workloadKinds": ALLOWED})
        wait_until_in_force(admin)
        wait_until_stamped(admin, "default")
        playing.make_node(admin)
        yield control_plane


@pytest.fixture(scope="module")
def serving(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    """An operator that knows what the chart allows."""
    operator = OperatorProcess(cluster, "of-crews", {"AGENTID_WORKLOAD_KINDS": json.dumps(ALLOWED)})
    operator.start()
    yield operator
    if operator.alive():
        operator.terminate()


@pytest.fixture
def crew(kubectl: Kubectl, serving: OperatorProcess) -> Iterator[Kubectl]:
    """The test's namespace with an Agent and its service account, and the operator at work."""
    if not serving.alive():
        serving.start()
    make_agent(kubectl)
    yield kubectl
    clear_workloads(kubectl)


def crew_run(name: str = TASK) -> Object:
    return {"apiVersion": API_VERSION, "kind": "CrewRun", "metadata": {"name": name}, "spec": {}}


def task_of_run(name: str = TASK, kind: str = "CrewRun", **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    return task(name, workload={"ref": {"apiVersion": API_VERSION, "kind": kind, "name": name}}, **spec)


def controlled_by(owner: Object, what: Object) -> Object:
    """The same, made by the controller of `owner`."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {**what, "metadata": {**what["metadata"], "ownerReferences": [reference]}}


def report(here: Kubectl, conditions: str) -> None:
    """Write an object's conditions as its controller does; `Failed=True Done=False` are two."""
    written = [
        {"type": kind, "status": status, "reason": f"Said{kind}", "message": "so it says"}
        for kind, status in (each.split("=") for each in conditions.split())
    ]
    here.patch("crewrun", TASK, {"status": {"conditions": written}}, "--subresource=status")


@pytest.fixture
def running(crew: Kubectl) -> Object:
    """A task whose object's pod has the credential and runs."""
    crew.create(crew_run())
    crew.create([task_of_run(), controlled_by(crew.get("crewrun", TASK), pod())])
    found = story.runs(crew)
    playing.start(crew, POD)
    return found


def test_pod_of_an_allowed_kinds_object_gets_the_credential_and_another_does_not(crew: Kubectl) -> None:
    crew.create([crew_run(), crew_run("other")])
    crew.create([task_of_run(), controlled_by(crew.get("crewrun", "other"), pod("others"))])
    story.stands(crew, "PodMismatch")
    assert crew.find("secret", f"agentid-{TASK}") is None

    playing.remove(crew, "others")
    crew.create(controlled_by(crew.get("crewrun", TASK), pod()))

    running = story.runs(crew)
    assert running["status"]["boundPod"]["name"] == POD
    assert running["status"]["workloadUID"] == crew.get("crewrun", TASK)["metadata"]["uid"]


@pytest.mark.parametrize("conditions", ENDS)
def test_task_ends_as_its_object_reports(crew: Kubectl, running: Object, conditions: str) -> None:
    assert running
    report(crew, NO_END)
    assert story.standing(story.settled(crew)) == "Running"

    report(crew, conditions)

    ended = story.ends(crew, ENDS[conditions])
    assert "CrewRun" in story.conditions(ended)["Finished"]["message"]
    story.secret_emptied(crew)
    playing.remove(crew, POD)
    story.secret_gone(crew)


def test_task_ends_when_its_object_is_deleted(crew: Kubectl, running: Object) -> None:
    crew("delete", "crewrun", TASK, "--cascade=background", "--wait=false")

    ended = story.ends(crew, "WorkloadDeleted")
    story.secret_emptied(crew)
    assert ended["status"]["workloadUID"] == running["status"]["workloadUID"]


@pytest.mark.parametrize("seen", [True, False], ids=["while it is watched", "while no operator runs"])
def test_object_of_the_same_name_is_another_however_the_change_is_learned(
    crew: Kubectl, running: Object, serving: OperatorProcess, *, seen: bool
) -> None:
    if not seen:
        serving.terminate()
    crew("delete", "crewrun", TASK, "--cascade=background")
    crew.create(crew_run())
    if not seen:
        serving.start()

    ended = story.ends(crew, "WorkloadDeleted")
    story.secret_emptied(crew)
    assert ended["status"]["workloadUID"] == running["status"]["workloadUID"]
    assert crew.get("crewrun", TASK)["metadata"]["uid"] != running["status"]["workloadUID"]
    crew.create(controlled_by(crew.get("crewrun", TASK), pod("successor")))
    assert story.settled(crew)["status"] == ended["status"]
    story.secret_gone_or_empty(crew)


def test_pod_of_a_job_of_the_object_is_the_objects(crew: Kubectl) -> None:
    crew.create(crew_run())
    crew.create([task_of_run(), controlled_by(crew.get("crewrun", TASK), job("step"))])

    running = story.runs(crew)
    assert running["status"]["boundPod"]["name"] == playing.pod_of_job(crew, "step")
    playing.finish(crew, playing.pod_of_job(crew, "step"))
    crew("wait", "--for=condition=Complete", "job/step", "--timeout=60s")

    waiting = story.stands(crew, "AwaitingPod")
    assert story.serials(waiting) == []
    report(crew, "Succeeded=True")
    story.ends(crew, "Completed")


def test_kind_that_the_chart_does_not_list_gives_no_identity(crew: Kubectl) -> None:
    crew.create({**crew_run(), "kind": "CrewPlan"})
    crew.create(task_of_run(kind="CrewPlan"))

    story.stands(crew, "WorkloadKindNotAllowed")
    assert crew.find("secret", f"agentid-{TASK}") is None


@pytest.mark.parametrize("resource", [f"crewruns.{GROUP}", f"crewplans.{GROUP}"])
def test_the_chart_gives_the_right_to_read_the_kinds_that_it_lists_and_no_more(
    crew: Kubectl, resource: str
) -> None:
    operator = crew.as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    listed = {"get", "list", "watch"} if resource.startswith("crewruns") else set()

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    assert {verb for verb in verbs if operator.can_i(verb, resource)} == listed
    assert not operator.can_i("update", resource, "--subresource=status")
    assert not operator.can_i("update", resource, "--subresource=finalizers")


def test_who_writes_an_owner_reference_to_such_an_object_is_refused(crew: Kubectl) -> None:
    crew.create(crew_run())
    crew("create", "rolebinding", "editors", "--clusterrole=edit", "--user=mallory")
    mallory = crew.as_user("mallory")
    wait_until("mallory may edit", lambda: mallory.can_i("create", "pods"))

    with pytest.raises(KubectlError, match=r'takes the verb "update" on crewruns/finalizers'):
        mallory.create(controlled_by(crew.get("crewrun", TASK), pod()))


def watches(cluster: ControlPlane, here: Kubectl) -> list[bool]:
    """For each watch of the kind in a namespace that the operator ever began, whether it has ended."""
    began: dict[str, bool] = {}
    for event in cluster.audit(user=OPERATOR):
        where = event.get("objectRef", {})
        if event["verb"] != "watch" or where.get("resource") != RUNS["resource"]:
            continue
        if where.get("namespace", "") in {here.namespace, ""}:
            began.setdefault(event["auditID"], False)
            began[event["auditID"]] |= event["stage"] == "ResponseComplete"
    return list(began.values())


def test_kind_is_watched_in_a_namespace_only_while_a_task_there_refers_to_it(
    crew: Kubectl, cluster: ControlPlane
) -> None:
    assert watches(cluster, crew) == []
    crew.create([crew_run(), crew_run("second"), task_of_run(), task_of_run("second")])
    for name in (TASK, "second"):
        story.stands(crew, "AwaitingPod", name)
    wait_until(
        "the one watch of both has begun", lambda: watches(cluster, crew), lambda seen: seen == [False]
    )

    report(crew, "Succeeded=True")
    story.ends(crew, "Completed")
    assert watches(cluster, crew) == [False]
    crew.patch("agenttask", "second", {"spec": {"state": "Ended"}})
    story.ends(crew, "Ended", "second")
    wait_until(
        "the watch has ended",
        lambda: watches(cluster, crew),
        lambda seen: seen == [True],
        within=IDLE,
        every=timedelta(seconds=2),
    )

    crew.create([crew_run("third"), task_of_run("third")])
    story.stands(crew, "AwaitingPod", "third")
    wait_until("the next watch has begun", lambda: watches(cluster, crew), lambda seen: seen == [True, False])
    crew.delete("crewrun", "third")
    assert story.settled(crew, "third")["status"]
