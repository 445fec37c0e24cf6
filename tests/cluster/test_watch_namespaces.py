"""An operator for some namespaces only: it serves these, and has no right anywhere else."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from agentid.api.admission import (
    AdmissionSettings,
    forged_task,
    is_corrected,
    is_refused,
    refused_task,
)
from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ANY_POD, POD, TASK, pod, secret, task
from tests.cluster.people import (
    GROUP,
    OPERATOR,
    OPERATOR_GROUPS,
    STRANGER,
    TENANT,
    give_every_right,
    refusal,
)
from tests.cluster.unguarded import once_let, without
from tests.laying_out import make_agent

WATCHED = ("support", "sales")
OTHER = "elsewhere"
SETTINGS = AdmissionSettings(NAMESPACE, SERVICE_ACCOUNT, watch_namespaces=WATCHED)
EVERY_ACCOUNTS = {"authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"}
"""Where Kubernetes gives every account rights: to ask who it is and what it may, to read trust bundles."""


def rights(group: str, resource: str, *verbs: str) -> set[tuple[str, str, str]]:
    return {(group, resource, verb) for verb in verbs}


OF_THE_CLUSTER = (
    {
        ("admissionregistration.k8s.io", f"{kind}admissionpolic{end}", "get")
        for kind in ("validating", "mutating")
        for end in ("ies", "ybindings")
    }
    | rights("agentid.dev", "clusteragentpolicies", "get", "list", "watch")
    | rights("agentid.dev", "clusteragentpolicies/status", "patch")
    | rights("", "namespaces", "list", "watch")
)
"""Of objects that are in no namespace, and asked about in each; of namespaces, those that are served."""
USED = (
    rights("agentid.dev", "agenttasks", "get", "list", "watch", "create", "delete")
    | rights("agentid.dev", "agenttasks/status", "patch")
    | rights("agentid.dev", "agents", "get", "list", "watch")
    | rights("agentid.dev", "agents/status", "patch")
    | rights("agentid.dev", "agenttasktemplates", "get")
    | rights("agentid.dev", "agentapprovals", "get", "list", "watch")
    | rights("agentid.dev", "agentpolicies", "get", "list", "watch")
    | rights("agentid.dev", "agentpolicies/status", "patch")
    | rights("", "pods", "get", "list", "watch")
    | rights("batch", "jobs", "get", "list", "watch")
    | rights("events.k8s.io", "events", "create")
    | rights("", "secrets", "create", "update", "delete")
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with three namespaces, and the chart for two of them."""
    with ControlPlane.start() as control_plane, nothing_foreign_answered(control_plane):
        for name in (*WATCHED, OTHER):
            control_plane.kubectl.create({"kind": "Namespace", "metadata": {"name": name}})
        install_chart(control_plane, {"watchNamespaces": list(WATCHED)})
        wait_until_in_force(control_plane.kubectl)
        wait_until_stamped(control_plane.kubectl, WATCHED[0])
        playing.make_node(control_plane.kubectl)
        for name in (*WATCHED, OTHER):
            make_agent(control_plane.kubectl.in_namespace(name))
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
    with without(cluster.kubectl, "watched-namespaces.agentid.dev"):
        once_let(partial(third.create, task()))
    served.wait_ready()
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
    third.delete("agenttask", TASK)


PEOPLE = {
    "tenant": (TENANT, [GROUP]),
    "stranger": (STRANGER, [GROUP]),
    "operator": (OPERATOR, [*OPERATOR_GROUPS, GROUP]),
}


@pytest.fixture(scope="module")
def everybody(cluster: ControlPlane) -> Callable[[str], Kubectl]:
    """kubectl where nobody serves, as somebody with every right that RBAC can give."""
    give_every_right(cluster.kubectl)
    there = cluster.kubectl.in_namespace(OTHER)
    return lambda person: there.as_user(*PEOPLE[person])


@pytest.mark.parametrize("person", PEOPLE)
def test_where_nobody_serves_them_tasks_and_labelled_pods_are_refused(
    everybody: Callable[[str], Kubectl], person: str
) -> None:
    somebody = everybody(person)
    # The operator can create a task as a dry run or for a Job only, wherever it is.
    for manifest in (task(), pod()) if person != "operator" else (pod(),):
        said = refusal(lambda manifest=manifest: somebody.create(manifest))
        assert "agentid serves only some namespaces of this cluster (sales, support)" in said
        assert "have the platform team add elsewhere to watchNamespaces of the agentid chart" in said
    assert somebody.list("agenttasks,pods") == []


def test_where_nobody_serves_them_other_pods_are_as_free_as_ever(
    everybody: Callable[[str], Kubectl],
) -> None:
    everybody("tenant").create(pod("plain", of=None))
    everybody("tenant").delete("pod", "plain", "--force", "--grace-period=0")


def test_where_nobody_serves_it_a_labelled_pod_is_given_no_volume(
    cluster: ControlPlane, everybody: Callable[[str], Kubectl]
) -> None:
    with without(cluster.kubectl, "watched-namespaces.agentid.dev"):
        created: list[Object] = []
        once_let(lambda: created.append(everybody("tenant").create(pod(), "--dry-run=server")))

    assert "agentid-credential" not in str(created)


def test_the_operator_proves_admission_in_a_namespace_that_it_does_not_serve(
    cluster: ControlPlane, served: OperatorProcess
) -> None:
    account = cluster.kubectl.in_namespace(NAMESPACE).as_service_account(NAMESPACE, SERVICE_ACCOUNT)

    assert NAMESPACE not in WATCHED
    assert is_corrected(account.create(forged_task(NAMESPACE), "--dry-run=server"), SETTINGS)
    said = refusal(lambda: account.create(refused_task(SETTINGS), "--dry-run=server"))
    assert is_refused({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": said})
    assert served.ready()
    assert served.metric("agentid_admission_in_force") == 1


@pytest.mark.parametrize("watched", [[], ["support"], ["sales", "support", "elsewhere"]], ids=str)
def test_an_operator_for_other_namespaces_than_the_charts_issues_nothing(
    served: OperatorProcess, watched: list[str]
) -> None:
    served.terminate()
    served.start({"AGENTID_WATCH_NAMESPACES": json.dumps(watched)}, wait=False)

    wait_until(
        "the rule is told to differ",
        served.why_not_ready,
        lambda seen: (
            "watched-namespaces.agentid.dev is not as installed" in seen
            or "pod-credential.agentid.dev is not as installed" in seen
        ),
    )
    assert not served.ready()


@pytest.mark.parametrize("namespace", WATCHED)
def test_where_it_watches_it_has_exactly_the_rights_that_it_uses(
    cluster: ControlPlane, namespace: str
) -> None:
    assert rights_in(cluster, namespace) == USED | OF_THE_CLUSTER


def test_elsewhere_it_has_no_rights(cluster: ControlPlane) -> None:
    assert rights_in(cluster, OTHER) == OF_THE_CLUSTER
    account = cluster.kubectl.in_namespace(OTHER).as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    with pytest.raises(KubectlError, match="cannot create resource"):
        account.create(secret(f"agentid-{TASK}"), "--validate=false")
