"""The chart: it renders what the operator expects, refuses wrong values, and gives no right too many."""

from typing import Any

import pytest

from agentid.api import kinds
from agentid.api.admission import AdmissionSettings, OwnerKind, differences, rules
from tests.rendering import of_kind, one, render


@pytest.mark.parametrize("mutating", [True, False])
def test_the_chart_renders_exactly_what_the_operator_expects(mutating: bool) -> None:  # noqa: FBT001 - parametrized
    objects = render(
        f"admission.mutating={str(mutating).lower()}",
        "limits.maxTtlSeconds=600",
        "limits.maxActiveDeadlineSeconds=1209600",
        "limits.maxBreakGlassSeconds=300",
        "limits.maxApprovalSeconds=1209600",
        "serviceAccount.name=worker",
        namespace="somewhere",
    )
    settings = AdmissionSettings(
        "somewhere",
        "worker",
        mutating=mutating,
        max_ttl_seconds=600,
        max_active_deadline_seconds=1_209_600,
        max_break_glass_seconds=300,
        max_approval_seconds=1_209_600,
    )

    rendered = {
        (each["kind"], each["metadata"]["name"]): each for each in objects if "Admission" in each["kind"]
    }
    expected = rules(settings)
    assert rendered.keys() == {(rule.kind, rule.name) for rule in expected}
    for rule in expected:
        assert differences(rule, rendered[rule.kind, rule.name]) is None


KINDS = (
    "workloadKinds[0].apiVersion=v1,workloadKinds[0].kind=Pod,workloadKinds[0].resource=pods",
    "workloadKinds[1].apiVersion=agents.x-k8s.io/v1beta1,workloadKinds[1].kind=Sandbox",
    "workloadKinds[1].resource=sandboxes",
)


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (("watchNamespaces={support,sales}",), {"watch_namespaces": ("support", "sales")}),
        ((), {}),
        (
            KINDS,
            {
                "workload_kinds": (
                    OwnerKind("agents.x-k8s.io", "Sandbox", "sandboxes"),
                    OwnerKind("", "Pod", "pods"),
                )
            },
        ),
        (("workloadKinds=null",), {"workload_kinds": ()}),
    ],
    ids=["some namespaces", "all namespaces", "other kinds", "no kind"],
)
def test_namespaces_and_kinds_are_rendered_as_the_operator_expects(
    values: tuple[str, ...], settings: dict[str, Any]
) -> None:
    objects = render("admission.mutating=true", *values)
    rendered = {(each["kind"], each["metadata"]["name"]): each for each in objects}

    for rule in rules(AdmissionSettings("agentid-system", "agentid", **settings)):
        assert differences(rule, rendered[rule.kind, rule.name]) is None


def test_crds_are_kept_or_left_out_as_asked() -> None:
    kept = of_kind(render(), "CustomResourceDefinition")
    loose = of_kind(render("crds.keep=false"), "CustomResourceDefinition")

    assert {each["metadata"]["name"] for each in kept} == {kind.crd_name for kind in kinds.KINDS}
    assert all(each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for each in kept)
    assert len(loose) == len(kinds.KINDS)
    assert all("annotations" not in each["metadata"] for each in loose)
    assert of_kind(render("crds.enabled=false"), "CustomResourceDefinition") == []


def test_with_watched_namespaces_the_operators_rights_end_there() -> None:
    objects = render("watchNamespaces={support,sales}")
    bound = {
        (each["metadata"]["namespace"], each["roleRef"]["name"])
        for each in of_kind(objects, "RoleBinding")
        if each["roleRef"]["kind"] == "ClusterRole"
    }
    everywhere = {each["roleRef"]["name"] for each in of_kind(objects, "ClusterRoleBinding")}

    roles = {"agentid-operator", "agentid-operator-credentials"}
    assert bound == {(namespace, role) for namespace in ("support", "sales") for role in roles}
    assert everywhere == {"agentid-operator-admission", "agentid-operator-policy"}
    assert {each["roleRef"]["name"] for each in of_kind(render(), "ClusterRoleBinding")} == everywhere | roles


def test_with_watched_namespaces_no_other_namespaces_labels_are_seen() -> None:
    def seen(*values: str) -> list[str] | None:
        (role,) = (
            each
            for each in of_kind(render(*values), "ClusterRole")
            if each["metadata"]["name"] == "agentid-operator-policy"
        )
        (rule,) = (rule for rule in role["rules"] if rule["resources"] == ["namespaces"])
        assert rule["verbs"] == ["list", "watch"]
        names: list[str] | None = rule.get("resourceNames")
        return names

    assert seen("watchNamespaces={support,sales}") == ["support", "sales"]
    assert seen() is None


def test_the_operators_own_namespace_may_be_watched_too() -> None:
    objects = render("watchNamespaces={agentid-system,sales}")
    named = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in objects
        if each["kind"] in {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    ]

    assert ("RoleBinding", "agentid-system", "agentid-operator") in named
    assert sorted(map(str, named)) == sorted(map(str, set(named))), "Helm would write one over the other"


def test_only_listed_workload_kinds_are_read() -> None:
    def read(*values: str) -> set[tuple[str, str]]:
        (role,) = (
            each
            for each in of_kind(render(*values), "ClusterRole")
            if each["metadata"]["name"] == "agentid-operator"
        )
        return {
            (group, resource)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            if resource in ("jobs", "sandboxes", "things")
        }

    assert read() == {("batch", "jobs")}
    listed = "workloadKinds[0].apiVersion=agents.x-k8s.io/v1beta1,workloadKinds[0].kind=Sandbox"
    assert read(listed, "workloadKinds[0].resource=sandboxes") == {("agents.x-k8s.io", "sandboxes")}


def test_the_operator_has_no_right_that_reads_secrets() -> None:
    of_the_operator = [
        role
        for role in [*of_kind(render(), "ClusterRole"), *of_kind(render(), "Role")]
        if role["metadata"]["name"] != "agentid-test"
    ]
    assert of_the_operator
    for role in of_the_operator:
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], role["metadata"]["name"]
            if "secrets" in rule["resources"]:
                reads = {"get", "list", "watch", "patch", "deletecollection"} & set(rule["verbs"])
                assert not reads or rule["resourceNames"] == ["x509-authority", "ledger-key"]


SPECIAL = {
    "agentid-delegate": ("delegators", {"delegate"}),
    "agentid-delegate-task": ("agenttasks", {"delegate"}),
    "agentid-resume": ("agenttasks", {"resume"}),
    "agentid-breakglass": ("agenttasks", {"breakglass"}),
    "agentid-approver": ("agenttasks", {"approve"}),
}
"""The role of each right that admission asks for."""


def test_a_right_that_admission_asks_for_has_a_role_that_is_part_of_no_other() -> None:
    usual = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    special = {
        role["metadata"]["name"]: {
            (resource, frozenset(set(rule["verbs"]) - usual))
            for rule in role["rules"]
            for resource in rule["resources"]
            if not set(rule["verbs"]) <= usual
        }
        for role in of_kind(render(), "ClusterRole")
    }

    assert {name: each for name, each in special.items() if each} == {
        name: {(resource, frozenset(verbs))} for name, (resource, verbs) in SPECIAL.items()
    }
    for role in of_kind(render(), "ClusterRole"):
        if role["metadata"]["name"] in SPECIAL:
            assert not any("aggregate" in label for label in role["metadata"]["labels"])


def test_nobody_but_an_approver_writes_approvals_and_nobody_changes_one() -> None:
    writes = {
        (role["metadata"]["name"], verb)
        for role in [*of_kind(render(), "ClusterRole"), *of_kind(render(), "Role")]
        for rule in role["rules"]
        if "agentapprovals" in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }

    assert writes == {("agentid-approver", "create")}


def test_the_operator_alone_writes_the_ledger_and_an_auditor_alone_reads_it_besides() -> None:
    rights = {
        (role["kind"], role["metadata"]["name"], *rule["verbs"])
        for role in [*of_kind(render(), "ClusterRole"), *of_kind(render(), "Role")]
        for rule in role["rules"]
        if "ledgerbatches" in rule["resources"]
    }
    auditor = one(render("roles.aggregate=true"), "ClusterRole", "agentid-auditor")

    assert rights == {
        ("Role", "agentid-operator-home", "create", "delete", "get", "list"),
        ("ClusterRole", "agentid-auditor", "get", "list"),
    }
    assert not any("aggregate" in label for label in auditor["metadata"]["labels"])


def test_static_secrets_are_read_by_the_names_that_are_listed_or_not_at_all() -> None:
    name = "agentid-operator-static-secrets"
    assert [each for each in render() if each["metadata"]["name"] == name] == []

    objects = render("staticSecrets.sources={legacy-crm,payments}", "serviceAccount.name=someone")

    role, binding = one(objects, "Role", name), one(objects, "RoleBinding", name)
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "agentid-system"
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["legacy-crm", "payments"],
            "verbs": ["get"],
        }
    ]
    assert [each["name"] for each in binding["subjects"]] == ["someone"]
