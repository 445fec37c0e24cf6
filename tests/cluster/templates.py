"""What tests of templates apply: an AgentTaskTemplate, and Jobs and CronJobs whose pods ask for its tasks."""

from typing import Any

from devcluster.kubectl import Object
from tests.cluster.objects import ACCOUNT, AGENT, job, pod_spec

TEMPLATE = "nightly"


def template(name: str = TEMPLATE, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A template for tasks of the Agent of the tests, with `spec` over what each task asks for."""
    asked = {
        "agentRef": {"name": AGENT},
        "intent": {"purpose": "Settle the day's refunds", "actions": ["orders:read"]},
        "workload": {"serviceAccountName": ACCOUNT},
        **spec,
    }
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTaskTemplate",
        "metadata": {"name": name},
        "spec": {"template": {"spec": asked}},
    }


def job_of(name: str, template_name: str = TEMPLATE, **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A Job of one pod that asks for a task made from a template."""
    made = job(name, of=None, **spec)
    made["spec"]["template"]["metadata"]["labels"] = {"agentid.dev/template": template_name}
    return made


def pod_of(job_name: str, job_uid: str, name: str = "forged", template_name: str = TEMPLATE) -> Object:
    """A pod that says that a Job controls it, and asks for a task made from a template."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": job_uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"agentid.dev/template": template_name},
            "ownerReferences": [owner],
        },
        "spec": pod_spec(),
    }
