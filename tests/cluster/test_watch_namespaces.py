"""An operator for some namespaces only: it serves these, and has no right anywhere else."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ANY_POD, POD, TASK, agent, pod, secret, service_account, task

WATCHED = ("support", "sales")
OTHER = "elsewhere"
ADMISSION = {
    ("admissionregistration.k8s.io", f"{kind}admissionpolic{end}", "get")
    for kind in ("validating", "mutating")
    for end in ("ies", "ybindings")
}
"""Of objects that are in no namespace, and asked about in each."""
EVERY_ACCOUNTS = {"authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"}
"""Where Kubernetes gives every account rights: to ask who it is and what it may, to read trust bundles."""


def rights(group: str, resource: str, *verbs: str) -> set[tuple[str, str, str]]:
    return {(group, resource, verb) for verb in verbs}


USED = (
    rights("agentid.dev", "agenttasks", "get", "list", "watch", "delete")
    | rights("agentid.dev", "agenttasks/status", "patch")
    | rights("agentid.dev", "agents", "get", "list", "watch")
    | rights("", "pods", "get", "list", "watch")
    | rights("batch", "jobs", "get", "list", "watch")
    | rights("events.k8s.io", "events", "create")
    | rights("", "secrets", "create", "update", "delete")
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with three namespaces, and the chart for two of them."""
    with ControlPlane.start() as control_plane:
        for name in (*WATCHED, OTHER):
            control_plane.kubectl.create({"kind": "Namespace", "metadata": {"name": name}})
        install_chart(control_plane, {"watchNamespaces": list(WATCHED)})
        wait_until_in_force(control_plane.kubectl)
        wait_until_stamped(control_plane.kubectl, "default")
        playing.make_node(control_plane.kubectl)
        for name in (*WATCHED, OTHER):
            control_plane.kubectl.in_namespace(name).create([service_account(), agent()])
        yield control_plane


@pytest.fixture
def served(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    """A running operator for the two."""
    named = "[" + ", ".join(f'"{each}"' for each in WATCHED) + "]"
    operator = OperatorProcess(cluster, "of-two", {"AGENTID_WATCH_NAMESPACES": named})
    operator.start()
    yield operator
    if operator.alive():
        operator.terminate()


def rights_in(cluster: ControlPlane, namespace: str) -> set[tuple[str, str, str]]:
    """What the operator's account may do there, but for what every account may."""
    account = cluster.kubectl.in_namespace(namespace).as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    answer = account.create({**review, "spec": {"namespace": namespace}}, "--validate=false")
    assert not answer["status"]["incomplete"]
    return {
        (group, resource, verb)
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if group not in EVERY_ACCOUNTS
    }


def test_tasks_are_served_where_it_watches_and_left_alone_elsewhere(
    cluster: ControlPlane, served: OperatorProcess
) -> None:
    first, second, third = (cluster.kubectl.in_namespace(name) for name in (*WATCHED, OTHER))
    third.create(task())
    for here in (first, second):
        here.create([task(**ANY_POD), pod()])
    for here in (first, second):
        story.runs(here)
        playing.finish(here, POD)
        story.ends(here, "Completed")
        story.secret_gone(here)
        assert story.told(here, here.get("agenttask", TASK), 2)

    assert "status" not in third.get("agenttask", TASK)
    assert third.find("secret", f"agentid-{TASK}") is None
    assert served.healthy()
    assert served.terminate() == 0
    refused = [line for line in served.log_lines() if "orbidden" in str(line)]
    assert refused == []


@pytest.mark.parametrize("namespace", WATCHED)
def test_where_it_watches_it_has_exactly_the_rights_that_it_uses(
    cluster: ControlPlane, namespace: str
) -> None:
    assert rights_in(cluster, namespace) == USED | ADMISSION


def test_elsewhere_it_has_no_rights(cluster: ControlPlane) -> None:
    assert rights_in(cluster, OTHER) == ADMISSION
    account = cluster.kubectl.in_namespace(OTHER).as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    with pytest.raises(KubectlError, match="cannot create resource"):
        account.create(secret(f"agentid-{TASK}"), "--validate=false")
