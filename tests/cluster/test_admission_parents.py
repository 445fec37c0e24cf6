"""Who names a parent is its pod or has the right to, and which of the two is written by the API server."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.people import GROUP, OPERATOR, OPERATOR_GROUPS, STRANGER, TENANT, People, refusal, task

PERSONS = {"tenant": TENANT, "stranger": STRANGER, "operator": OPERATOR}
POD_UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000001"
OTHER_INTENT = {"purpose": "Look at everything", "actions": ["orders:list"]}


@pytest.fixture
def parent(people: People) -> Object:
    """A task that the administrator asked for."""
    return people.admin.create(task("triage-4711"))


def child(of: Object, name: str = "refund-4711", **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A child of the task `of`."""
    return task(name, parentRef={key: of["metadata"][key] for key in ("name", "uid")}, **spec)


def in_a_pod(kubectl: Kubectl, user: str = TENANT) -> Kubectl:
    """The same person, with the token of a pod."""
    groups = [GROUP, *OPERATOR_GROUPS] if user == OPERATOR else [GROUP]
    return kubectl.as_user(user, groups, {"authentication.kubernetes.io/pod-uid": [POD_UID]})


def may_not_name(user: str, namespace: str) -> str:
    return (
        f"{user} may not name AgentTask {namespace}/triage-4711 in spec.parentRef; only the pod that is "
        'bound to it may, with its own service-account token, or who has the verb "delegate" on '
        "agenttasks.agentid.dev/triage-4711 (see ClusterRole agentid-delegate-task)"
    )


@pytest.mark.parametrize("person", PERSONS)
def test_nobody_names_a_parent_without_the_right(people: People, parent: Object, person: str) -> None:
    said = refusal(lambda: people.named(person).create(child(parent), "--dry-run=server"))

    assert may_not_name(PERSONS[person], people.admin.namespace) in said
    assert "(Forbidden)" in said


@pytest.mark.parametrize("person", ["tenant", "stranger"])
@pytest.mark.parametrize("forged", [None, True, False])
def test_who_has_the_verb_names_a_parent_and_that_is_stamped(
    people: People,
    kubectl: Kubectl,
    parent: Object,
    person: str,
    forged: bool | None,  # noqa: FBT001 - parametrized
) -> None:
    give(kubectl, PERSONS[person], on_tasks("delegate", "triage-4711"))
    typed = {} if forged is None else {"requester": {"username": "root", "mayDelegate": forged}}

    created = accepted(lambda: people.named(person).create(child(parent, **typed), "--dry-run=server"))

    assert created["spec"]["requester"]["mayDelegate"] is True
    assert created["spec"]["requester"]["username"] == PERSONS[person]
    assert created["spec"]["parentRef"]["uid"] == parent["metadata"]["uid"]


def test_the_verb_counts_for_the_parent_that_it_names_only(
    people: People, kubectl: Kubectl, parent: Object
) -> None:
    give(kubectl, TENANT, on_tasks("delegate", "triage-4712"))
    other = people.admin.create(task("triage-4712"))
    accepted(lambda: people.tenant.create(child(other), "--dry-run=server"))

    said = refusal(lambda: people.tenant.create(child(parent)))

    assert may_not_name(TENANT, kubectl.namespace) in said


def test_the_verb_for_delegators_is_not_the_verb_for_parents(
    people: People, kubectl: Kubectl, parent: Object
) -> None:
    kubectl("create", "rolebinding", "delegates", "--clusterrole=agentid-delegate", f"--user={TENANT}")
    accepted(lambda: people.tenant.create(task(onBehalfOf="carol@example.com"), "--dry-run=server"))

    assert may_not_name(TENANT, kubectl.namespace) in refusal(lambda: people.tenant.create(child(parent)))


def test_the_shipped_role_names_any_parent(people: People, kubectl: Kubectl, parent: Object) -> None:
    kubectl(
        "create", "rolebinding", "orchestrators", "--clusterrole=agentid-delegate-task", f"--user={TENANT}"
    )

    assert accepted(lambda: people.tenant.create(child(parent)))["spec"]["requester"]["mayDelegate"] is True
    said = refusal(lambda: people.stranger.create(child(parent, "other")))
    assert may_not_name(STRANGER, kubectl.namespace) in said


@pytest.mark.parametrize("forged", [None, True])
def test_a_pod_is_let_through_and_stamped_as_that_pod_without_the_verb(
    kubectl: Kubectl,
    people: People,
    parent: Object,
    forged: bool | None,  # noqa: FBT001 - parametrized
) -> None:
    assert people.tenant
    typed = {} if forged is None else {"requester": {"podUID": "x", "mayDelegate": forged}}

    created = in_a_pod(kubectl).create(child(parent, **typed))

    requester = created["spec"]["requester"]
    assert (requester["username"], requester["podUID"], requester["mayDelegate"]) == (TENANT, POD_UID, False)


def test_the_token_of_a_real_pod_is_stamped_with_its_uid(
    kubectl: Kubectl, people: People, parent: Object, tmp_path: Path
) -> None:
    people.admin.wait_for("serviceaccount", "default", bool)
    pod = people.admin.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "agent"},
            "spec": {"containers": [{"name": "agent", "image": "agent"}]},
        }
    )
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    kubectl("create", "rolebinding", "tasks", "--clusterrole=agentid-editor", f"--user={account}")
    token = kubectl(
        "create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=agent"
    ).strip()
    itself = with_token(kubectl, token, tmp_path / "kubeconfig")
    wait_until("RBAC has taken it up", lambda: itself.can_i("create", "agenttasks.agentid.dev"))

    created = itself.create(child(parent))

    requester = created["spec"]["requester"]
    assert (requester["username"], requester["podUID"]) == (account, pod["metadata"]["uid"])
    assert requester["mayDelegate"] is False


def with_token(kubectl: Kubectl, token: str, file: Path) -> Kubectl:
    """kubectl with a bearer token as its only credential."""
    config = json.loads(kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    for user in config["users"]:
        user["user"] = {"token": token}
    file.write_text(json.dumps(config), encoding="utf-8")
    return Kubectl(kubectl.program, file, kubectl.namespace)


def test_a_task_without_a_parent_says_nothing_of_it(people: People) -> None:
    created = people.tenant.create(task(requester={"username": "root", "mayDelegate": True}))

    assert "mayDelegate" not in created["spec"]["requester"]


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_whoever_changes_the_intent_of_a_child_needs_the_right_too(
    people: People, kubectl: Kubectl, parent: Object, person: str
) -> None:
    people.admin.create(child(parent))
    change = {"spec": {"intent": OTHER_INTENT}}
    somebody = people.named(person)

    said = refusal(lambda: somebody.patch("agenttask", "refund-4711", change))

    assert may_not_name(PERSONS[person], kubectl.namespace) in said
    suspended = somebody.patch("agenttask", "refund-4711", {"spec": {"state": "Suspended"}})
    assert suspended["spec"]["intent"]["purpose"] == "Refund order 4711"
    assert suspended["spec"]["requester"]["mayDelegate"] is True
    changed = in_a_pod(kubectl, PERSONS[person]).patch("agenttask", "refund-4711", change)
    stamped = changed["spec"]["requester"]
    assert (stamped["username"], stamped["podUID"]) == (PERSONS[person], POD_UID)
    assert stamped["mayDelegate"] is False


@pytest.mark.parametrize("person", ["tenant", "stranger", "operator", "admin"])
def test_no_task_is_its_own_parent(kubectl: Kubectl, people: People, person: str) -> None:
    itself = task(parentRef={"name": "refund-4711", "uid": POD_UID})
    create = in_a_pod(kubectl, PERSONS[person]).create if person in PERSONS else people.admin.create

    said = refusal(partial(create, itself, "--dry-run=server"))

    assert "parentRef names the task itself: name the task that it is a child of" in said


@pytest.mark.parametrize("parent_ref", [5, "triage", [], {}, {"name": 5}, {"name": "a"}, {"uid": POD_UID}])
def test_a_parent_that_is_no_reference_is_refused_by_the_schema(people: People, parent_ref: object) -> None:
    said = refusal(lambda: people.admin.create(task(parentRef=parent_ref), "--validate=false"))

    assert "parentRef" in said


def test_a_parent_has_no_namespace(people: People) -> None:
    child_of_another = task(parentRef={"name": "a", "uid": POD_UID, "namespace": "other"})

    said = refusal(lambda: people.admin.create(child_of_another))
    assert 'unknown field "spec.parentRef.namespace"' in said

    # Where the API server is told to let it go, it goes: what is left is a task of the same namespace.
    created = people.admin.create(child_of_another, "--validate=false")
    assert created["spec"]["parentRef"] == {"name": "a", "uid": POD_UID}
