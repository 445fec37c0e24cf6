"""What the tests of a task's life apply: an Agent, its service account, AgentTasks, pods and Jobs."""

from collections.abc import Mapping
from typing import Any

from devcluster.kubectl import Object

AGENT = "refund-agent"
ACCOUNT = "refund-agent"
TASK = "refund-4711"
POD = "worker"
NODE = "played-node"
TRUST_DOMAIN = "demo.local"

ANY_POD: Mapping[str, Any] = {"workload": {}}
"""Part of a task's spec: any labelled pod of the Agent's service accounts may be its one pod."""

_TOLERATES_ALL = [{"operator": "Exists"}]


def agent(name: str = AGENT, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """An Agent that allows what `task` asks for, with `spec` over it."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": name},
        "spec": {
            "owner": "payments-team@example.com",
            "class": "Ephemeral",
            "actions": ["orders:read", "refunds:create"],
            "serviceAccounts": [ACCOUNT],
            **spec,
        },
    }


def service_account(name: str = ACCOUNT) -> Object:
    """A service account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def task(name: str = TASK, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """An AgentTask that is bound to no pod, with `spec` over its few lines."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": name},
        "spec": {
            "agentRef": {"name": AGENT},
            "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"]},
            **spec,
        },
    }


def task_of_job(name: str = TASK, job_name: str | None = None, **spec: Any) -> Object:  # noqa: ANN401 - as above
    """An AgentTask whose workload is a Job, of the same name unless told otherwise."""
    ref = {"apiVersion": "batch/v1", "kind": "Job", "name": job_name or name}
    return task(name, workload={"ref": ref}, **spec)


def pod(name: str = POD, of: str | None = TASK, account: str = ACCOUNT, **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A pod with one container and the label of task `of`; the scheduler gives it the played node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"agentid.dev/task": of} if of else {}},
        "spec": pod_spec(account, **spec),
    }


def pod_spec(account: str = ACCOUNT, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The spec of a pod for the played node, which no kubelet ever reports as ready."""
    return {
        "serviceAccountName": account,
        "containers": [{"name": "agent", "image": "agent:1"}],
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": _TOLERATES_ALL,
        "terminationGracePeriodSeconds": 30,
        **spec,
    }


def job(name: str = TASK, of: str | None = TASK, **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A Job of one pod that carries the label of task `of`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"agentid.dev/task": of} if of else {}},
                "spec": pod_spec(restartPolicy="Never"),
            },
            **spec,
        },
    }


def secret(name: str, **data: str) -> Object:
    """A Secret as somebody else writes it."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
