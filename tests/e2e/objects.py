"""What these tests apply: pods and Jobs whose containers really run, and the tasks that they work for."""

import os
from collections.abc import Mapping
from typing import Any

from devcluster import images
from devcluster.kubectl import Object
from tests.cluster.objects import ACCOUNT, task

BUSYBOX = os.environ.get("AGENTID_E2E_BUSYBOX", images.BUSYBOX)
"""A shell; on a cluster that was not made here, an image with one that its nodes can pull."""
PYTHON = os.environ.get("AGENTID_E2E_PYTHON", images.PYTHON)
"""Python; likewise."""

FOLDER = "/var/run/secrets/agentid.dev"
STAYS = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
"""A script that does nothing until it is asked to end, and then ends at once."""
LINGERS = "trap 'until [ -e /tmp/go ]; do sleep 0.2; done; exit 0' TERM; while :; do sleep 0.2; done"
"""A script that, asked to end, goes on until there is a file /tmp/go."""

RESTRICTED: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
    "readOnlyRootFilesystem": True,
}
"""A container's securityContext as Pod Security "restricted" wants it, and a read-only root."""


def task_of_pod(name: str, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """An AgentTask for the one pod that carries its label, as the Agent's service account."""
    return task(name, workload={"serviceAccountName": ACCOUNT}, **spec)


def unbound_task(name: str) -> Object:
    """An AgentTask that is bound to no pod, as the default policy allows it."""
    purpose = "Say what anybody may know"
    return task(name, intent={"purpose": purpose, "actions": ["orders:read"], "sensitivity": "Public"})


def container(*command: str, name: str = "agent", image: str = BUSYBOX, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A container that runs a command, by default one that stays."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command) or ["sh", "-c", STAYS],
        **parts,
    }


def pod_spec(*containers: Mapping[str, Any], **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The spec of a pod that works as the Agent's service account and says nothing of credentials."""
    return {
        "serviceAccountName": ACCOUNT,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        "containers": [dict(each) for each in containers] or [container()],
        **spec,
    }


def pod(name: str, *containers: Mapping[str, Any], of: str | None = None, **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A pod with the label of the task of its own name, or of task `of`; no label where that is ""."""
    label = name if of is None else of
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"agentid.dev/task": label} if label else {}},
        "spec": pod_spec(*containers, **spec),
    }


def job_spec(of: str, *containers: Mapping[str, Any], **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The spec of a Job of one pod that carries the label of task `of`."""
    template = {"metadata": {"labels": {"agentid.dev/task": of}}, "spec": pod_spec(*containers)}
    return {"backoffLimit": 0, "template": template, **spec}


def job(name: str, *containers: Mapping[str, Any], **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A Job whose pod carries the label of the task of its own name."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": job_spec(name, *containers, **spec),
    }
