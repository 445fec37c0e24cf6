"""What the API server sends becomes facts, and nothing in it can stop that."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.model import PodEnd, PodPhase, WorkloadState
from agentid.watched.facts import (
    agent_facts,
    controller_of,
    pod_facts,
    pod_task,
    seen_before,
    version_number,
    workload_facts,
)

_UID = "11111111-1111-4111-8111-111111111111"


def _pod(status: dict[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": _UID, "resourceVersion": "7", **metadata},
        "spec": {
            "serviceAccountName": "sa",
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "i:1"}],
        },
        "status": status or {"phase": "Running"},
    }


def test_a_running_pod() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u-j", "controller": True}
    facts = pod_facts(
        _pod(creationTimestamp="2026-05-31T14:00:00Z", ownerReferences=[{"uid": "x"}, owner]), labelled=True
    )
    assert (facts.name, facts.uid, facts.service_account, facts.node) == ("p", _UID, "sa", "n1")
    assert facts.phase is PodPhase.RUNNING
    assert facts.controllers == (), "what a pod says of its owners is looked at before it counts"
    assert facts.created == datetime(2026, 5, 31, 14, tzinfo=UTC)
    assert not facts.leaving
    assert not facts.containers_ended


_INIT = {"initContainerStatuses": [{"name": "i", "imageID": "init@sha256:1"}]}


@pytest.mark.parametrize(
    ("statuses", "all_run"),
    [
        ({}, False),
        (_INIT, False),
        (_INIT | {"containerStatuses": [{"name": "c", "imageID": ""}]}, False),
        (_INIT | {"containerStatuses": [{"name": "other", "imageID": "app@sha256:2"}]}, False),
        (_INIT | {"containerStatuses": [{"name": "c", "imageID": "app@sha256:2"}]}, True),
        ({"containerStatuses": [{"name": "c", "imageID": "app@sha256:2"}]}, True),
    ],
)
def test_a_pod_runs_once_each_container_of_its_spec_has_an_image(
    statuses: dict[str, Any],
    all_run: bool,  # noqa: FBT001 - a table
) -> None:
    assert pod_facts(_pod({"phase": "Pending", **statuses}), labelled=True).all_run is all_run


def _with_init_container(restarts: str | None, image: str) -> dict[str, Any]:
    """A running pod with an init container of which the image `image` is told."""
    body = _pod(
        {
            "phase": "Running",
            "initContainerStatuses": [{"name": "i", "imageID": image}],
            "containerStatuses": [{"name": "c", "imageID": "app@sha256:2"}],
        }
    )
    body["spec"]["initContainers"] = [{"name": "i", "image": "side:1", "restartPolicy": restarts}]
    return body


@pytest.mark.parametrize(
    ("restarts", "image", "all_run"),
    [("Always", "", False), ("Always", "side@sha256:1", True), ("OnFailure", "", True), (None, "", True)],
)
def test_a_pod_runs_once_its_sidecars_have_an_image_too(
    restarts: str | None,
    image: str,
    all_run: bool,  # noqa: FBT001 - a table
) -> None:
    assert pod_facts(_with_init_container(restarts, image), labelled=True).all_run is all_run


def test_a_sidecar_that_starts_again_still_runs_what_it_ran() -> None:
    ran, starts = (
        pod_facts(_with_init_container("Always", image), labelled=True) for image in ("side@sha256:1", "")
    )
    assert seen_before(ran, starts) == ran


_ENDED = {"state": {"terminated": {"exitCode": 0}}}
_RUNS = {"state": {"running": {}}}


@pytest.mark.parametrize(
    ("status", "leaving", "ended"),
    [
        ({"phase": "Succeeded"}, False, True),
        ({"phase": "Failed"}, True, True),
        ({"phase": "Running", "containerStatuses": [_ENDED]}, False, False),
        ({"phase": "Running", "containerStatuses": [_ENDED]}, True, True),
        ({"phase": "Running", "containerStatuses": [_ENDED, _RUNS]}, True, False),
        ({"phase": "Running", "containerStatuses": [_ENDED], "initContainerStatuses": [_RUNS]}, True, False),
        (
            {"phase": "Running", "containerStatuses": [_ENDED], "ephemeralContainerStatuses": [_RUNS]},
            True,
            False,
        ),
        ({"phase": "Pending"}, True, False),
    ],
)
def test_when_no_container_can_run_any_more(status: dict[str, Any], *, leaving: bool, ended: bool) -> None:
    metadata = {"deletionTimestamp": "2026-05-31T14:00:30Z"} if leaving else {}
    facts = pod_facts(_pod(status, **metadata), labelled=True)
    assert facts.containers_ended is ended
    assert facts.leaving is leaving
    assert (facts.gone_by == datetime(2026, 5, 31, 14, 0, 30, tzinfo=UTC)) is leaving


def test_a_leaving_pod_without_a_node_never_runs() -> None:
    body = _pod({"phase": "Pending"}, deletionTimestamp="2026-05-31T14:00:30Z")
    del body["spec"]["nodeName"]
    assert pod_facts(body, labelled=True).containers_ended


def _disrupted(reason: str) -> dict[str, Any]:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason}
    return {"phase": "Failed", "conditions": [condition]}


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ({"phase": "Failed"}, PodEnd.UNSAID),
        ({"phase": "Failed", "reason": "OOMKilled"}, PodEnd.UNSAID),
        ({"phase": "Failed", "reason": "Evicted"}, PodEnd.EVICTED),
        (_disrupted("EvictionByEvictionAPI"), PodEnd.EVICTED),
        (_disrupted("PreemptionByScheduler"), PodEnd.EVICTED),
        (_disrupted("TerminationByKubelet"), PodEnd.EVICTED),
        (_disrupted("DeletionByTaintManager"), PodEnd.NODE_LOST),
        (_disrupted("DeletionByPodGC"), PodEnd.NODE_LOST),
        ({"phase": "Running", "reason": "NodeLost"}, PodEnd.NODE_LOST),
    ],
)
def test_why_a_pod_ends(status: dict[str, Any], end: PodEnd) -> None:
    assert pod_facts(_pod(status), labelled=True).end is end


def test_the_fingerprint_changes_with_the_controlling_owner_and_with_no_other() -> None:
    def fingerprint(*owners: dict[str, Any]) -> str:
        return pod_facts(_pod(ownerReferences=list(owners)), labelled=True).fingerprint

    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u-j", "controller": True}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u-c"}

    assert len({fingerprint(), fingerprint(job), fingerprint(job | {"uid": "u-k"})}) == 3
    assert fingerprint(other) == fingerprint() == pod_facts(_pod(), labelled=True).fingerprint
    assert fingerprint(other, job) == fingerprint(job | {"blockOwnerDeletion": True}) == fingerprint(job)


def test_the_fingerprint_changes_with_every_image_and_container() -> None:
    prints = {pod_facts(_pod(), labelled=True).fingerprint}
    for change in (
        {"containers": [{"name": "c", "image": "i:2"}]},
        {"containers": [{"name": "d", "image": "i:1"}]},
        {"initContainers": [{"name": "i", "image": "i:1"}]},
        {"ephemeralContainers": [{"name": "e", "image": "i:1"}]},
    ):
        body = _pod()
        body["spec"] |= change
        prints.add(pod_facts(body, labelled=True).fingerprint)
    assert len(prints) == 5
    assert all(len(each) == 64 for each in prints)


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], WorkloadState.LIVE),
        ([{"type": "Complete", "status": "True"}], WorkloadState.SUCCEEDED),
        ([{"type": "Completed", "status": "True"}], WorkloadState.SUCCEEDED),
        ([{"type": "Succeeded", "status": "True"}], WorkloadState.SUCCEEDED),
        ([{"type": "Finished", "status": "True"}], WorkloadState.SUCCEEDED),
        ([{"type": "Failed", "status": "True"}], WorkloadState.FAILED),
        ([{"type": "Succeeded", "status": "False"}], WorkloadState.FAILED),
        ([{"type": "Complete", "status": "False"}], WorkloadState.LIVE),
        ([{"type": "Failed", "status": "Unknown"}], WorkloadState.LIVE),
        (
            [{"type": "Finished", "status": "True"}, {"type": "Failed", "status": "True"}],
            WorkloadState.FAILED,
        ),
    ],
)
def test_how_a_workload_stands(conditions: list[dict[str, str]], state: WorkloadState) -> None:
    facts = workload_facts({"metadata": {"uid": "u"}, "status": {"conditions": conditions}})
    assert (facts.state, facts.uid) == (state, "u")


def test_an_agent_that_does_not_fit_its_model_has_no_spec() -> None:
    spec = {"owner": "o", "class": "Ephemeral", "actions": ["orders:*"]}
    good = {"metadata": {"uid": "u"}, "spec": spec}
    assert agent_facts(good).spec is not None
    assert agent_facts({"metadata": {"uid": "u"}, "spec": {**spec, "disabled": "no"}}).spec is None
    assert agent_facts({"metadata": {"uid": "u"}, "spec": {**spec, "unknown": 1}}).spec is None


_NAMES = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "labels",
        "annotations",
        "ownerReferences",
        "uid",
        "name",
        "namespace",
        "resourceVersion",
        "controller",
        "conditions",
        "type",
        "reason",
        "phase",
        "containerStatuses",
        "state",
        "nodeName",
        "containers",
        "image",
        "deletionTimestamp",
        "agentRef",
        "workload",
        "ref",
        "intent",
        "agentid.dev/task",
        "agentid.dev/traceparent",
    ]
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_NAMES, _JSON, max_size=6))
def test_no_body_can_raise(body: dict[str, Any]) -> None:
    pod_facts(body, labelled=True)
    agent_facts(body)
    workload_facts(body)
    pod_task(body)
    controller_of(body)
    version_number(body)
    PackedTask.of(body).facts()


def test_a_task_is_unpacked_as_it_was_packed() -> None:
    body = {
        "metadata": {
            "name": "t",
            "namespace": "ns",
            "uid": _UID,
            "generation": 3,
            "resourceVersion": "12",
            "creationTimestamp": "2026-05-31T14:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "agentRef": {"name": "a"},
            "intent": {"purpose": "Refund", "actions": ["orders:read"]},
            "workload": {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}},
        },
        "status": {"credentialGeneration": 2},
    }
    packed = PackedTask.of(body)
    facts = packed.facts()
    assert facts.spec is not None
    assert facts.spec.intent.actions == ["orders:read"]
    assert (facts.generation, facts.resource_version, facts.status.credential_generation) == (3, "12", 2)
    assert (packed.agent, packed.workload and packed.workload.name) == ("a", "j")
    assert "managedFields" not in packed.unpacked()["metadata"]


def test_a_task_that_does_not_fit_its_model_says_which_field() -> None:
    facts = PackedTask.of({"metadata": {}, "spec": {"agentRef": {"name": "a"}, "surprise": 1}}).facts()
    assert facts.spec is None
    assert facts.invalid is not None
    assert "AgentTaskSpec." in facts.invalid


@pytest.mark.parametrize(
    "status", [{"laterField": 1}, {"conditions": [{"type": "Later", "status": "True"}]}, {"credentials": "x"}]
)
def test_a_status_that_cannot_be_read_is_not_taken_for_an_empty_one(status: dict[str, object]) -> None:
    spec = {"agentRef": {"name": "a"}, "intent": {"purpose": "p", "actions": ["orders:read"]}}
    facts = PackedTask.of({"metadata": {}, "spec": spec, "status": status}).facts()
    assert facts.spec is not None
    assert facts.invalid is None
    assert facts.status_invalid is not None
    assert "AgentTaskStatus." in facts.status_invalid
