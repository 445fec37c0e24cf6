"""Secrets that start with agentid- are the operator's, and the operator's account can read no Secret."""

import json
from base64 import b64encode
from typing import Any

import pytest

from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from tests.cluster.in_force import answer
from tests.cluster.people import People, pod, refusal, task

NAME = "agentid-refund-4711"
OTHERS = ["tenant", "stranger", "admin"]
KEY = b64encode(b"-----BEGIN PRIVATE KEY-----").decode()
UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000001"


def owned_by(uid: str = UID) -> list[dict[str, str]]:
    return [{"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentTask", "name": "refund-4711", "uid": uid}]


def credential(uid: str = UID, **parts: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A credential Secret as the operator writes it, with `parts` over it."""
    metadata = {
        "name": NAME,
        "labels": {"agentid.dev/task-uid": uid},
        "ownerReferences": owned_by(uid),
        **parts.pop("metadata", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": KEY, "tls.key": KEY},
        **parts,
    }


@pytest.fixture
def issued(people: People) -> Object:
    """A credential that the operator wrote, for a task that is there."""
    uid = people.tenant.create(task())["metadata"]["uid"]
    return people.operator.create(credential(uid))


def emptied(secret: Object) -> Object:
    return secret | {"data": dict.fromkeys(secret["data"], "")}


def delete(person: Kubectl, name: str, options: dict[str, Any], query: str = "") -> str:
    """Send one DELETE for a Secret, with these options as its body, or without a body."""
    url = f"--raw=/api/v1/namespaces/{person.namespace}/secrets/{name}{query}"
    if not options:
        return person("delete", url)
    body = json.dumps({"apiVersion": "v1", "kind": "DeleteOptions", **options})
    return person("delete", url, "--filename=-", stdin=body)


# Everybody else.


@pytest.mark.parametrize("person", OTHERS)
@pytest.mark.parametrize("kind", ["kubernetes.io/tls", "Opaque"])
def test_nobody_plants_a_credential(people: People, person: str, kind: str) -> None:
    planter = people.named(person)

    said = refusal(lambda: planter.create(credential(type=kind)))
    assert f"reserved for the operator; choose another name than {NAME}" in said
    said = refusal(lambda: planter.apply(credential(type=kind), "--server-side"))
    assert f"reserved for the operator; choose another name than {NAME}" in said
    generated = credential(type=kind)
    generated["metadata"] = {"generateName": "agentid-"}
    assert "reserved for the operator" in refusal(lambda: planter.create(generated))
    assert people.admin.list("secret") == []


CHANGES: dict[str, dict[str, Any]] = {
    "contents": {"data": {"tls.key": b64encode(b"mine").decode()}},
    "one more": {"stringData": {"more": "x"}},
    "frozen": {"immutable": True},
    "finalized": {"metadata": {"finalizers": ["example.com/hold"]}},
    "label": {"metadata": {"labels": {"agentid.dev/task-uid": "x"}}},
    "annotation": {"metadata": {"annotations": {"example.com/a": "b"}}},
    "owner": {"metadata": {"ownerReferences": None}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_a_credential(people: People, issued: Object, change: str) -> None:
    for person in OTHERS:
        somebody = people.named(person)
        said = refusal(lambda s=somebody: s.patch("secret", NAME, CHANGES[change]))
        assert "is changed by the operator only" in said
    assert (
        people.admin.get("secret", NAME)["metadata"]["resourceVersion"]
        == (issued["metadata"]["resourceVersion"])
    )


@pytest.mark.parametrize("person", OTHERS)
def test_a_write_that_changes_nothing_is_let_through(people: People, issued: Object, person: str) -> None:
    written = people.named(person).replace(people.admin.get("secret", NAME))

    assert written["data"] == issued["data"]


@pytest.mark.parametrize("person", OTHERS)
def test_nobody_deletes_a_credential(people: People, issued: Object, person: str) -> None:
    somebody = people.named(person)

    for what in (
        ("secret", NAME),
        ("secrets", "--all"),
        (f"--raw=/api/v1/namespaces/{somebody.namespace}/secrets",),
    ):
        said = refusal(lambda what=what: somebody("delete", *what))
        assert "is deleted by the operator only" in said
        assert "set spec.state of its AgentTask to Ended" in said
    assert people.admin.get("secret", NAME)["metadata"]["uid"] == issued["metadata"]["uid"]


@pytest.mark.parametrize("person", OTHERS)
def test_other_secrets_are_as_free_as_ever(people: People, person: str) -> None:
    somebody = people.named(person)
    mine = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agent-id"}, "stringData": {"a": "b"}}

    assert somebody.create(mine)["data"] == {"a": b64encode(b"b").decode()}
    assert somebody.patch("secret", "agent-id", {"immutable": True})["immutable"] is True
    somebody.delete("secret", "agent-id")
    assert people.admin.find("secret", "agent-id") is None


def test_the_garbage_collector_takes_a_credential_when_its_owners_are_gone(
    people: People, kubectl: Kubectl
) -> None:
    kubectl.wait_for("serviceaccount", "default", bool)
    uid = people.tenant.create(task())["metadata"]["uid"]
    worker = people.tenant.create(pod("worker", "refund-4711"))["metadata"]["uid"]
    owners = [
        *owned_by(uid),
        {"apiVersion": "v1", "kind": "Pod", "name": "worker", "uid": worker},
    ]
    people.operator.create(credential(uid, metadata={"ownerReferences": owners}))

    people.tenant.delete("agenttask", "refund-4711")
    left = kubectl.wait_for("secret", NAME, lambda seen: len(seen["metadata"]["ownerReferences"]) == 1)
    assert left["metadata"]["ownerReferences"][0]["kind"] == "Pod"

    people.tenant.delete("pod", "worker", "--force")
    kubectl.wait_gone("secret", NAME)


def test_a_namespace_goes_with_its_credentials(people: People, admin: Kubectl, namespace: str) -> None:
    people.operator.create(credential(people.tenant.create(task())["metadata"]["uid"]))

    admin.delete("namespace", namespace)

    assert admin.find("namespace", namespace) is None


# The operator's own account, with every right that RBAC can give.


def test_the_operator_writes_replaces_empties_and_deletes_a_credential(people: People) -> None:
    uid = people.tenant.create(task())["metadata"]["uid"]
    people.operator.create(credential(uid), "--dry-run=server")
    created = people.operator.create(credential(uid))
    renewed = people.operator.replace(credential(uid, data={"tls.crt": KEY, "tls.key": KEY, "ca.crt": KEY}))
    wiped = people.operator.replace(emptied(renewed))

    said = delete(people.operator, NAME, {"preconditions": {"uid": created["metadata"]["uid"]}})

    assert set(wiped["data"].values()) == {""}
    assert "data" not in json.loads(said)
    assert people.admin.find("secret", NAME) is None


def test_an_emptied_secret_needs_no_task(people: People, issued: Object) -> None:
    bare = emptied(issued) | {"metadata": {"name": NAME, "ownerReferences": None}}

    assert set(people.operator.replace(bare)["data"].values()) == {""}


REFUSED_WRITES: dict[str, Object] = {
    "another name": credential(metadata={"name": "legacy-crm"}),
    "the authority's name in a tenant's namespace": credential(metadata={"name": "x509-authority"}),
    "a token": credential(
        type="kubernetes.io/service-account-token",
        metadata={"annotations": {"kubernetes.io/service-account.name": "default"}},
    ),
    "a token's annotation": credential(
        metadata={"annotations": {"kubernetes.io/service-account.name": "default"}}
    ),
    "another type": credential(type="kubernetes.io/dockercfg", data={".dockercfg": "e30="}),
    "a finalizer": credential(metadata={"finalizers": ["example.com/hold"]}),
    "frozen": credential(immutable=True),
    "no label": credential(metadata={"labels": {}}),
    "no owner": credential(metadata={"ownerReferences": []}),
    "another owner": credential(metadata={"ownerReferences": owned_by(UID[:-1] + "2")}),
    "an owner of another kind": credential(
        metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": UID}]}
    ),
}


@pytest.mark.parametrize("write", REFUSED_WRITES)
def test_the_operator_writes_nothing_but_credentials(people: People, write: str) -> None:
    for options in ((), ("--dry-run=server",)):
        said = refusal(lambda options=options: people.operator.create(REFUSED_WRITES[write], *options))
        assert "operator-secrets.agentid.dev" in said
    assert people.admin.list("secret") == []


def test_the_operator_replaces_a_credential_of_the_same_task_only(people: People, issued: Object) -> None:
    taken_over = credential(UID, metadata={"resourceVersion": issued["metadata"]["resourceVersion"]})

    assert "stays with it" in refusal(lambda: people.operator.replace(taken_over))
    people.operator.replace(emptied(issued))


DELETES: dict[str, tuple[dict[str, Any], str]] = {
    "without a UID": ({"propagationPolicy": "Background"}, ""),
    "foreground": ({"propagationPolicy": "Foreground"}, ""),
    "orphan": ({"propagationPolicy": "Orphan"}, ""),
    "orphan, the old way": ({"orphanDependents": True}, ""),
    "dry run": ({"dryRun": ["All"]}, ""),
    "dry run in the query": ({}, "?dryRun=All"),
    "foreground in the query": ({}, "?propagationPolicy=Foreground"),
    "nothing at all": ({}, ""),
}


@pytest.mark.parametrize("way", DELETES)
def test_the_operator_sees_no_contents_by_deleting(people: People, issued: Object, way: str) -> None:
    options, query = DELETES[way]
    if options and way != "without a UID":
        options = {**options, "preconditions": {"uid": issued["metadata"]["uid"]}}

    said = refusal(lambda: delete(people.operator, NAME, options, query))

    assert KEY not in said
    assert people.admin.get("secret", NAME)["data"] == issued["data"]


def test_the_operator_sees_no_contents_by_deleting_many(people: People, issued: Object) -> None:
    namespace = people.operator.namespace

    said = refusal(lambda: people.operator("delete", f"--raw=/api/v1/namespaces/{namespace}/secrets"))

    assert KEY not in said
    assert people.admin.get("secret", NAME)["data"] == issued["data"]


def test_the_operator_deletes_no_secret_of_others(people: People) -> None:
    made = people.tenant.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "legacy"}, "data": {"key": KEY}}
    )

    said = refusal(
        lambda: delete(people.operator, "legacy", {"preconditions": {"uid": made["metadata"]["uid"]}})
    )

    assert KEY not in said
    assert people.admin.get("secret", "legacy")["data"] == {"key": KEY}


def test_the_operator_overwrites_no_secret_of_others(people: People) -> None:
    people.tenant.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "legacy"}, "data": {"key": KEY}}
    )
    mine = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "legacy"}, "data": {"key": ""}}

    said = refusal(lambda: people.operator.replace(mine))

    assert "operator-secrets.agentid.dev" in said
    assert people.admin.get("secret", "legacy")["data"] == {"key": KEY}


def test_the_authority_is_written_in_the_operators_namespace_and_not_deleted(admin: Kubectl) -> None:
    operator = admin.in_namespace(NAMESPACE).as_service_account(NAMESPACE, "agentid")
    authority = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x509-authority"},
        "type": "Opaque",
        "data": {"root.key": KEY},
    }
    other = {**authority, "metadata": {"name": "another"}}

    # Where an operator has made it already, that is said only after admission has let it through.
    said = answer(lambda: operator.create(authority, "--dry-run=server"))
    assert "x509-authority" in said
    assert "denied request" not in said
    assert "operator-secrets.agentid.dev" in refusal(lambda: operator.create(other, "--dry-run=server"))
    assert operator.can_i("get", "secret/x509-authority")
    assert not operator.can_i("get", "secret/another")


def test_rbac_gives_the_operator_no_way_to_read_a_secret(admin: Kubectl) -> None:
    for namespace in ("default", "kube-system", NAMESPACE):
        operator = admin.in_namespace(namespace).as_service_account(NAMESPACE, "agentid")
        for verb in ("get", "list", "watch", "patch", "deletecollection"):
            assert not operator.can_i(verb, "secrets"), (verb, namespace)
        for verb in ("create", "update", "delete"):
            assert operator.can_i(verb, "secrets"), (verb, namespace)
        assert not operator.can_i("create", "serviceaccounts", "--subresource=token")
        assert not operator.can_i("create", "pods")
        assert not operator.can_i("update", "agenttasks.agentid.dev")
        assert not operator.can_i("impersonate", "users")
        # Those of Jobs, from templates: admission holds it to them (test_admission_template.py).
        assert operator.can_i("create", "agenttasks.agentid.dev"), namespace
