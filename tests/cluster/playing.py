"""Plays a node and its kubelet: in these tests no container runs, and who reports on pods is the test.

The node is real to the scheduler, which binds pods to it; what a kubelet would write is written here.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.objects import NODE, TASK


def make_node(admin: Kubectl, name: str = NODE) -> None:
    """Make a node with room for many pods, on which nothing runs."""
    node = {"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
    admin.apply(node)
    room = {"pods": "10000", "cpu": "1000", "memory": "1000Gi"}
    admin.patch("node", name, {"status": {"capacity": room, "allocatable": room}}, "--subresource=status")


def bind(here: Kubectl, pod: str, node: str = NODE) -> None:
    """Give a pod its node whatever taints the node has, unless the scheduler was faster."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{here.namespace}/pods/{pod}/binding"
    try:
        here("create", f"--raw={path}", "--filename=-", stdin=json.dumps(binding))
    except KubectlError as refusal:
        if refusal.reason != "Conflict":
            raise


def start(here: Kubectl, pod: str, image_id: str = "sha256:0") -> Object:
    """Report that the containers of a pod run, and of which image."""
    return _report(here, pod, "Running", {"running": {"startedAt": _now()}}, image_id=image_id)


def pend(here: Kubectl, pod: str) -> Object:
    """Report that the containers of a pod are still to start."""
    return _report(here, pod, "Pending", {"waiting": {"reason": "ContainerCreating"}}, image_id="")


def finish(here: Kubectl, pod: str, phase: str = "Succeeded", reason: str | None = None) -> Object:
    """Report that a pod has run to its end: `Succeeded` or `Failed`, with the kubelet's reason."""
    code = 0 if phase == "Succeeded" else 1
    ended = {"terminated": {"exitCode": code, "startedAt": _now(), "finishedAt": _now()}}
    return _report(here, pod, phase, ended, reason)


def end_containers(here: Kubectl, pod: str) -> Object:
    """Report that the containers of a pod have ended, and nothing else yet."""
    return _report(
        here, pod, "Running", {"terminated": {"exitCode": 0, "startedAt": _now(), "finishedAt": _now()}}
    )


def leave(here: Kubectl, pod: str) -> None:
    """Ask for a pod's end: from then on it is leaving, as the kubelet says nothing yet."""
    here.delete("pod", pod, "--wait=false")


def evict(here: Kubectl, pod: str) -> None:
    """Evict a pod as `kubectl drain` does: the API server notes the disruption and the pod is leaving."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{here.namespace}/pods/{pod}/eviction"
    here("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))


def remove(here: Kubectl, pod: str) -> None:
    """Take a pod away as a kubelet does once its containers have ended."""
    here.delete("pod", pod, "--grace-period=0", "--force", "--wait=false")


def clear_until_gone(here: Kubectl, admin: Kubectl, within: timedelta) -> None:
    """Do what kubelets do in a namespace that is being deleted: end its pods, until it is gone."""

    def look() -> Object | None:
        with suppress(KubectlError):  # a pod that is gone meanwhile
            here("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
        return admin.find("namespace", here.namespace)

    wait_until(f"namespace {here.namespace} is gone", look, lambda seen: seen is None, within=within)


def as_text(manifest: Object) -> str:
    """A manifest as kubectl reads it from its input."""
    return json.dumps(manifest)


def scheduled(here: Kubectl, pod: str) -> Object:
    """Wait until the scheduler has given a pod its node."""
    return here.wait_for("pod", pod, lambda seen: seen["spec"].get("nodeName"), message=f"{pod} has a node")


def pod_of_job(
    here: Kubectl,
    job: str = TASK,
    good: Callable[[Object], object] = lambda pod: "deletionTimestamp" not in pod["metadata"],
) -> str:
    """Wait until a Job's pod that is `good` (by default: not leaving) has a node, and return its name."""
    found = wait_until(
        f"Job {job} has such a pod with a node",
        lambda: here.list("pods", f"--selector=batch.kubernetes.io/job-name={job}"),
        lambda pods: any(good(pod) and pod["spec"].get("nodeName") for pod in pods),
    )
    return next(str(pod["metadata"]["name"]) for pod in found if good(pod))


def _report(
    here: Kubectl,
    pod: str,
    phase: str,
    state: Mapping[str, object],
    reason: str | None = None,
    *,
    image_id: str = "sha256:0",
) -> Object:
    found = here.get("pod", pod)
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": image_id,
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }
        for container in found["spec"]["containers"]
    ]
    status = {"phase": phase, "containerStatuses": containers, **({"reason": reason} if reason else {})}
    return here.patch("pod", pod, {"status": status}, "--subresource=status")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
