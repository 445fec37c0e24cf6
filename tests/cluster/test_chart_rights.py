"""Who may do what with the chart installed: operator, decision point and tenants, exactly, both ways.

What the API server itself says of an account is compared with what is written here: a right too many fails as
one that is missing does.
"""

from collections.abc import Iterator

import pytest

from agentid.api.names import CRL_PART_CONFIG_MAPS
from devcluster.controlplane import ControlPlane
from devcluster.install import GATE_IS_A_PROCESS, NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

Right = tuple[str, str, str, tuple[str, ...]]
"""Group, resource, verb, and the names to which it is limited."""

SUPPORT, SALES, OTHER, DEFAULT = "support", "sales", "elsewhere", "default"
WATCHED = {
    "all": (SUPPORT, SALES, OTHER, NAMESPACE, DEFAULT),
    "two": (SUPPORT, SALES),
    "its own": (NAMESPACE,),
}
"""Namespaces that are served, for each way to install."""
VALUES = {"all": [], "two": [SUPPORT, SALES], "its own": [NAMESPACE]}
NOBODY = "nobody@example.com"


def rights(group: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> set[Right]:
    return {(group, resource, verb, names) for verb in verbs}


EVERYWHERE = {
    right
    for kind in ("validating", "mutating")
    for end in ("ies", "ybindings")
    for right in rights("admissionregistration.k8s.io", f"{kind}admissionpolic{end}", "get")
}
EVERYWHERE |= rights("agentid.dev", "clusteragentpolicies", "get", "list", "watch")
EVERYWHERE |= rights("agentid.dev", "clusteragentpolicies/status", "patch")
"""Of objects in no namespace, told about in each: whether admission is in force, what the cluster allows."""
WHERE_IT_SERVES = (
    rights("agentid.dev", "agenttasks", "get", "list", "watch", "create", "delete")
    | rights("agentid.dev", "agenttasks/status", "patch")
    | rights("agentid.dev", "agenttasktemplates", "get")
    | rights("agentid.dev", "agents/status", "patch")
    | rights("agentid.dev", "agents", "get", "list", "watch")
    | rights("agentid.dev", "agentapprovals", "get", "list", "watch")
    | rights("agentid.dev", "agentpolicies", "get", "list", "watch")
    | rights("agentid.dev", "agentpolicies/status", "patch")
    | rights("", "pods", "get", "list", "watch")
    | rights("batch", "jobs", "get", "list", "watch")
    | rights("events.k8s.io", "events", "create")
    | rights("", "secrets", "create", "update", "delete")
)
AT_HOME = (
    rights("", "secrets", "create")
    | rights("", "secrets", "get", "update", names=("x509-authority", "ledger-key"))
    | rights("", "configmaps", "create")
    | rights(
        *("", "configmaps", "get", "update"), names=("agentid-crl", "agentid-crl-previous", "agentid-sinks")
    )
    | rights("", "configmaps", "get", "update", "delete", names=CRL_PART_CONFIG_MAPS)
    | rights("agentid.dev", "agenttasks", "create")
    | rights("agentid.dev", "agentsecrets", "get", "list", "watch")
    | rights("agentid.dev", "ledgerbatches", "create", "delete", "get", "list")
    | rights("agentid.dev", "decisioncheckpoints", "delete", "list")
    | rights("coordination.k8s.io", "leases", "create")
    | rights("coordination.k8s.io", "leases", "get", "update", names=("agentid-operator",))
)
GATE = "agentid-gate"
GATE_WHERE_IT_SERVES = (
    rights("agentid.dev", "agenttasks", "list", "watch")
    | rights("agentid.dev", "agents", "list", "watch")
    | rights("agentid.dev", "agentpolicies", "get", "list", "watch")
    | rights("", "pods", "list", "watch")
)
GATE_EVERYWHERE = rights("agentid.dev", "clusteragentpolicies", "get", "list", "watch") | rights(
    "authentication.k8s.io", "tokenreviews", "create"
)
"""Of objects in no namespace, told about in each: what the cluster allows, and whose a token is."""
GATE_AT_HOME = (
    rights("agentid.dev", "decisioncheckpoints", "create", "get")
    | rights(*("", "configmaps", "list", "watch"), names=("agentid-crl", "agentid-crl-previous"))
    | rights("", "configmaps", "get", names=CRL_PART_CONFIG_MAPS)
)
ABOUT_CLUSTER_POLICIES = rights("events.k8s.io", "events", "create")
"""In namespace default, where Events go that are about objects in no namespace."""
VIEWER = {
    right
    for kind in ("agenttasks", "agents", "agentapprovals", "agentpolicies", "agenttasktemplates")
    for right in rights("agentid.dev", kind, "get", "list", "watch")
}
EDITOR = VIEWER | {
    right
    for kind in ("agenttasks", "agenttasktemplates")
    for right in rights("agentid.dev", kind, "create", "delete", "deletecollection", "patch", "update")
}
POLICY_EDITOR = rights(
    "agentid.dev",
    "agentpolicies",
    *("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
)
ROLES = {
    "agentid-viewer": VIEWER,
    "agentid-editor": EDITOR,
    "agentid-policy-editor": POLICY_EDITOR,
    "agentid-delegate": rights("agentid.dev", "delegators", "delegate"),
    "agentid-delegate-task": rights("agentid.dev", "agenttasks", "delegate"),
    "agentid-resume": rights("agentid.dev", "agenttasks", "resume"),
    "agentid-breakglass": rights("agentid.dev", "agenttasks", "breakglass"),
    "agentid-auditor": rights("agentid.dev", "ledgerbatches", "get", "list"),
    "agentid-approver": (
        rights("agentid.dev", "agenttasks", "approve", "get", "list", "watch")
        | rights("agentid.dev", "agentapprovals", "create", "get", "list", "watch")
    ),
}
BUILT_IN = {"view": VIEWER, "edit": EDITOR, "admin": EDITOR | POLICY_EDITOR}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with three namespaces; the chart comes with `installed`."""
    with ControlPlane.start() as control_plane:
        for name in (SUPPORT, SALES, OTHER, NAMESPACE):
            control_plane.kubectl.create({"kind": "Namespace", "metadata": {"name": name}})
        yield control_plane


@pytest.fixture(scope="module", params=WATCHED)
def installed(cluster: ControlPlane, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The chart for all namespaces, for two, for the operator's own; returns which are served."""
    install_chart(cluster, {"watchNamespaces": VALUES[request.param], "gate": GATE_IS_A_PROCESS})
    return WATCHED[request.param]


def told(person: Kubectl, namespace: str) -> set[Right]:
    """What the API server says that somebody may do in a namespace."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    answer = person.create({**review, "spec": {"namespace": namespace}}, "--validate=false")
    assert not answer["status"]["incomplete"]
    return {
        (group, resource, verb, tuple(rule.get("resourceNames", ())))
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def own_rights(cluster: ControlPlane, person: Kubectl, namespace: str) -> set[Right]:
    """What somebody may do there that not every user and every service account may."""
    of_users = told(cluster.kubectl.as_user(NOBODY), namespace)
    of_accounts = told(cluster.kubectl.as_service_account("default", "default"), namespace)
    return told(person, namespace) - of_users - of_accounts


def operator_of(cluster: ControlPlane) -> Kubectl:
    return cluster.kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT)


@pytest.mark.parametrize("namespace", [SUPPORT, SALES, OTHER, NAMESPACE, DEFAULT])
def test_the_operator_has_exactly_these_rights(
    cluster: ControlPlane, installed: tuple[str, ...], namespace: str
) -> None:
    # Of the namespaces themselves it sees the labels, where it is for some of those alone.
    named = () if OTHER in installed else installed
    expected = EVERYWHERE | rights("", "namespaces", "list", "watch", names=named)
    expected |= WHERE_IT_SERVES if namespace in installed else set()
    expected |= AT_HOME if namespace == NAMESPACE else set()
    expected |= ABOUT_CLUSTER_POLICIES if namespace == DEFAULT else set()

    assert wait_until(
        "RBAC has taken up what was installed",
        lambda: own_rights(cluster, operator_of(cluster), namespace),
        lambda seen: seen == expected,
    )


@pytest.mark.parametrize("namespace", [SUPPORT, SALES, OTHER, NAMESPACE, DEFAULT])
def test_a_decision_point_has_exactly_these_rights_and_writes_its_reports_alone(
    cluster: ControlPlane, installed: tuple[str, ...], namespace: str
) -> None:
    named = () if OTHER in installed else installed
    expected = GATE_EVERYWHERE | rights("", "namespaces", "list", "watch", names=named)
    expected |= GATE_WHERE_IT_SERVES if namespace in installed else set()
    expected |= GATE_AT_HOME if namespace == NAMESPACE else set()
    account = cluster.kubectl.as_service_account(NAMESPACE, GATE)

    assert wait_until(
        "RBAC has taken up what was installed",
        lambda: own_rights(cluster, account, namespace),
        lambda seen: seen == expected,
    )


def test_no_other_account_of_its_namespace_has_a_right(
    cluster: ControlPlane, installed: tuple[str, ...]
) -> None:
    assert installed
    account = cluster.kubectl.as_service_account(NAMESPACE, "default")

    for namespace in (SUPPORT, NAMESPACE):
        assert own_rights(cluster, account, namespace) == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_tenant_has_exactly_the_rights_of_the_role_and_only_where_it_is_bound(
    cluster: ControlPlane, installed: tuple[str, ...], role: str
) -> None:
    assert installed
    tenant = f"{role}@example.com"
    here = cluster.kubectl.in_namespace(SUPPORT)
    here("delete", "rolebinding", role, "--ignore-not-found")
    here("create", "rolebinding", role, f"--clusterrole={role}", f"--user={tenant}")
    person = cluster.kubectl.as_user(tenant)

    wait_until(
        f"RBAC has taken up the binding of {role}",
        lambda: own_rights(cluster, person, SUPPORT),
        lambda seen: seen == ROLES[role],
    )
    for namespace in (SALES, OTHER, NAMESPACE):
        assert own_rights(cluster, person, namespace) == set()


def of_agentid(cluster: ControlPlane, role: str) -> set[Right]:
    """What a built-in role may do with agentid's objects."""
    return {
        (group, resource, verb, ())
        for rule in cluster.kubectl.get("clusterrole", role)["rules"] or ()
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
        if group == "agentid.dev"
    }


@pytest.mark.parametrize("aggregate", [True, False])
@pytest.mark.parametrize("role", BUILT_IN)
def test_built_in_roles_have_the_tenants_rights_where_that_is_asked_for(
    cluster: ControlPlane,
    role: str,
    aggregate: bool,  # noqa: FBT001 - parametrized
) -> None:
    install_chart(cluster, {"roles": {"aggregate": aggregate}, "gate": GATE_IS_A_PROCESS})

    wait_until(
        f"role {role} is as asked",
        lambda: of_agentid(cluster, role),
        lambda seen: seen == (BUILT_IN[role] if aggregate else set()),
    )
