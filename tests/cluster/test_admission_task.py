"""What nobody, or nobody but the operator, may do to an AgentTask."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.people import OPERATOR, People, pod, refusal, task

pytestmark = pytest.mark.usefixtures("no_operator")  # nobody but the tests writes here as the operator

PEOPLE = ["tenant", "stranger", "admin"]
FINISHED = {
    "type": "Finished",
    "status": "True",
    "reason": "Completed",
    "message": "done",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-05-31T14:00:00Z",
}
AGENT = {
    "apiVersion": "agentid.dev/v1alpha1",
    "kind": "Agent",
    "metadata": {"name": "refund-agent"},
    "spec": {"owner": "payments", "class": "Ephemeral", "actions": ["orders:read"]},
}


def write_status(person: Kubectl, status: dict[str, Any]) -> dict[str, Any]:
    """Write the status of the task refund-4711."""
    return person.patch("agenttask", "refund-4711", {"status": status}, "--subresource=status")


@pytest.fixture(scope="module")
def tight_limits(cluster: ControlPlane) -> Iterator[None]:
    """The chart with low maxima; afterwards with its own again."""
    limits = {"maxTtlSeconds": 900, "maxActiveDeadlineSeconds": 7200, "maxStartDeadlineSeconds": 1800}
    install_chart(cluster, {"limits": limits})
    wait_until_in_force(cluster.kubectl)
    yield
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)


# Status.


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("way", ["patch", "replace", "apply"])
def test_only_the_operator_writes_status(people: People, person: str, way: str) -> None:
    created = people.tenant.create(task())
    liar = people.named(person)
    forged = created | {"status": {"conditions": [FINISHED]}}

    def write() -> object:
        if way == "patch":
            return write_status(liar, forged["status"])
        if way == "replace":
            return liar.replace(forged, "--subresource=status")
        bare = {key: forged[key] for key in ("apiVersion", "kind", "status")}
        manifest = bare | {"metadata": {"name": "refund-4711"}}
        return liar.apply(manifest, "--subresource=status", "--server-side")

    said = refusal(write)

    assert f"the status of an AgentTask is written by {OPERATOR} only" in said
    assert "status" not in people.admin.get("agenttask", "refund-4711")


def test_the_operator_writes_status(people: People) -> None:
    people.tenant.create(task())

    assert write_status(people.operator, {"conditions": [FINISHED]})["status"]["conditions"] == [FINISHED]


@pytest.mark.parametrize("person", PEOPLE)
def test_a_status_in_a_new_task_or_a_usual_update_counts_for_nothing(people: People, person: str) -> None:
    liar = people.named(person)
    with_status = task() | {"status": {"conditions": [FINISHED]}}

    assert "status" not in liar.create(with_status)
    assert "status" not in liar.patch("agenttask", "refund-4711", {"status": {"conditions": [FINISHED]}})
    assert "status" not in people.admin.get("agenttask", "refund-4711")


# Deletion.


@pytest.mark.parametrize("person", [*PEOPLE, "operator"])
def test_nobody_deletes_a_task_and_orphans_its_secret(people: People, person: str) -> None:
    people.tenant.create(task())
    write_status(people.operator, {"conditions": [FINISHED]})
    deleter = people.named(person)

    collection = f"/apis/agentid.dev/v1alpha1/namespaces/{deleter.namespace}/agenttasks"
    old_way = json.dumps({"apiVersion": "v1", "kind": "DeleteOptions", "orphanDependents": True})

    for arguments, body in (
        (("agenttask", "refund-4711", "--cascade=orphan"), None),
        ((f"--raw={collection}/refund-4711", "--filename=-"), old_way),
        ((f"--raw={collection}?propagationPolicy=Orphan",), None),
    ):
        said = refusal(lambda arguments=arguments, body=body: deleter("delete", *arguments, stdin=body))
        assert "an AgentTask can't be deleted with propagation Orphan" in said

    assert "deletionTimestamp" not in people.admin.get("agenttask", "refund-4711")["metadata"]
    people.tenant.delete("agenttask", "refund-4711", "--cascade=foreground")
    assert people.admin.find("agenttask", "refund-4711") is None


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_writes_the_wish_to_orphan_into_a_task(people: People, person: str) -> None:
    orphan = {"metadata": {"finalizers": ["orphan"]}}
    manifest = task()
    manifest["metadata"] |= orphan["metadata"]

    said = 'can\'t have the finalizer "orphan"'

    assert said in refusal(lambda: people.named(person).create(manifest))
    people.tenant.create(task())
    assert said in refusal(lambda: people.named(person).patch("agenttask", "refund-4711", orphan))


# The operator's own account.


def test_the_operator_creates_tasks_as_a_dry_run_only(people: People) -> None:
    assert people.operator.create(task(), "--dry-run=server")
    assert "as a dry run, or from a template" in refusal(lambda: people.operator.create(task()))


@pytest.mark.parametrize("change", [{"spec": {"state": "Ended"}}, {"metadata": {"labels": {"a": "b"}}}])
def test_the_operator_changes_no_task(people: People, change: dict[str, Any]) -> None:
    people.tenant.create(task())

    said = refusal(lambda: people.operator.patch("agenttask", "refund-4711", change))

    assert "the operator changes nothing of an AgentTask but its status" in said


def test_the_operator_deletes_finished_tasks_only(people: People) -> None:
    people.tenant.create(task())
    delete = partial(people.operator.delete, "agenttask", "refund-4711")

    assert "only AgentTasks that are finished" in refusal(delete)
    write_status(people.operator, {"conditions": [FINISHED | {"status": "False", "reason": "Running"}]})
    assert "only AgentTasks that are finished" in refusal(delete)
    write_status(people.operator, {"conditions": [FINISHED]})
    delete()
    assert people.admin.find("agenttask", "refund-4711") is None


@pytest.mark.parametrize("person", PEOPLE)
def test_what_holds_the_operator_holds_nobody_else(people: People, person: str) -> None:
    somebody = people.named(person)

    somebody.create(task())
    ended = somebody.patch("agenttask", "refund-4711", {"spec": {"state": "Ended"}})
    somebody.delete("agenttask", "refund-4711")

    assert ended["spec"]["state"] == "Ended"
    assert people.admin.find("agenttask", "refund-4711") is None


# The annotations that kopf takes for its own.


@pytest.mark.parametrize("manifest", [task(), AGENT, pod("p", "refund-4711")], ids=["task", "agent", "pod"])
def test_nobody_creates_an_object_with_a_kopf_annotation(people: People, manifest: dict[str, Any]) -> None:
    for person in (*PEOPLE, "operator"):
        for name in ("kopf.zalando.org/last-handled-configuration", "kopf.dev/progress"):
            metadata = {**manifest["metadata"], "annotations": {name: "{bad", "example.com/own": "x"}}
            forged = {**manifest, "metadata": metadata}
            create = partial(people.named(person).create, forged, "--dry-run=server")

            assert f"annotation {name} can not be set here" in refusal(create)


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_adds_or_changes_a_kopf_annotation_later(people: People, person: str) -> None:
    people.tenant.create(task())
    people.admin.wait_for("serviceaccount", "default", bool)
    people.tenant.create(pod("labelled", "refund-4711"))
    forged = {"metadata": {"annotations": {"kopf.zalando.org/last-handled-configuration": "{bad"}}}

    for what in (
        ("agenttask", "refund-4711", forged),
        ("pod", "labelled", forged),
        ("pod", "labelled", forged, "--subresource=status"),
    ):
        said = refusal(partial(people.named(person).patch, *what))
        assert "kopf.zalando.org/last-handled-configuration can not be set here" in said


def test_annotations_of_others_stay_possible(people: People) -> None:
    people.tenant.create(task())
    people.admin.wait_for("serviceaccount", "default", bool)

    own = {"example.com/a": "b"}
    patched = people.tenant.patch("agenttask", "refund-4711", {"metadata": {"annotations": own}})
    kopfs = {"kopf.zalando.org/last-handled-configuration": "{}"}
    unlabelled = pod("unlabelled")
    unlabelled["metadata"]["annotations"] = kopfs
    created = people.tenant.create(unlabelled)

    assert patched["metadata"]["annotations"] == own
    assert created["metadata"]["annotations"] == kopfs


@pytest.mark.parametrize("person", PEOPLE)
def test_a_binding_carries_no_kopf_annotation(people: People, person: str) -> None:
    people.admin.wait_for("serviceaccount", "default", bool)
    people.tenant.create(pod("labelled", "refund-4711", schedulerName="nobody"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "labelled", "annotations": {"kopf.dev/forged": "x"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "somewhere"},
    }
    path = f"/api/v1/namespaces/{people.admin.namespace}/pods/labelled/binding"

    said = refusal(
        lambda: people.named(person)("create", f"--raw={path}", "--filename=-", stdin=json.dumps(binding))
    )

    assert "kopf.dev/forged can not be set here" in said


# The cluster's own maxima.


@pytest.mark.parametrize("person", [*PEOPLE, "operator"])
@pytest.mark.usefixtures("tight_limits")
def test_nobody_asks_for_more_than_the_cluster_allows(people: People, person: str) -> None:
    asker = people.named(person)
    too_much: dict[str, dict[str, Any]] = {
        "credential.ttlSeconds is 901, and this cluster allows at most 900": {
            "credential": {"ttlSeconds": 901},
        },
        "activeDeadlineSeconds is 7201, and this cluster allows at most 7200": {
            "activeDeadlineSeconds": 7201,
        },
        "startDeadlineSeconds is 1801, and this cluster allows at most 1800": {
            "startDeadlineSeconds": 1801,
        },
    }

    for said, spec in too_much.items():
        assert said in refusal(lambda spec=spec: asker.create(task(**spec), "--dry-run=server"))
    at_most = {"credential": {"ttlSeconds": 900}, "activeDeadlineSeconds": 7200, "startDeadlineSeconds": 1800}
    assert asker.create(task(**at_most), "--dry-run=server")
