"""What is made and cleared around nearly every test, in this process: kubectl would take one each time."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from agentid.api.names import GROUP, VERSION
from devcluster.kubectl import Kubectl
from tests.cluster.objects import agent, service_account

_AT_ONCE = {"grace_period_seconds": 0, "propagation_policy": "Background"}


@contextmanager
def fresh_namespace(admin: Kubectl, name: str) -> Iterator[Kubectl]:
    """A namespace labelled as a test's; afterwards it is asked to go, which is not waited for."""
    api = client.CoreV1Api(_api(admin.kubeconfig))
    api.create_namespace({"metadata": {"name": name, "labels": {"agentid.dev/test": "true"}}})
    yield admin.in_namespace(name)
    try:
        api.delete_namespace(name)
    except ApiException as refusal:
        # A test may have deleted it.
        if refusal.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            raise


def make_agent(here: Kubectl) -> None:
    """Make an Agent and its service account in a namespace."""
    api = _api(here.kubeconfig)
    client.CoreV1Api(api).create_namespaced_service_account(here.namespace, service_account())
    client.CustomObjectsApi(api).create_namespaced_custom_object(
        GROUP, VERSION, here.namespace, "agents", agent()
    )


def clear_workloads(here: Kubectl) -> None:
    """Take the Jobs and pods out of a namespace, as kubelets would have ended them."""
    api = _api(here.kubeconfig)
    client.BatchV1Api(api).delete_collection_namespaced_job(here.namespace, **_AT_ONCE)
    client.CoreV1Api(api).delete_collection_namespaced_pod(here.namespace, **_AT_ONCE)


@functools.cache
def _api(kubeconfig: Path) -> client.ApiClient:
    return config.new_client_from_config(str(kubeconfig))
