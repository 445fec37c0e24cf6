"""Who says yes or no to a task has the right to, is written by the API server, and can't change it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.approving import approval, denial, in_time
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.people import GROUP, OPERATOR, STRANGER, TENANT, People, refusal, task

PERSONS = {"tenant": TENANT, "stranger": STRANGER}
APPROVER = "erin@example.com"
FORGED = {"username": "root", "groups": ["system:masters"]}
LATER = "2027-05-31T14:00:00Z"


@pytest.fixture
def asked(people: People) -> Object:
    """A task that the administrator asked for."""
    return people.admin.create(task())


@pytest.fixture
def given(people: People, kubectl: Kubectl, asked: Object) -> None:
    """Tenant and stranger have the verb approve on the task, and it counts."""
    for name, user in PERSONS.items():
        give(kubectl, user, on_tasks("approve", "refund-4711"))
        accepted(partial(people.named(name).create, denial(asked), "--dry-run=server"))


@pytest.fixture
def an_hour(cluster: ControlPlane) -> Iterator[None]:
    """The chart with approvals of an hour at most; afterwards with its own maximum again."""
    install_chart(cluster, {"limits": {"maxApprovalSeconds": 3600}})
    wait_until_in_force(cluster.kubectl)
    yield
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)


def approver(username: str, *groups: str) -> dict[str, Any]:
    return {"username": username, "groups": sorted({*groups, "system:authenticated"})}


# Who may.


@pytest.mark.parametrize("person", PERSONS)
@pytest.mark.parametrize("word", ["approve", "deny"])
def test_nobody_approves_or_denies_without_the_right(
    people: People, asked: Object, person: str, word: str
) -> None:
    manifest = approval(asked) if word == "approve" else denial(asked)

    said = refusal(lambda: people.named(person).create(manifest))

    assert (
        f"{PERSONS[person]} may not {word} AgentTask {people.admin.namespace}/refund-4711; that takes the "
        'verb "approve" on agenttasks.agentid.dev/refund-4711 (see ClusterRole agentid-approver)'
    ) in said
    assert "(Forbidden)" in said
    assert people.admin.list("agentapproval") == []


def test_the_operator_approves_nothing_even_with_the_right(
    people: People, kubectl: Kubectl, asked: Object
) -> None:
    give(kubectl, OPERATOR, on_tasks("approve"))
    wait_until("RBAC gives it the verb", lambda: people.operator.can_i("approve", "agenttasks.agentid.dev"))

    for manifest in (approval(asked), denial(asked)):
        said = refusal(lambda manifest=manifest: people.operator.create(manifest))
        assert "the operator approves and denies nothing" in said
    assert people.admin.list("agentapproval") == []


@pytest.mark.usefixtures("given")
def test_the_right_counts_for_the_task_that_it_names_only(people: People) -> None:
    other = people.admin.create(task("refund-4712"))

    said = refusal(lambda: people.tenant.create(approval(other)))

    assert f"{TENANT} may not approve AgentTask" in said
    assert "agenttasks.agentid.dev/refund-4712" in said


def test_the_shipped_role_says_yes_and_no_and_does_nothing_else(kubectl: Kubectl, asked: Object) -> None:
    kubectl("create", "rolebinding", "approvers", "--clusterrole=agentid-approver", f"--user={APPROVER}")
    erin = kubectl.as_user(APPROVER)

    created = accepted(lambda: erin.create(approval(asked)))
    erin.create(denial(asked))

    assert created["spec"]["approver"] == approver(APPROVER)
    assert [each["metadata"]["name"] for each in erin.list("agentapproval")] == ["approval", "denial"]
    assert erin.get("agenttask", "refund-4711")["spec"] == asked["spec"]
    for forbidden in (
        lambda: erin("delete", "agentapproval", "denial"),
        lambda: erin("delete", "agentapproval", "--all"),
        lambda: erin.patch("agentapproval", "denial", {"metadata": {"labels": {"a": "b"}}}),
        lambda: erin.patch("agenttask", "refund-4711", {"spec": {"state": "Ended"}}),
        lambda: erin.create(task("refund-4712")),
    ):
        assert "(Forbidden)" in refusal(forbidden)


# The stamp.


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("forged", [None, FORGED, {"username": "root"}, {"groups": ["system:masters"]}])
@pytest.mark.parametrize("person", PERSONS)
def test_who_approves_is_stamped_whole(
    people: People, asked: Object, person: str, forged: dict[str, Any] | None
) -> None:
    created = people.named(person).create(approval(asked, approver=forged), "--validate=false")

    assert created["spec"]["approver"] == approver(PERSONS[person], GROUP)


def test_more_groups_than_fit_are_cut_and_the_approval_is_accepted(kubectl: Kubectl, asked: Object) -> None:
    groups = ["system:masters", *(f"team-{number:03}" for number in range(100)), "x" * 300]

    created = kubectl.as_user(TENANT, groups).create(approval(asked))

    stamped = created["spec"]["approver"]["groups"]
    assert stamped == sorted(g for g in {*groups, "system:authenticated"} if len(g) < 254)[:64]


@pytest.mark.usefixtures("given")
def test_an_approval_belongs_to_its_task_and_to_nothing_else(people: People, asked: Object) -> None:
    manifest = approval(asked)
    nothing = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": asked["metadata"]["uid"]}
    manifest["metadata"]["ownerReferences"] = [nothing]

    created = people.tenant.create(manifest)

    (owner,) = created["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTask",
        "name": "refund-4711",
        "uid": asked["metadata"]["uid"],
    }
    people.admin.delete("agenttask", "refund-4711")
    people.admin.wait_gone("agentapproval", "approval")


@pytest.mark.parametrize(
    "spec", [None, 5, "text", [], {}, {"taskRef": 5}, {"taskRef": {"name": 5, "uid": {}}}]
)
def test_an_approval_without_a_right_spec_is_refused_by_its_schema(
    people: People, asked: Object, spec: object
) -> None:
    broken = approval(asked) | {"spec": spec}

    assert "spec" in refusal(lambda: people.admin.create(broken, "--validate=false"))
    assert people.admin.list("agentapproval") == []


# It stays as it is.


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("person", ["tenant", "stranger", "operator", "admin"])
@pytest.mark.parametrize("decision", ["Approve", "Deny"])
def test_nobody_changes_what_was_decided(people: People, asked: Object, person: str, decision: str) -> None:
    before = people.tenant.create(approval(asked) if decision == "Approve" else denial(asked, "approval"))
    changes: list[dict[str, Any]] = [
        {"taskRef": {"name": "refund-4712"}},
        {"taskRef": {"uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000001"}},
        {"specHash": f"v1:{'0' * 64}"},
        {"intentGeneration": 2},
        {"projection": "{}"},
        {"comment": "It was like this"},
        {"decision": "Deny", "expiresAt": None}
        if decision == "Approve"
        else {"decision": "Approve", "expiresAt": LATER},
    ]
    if decision == "Approve":
        changes.append({"expiresAt": LATER})

    for change in changes:
        said = refusal(
            lambda change=change: people.named(person).patch("agentapproval", "approval", {"spec": change})
        )
        assert "what was decided can't be changed: create a new AgentApproval" in said
    assert people.admin.get("agentapproval", "approval")["spec"] == before["spec"]


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("way", ["patch", "replace without it", "apply", "server-side apply", "remove"])
@pytest.mark.parametrize("person", PERSONS)
def test_who_approved_stays_whatever_is_written(people: People, asked: Object, person: str, way: str) -> None:
    before = people.tenant.create(approval(asked))["spec"]
    somebody, bare = people.named(person), {key: each for key, each in before.items() if key != "approver"}
    typed = approval(asked) | {"spec": bare | {"approver": FORGED}}

    match way:
        case "patch":
            somebody.patch("agentapproval", "approval", {"spec": {"approver": FORGED}})
        case "replace without it":
            somebody.replace(typed | {"spec": bare})
        case "apply":
            somebody.apply(typed)
        case "server-side apply":
            somebody.apply(typed, "--server-side", "--force-conflicts")
        case _:
            operations = [{"op": "remove", "path": "/spec/approver"}]
            somebody.patch("agentapproval", "approval", operations, kind_of_patch="json")

    assert people.admin.get("agentapproval", "approval")["spec"] == before


@pytest.mark.usefixtures("given")
def test_applying_an_approval_twice_changes_nothing(people: People, asked: Object) -> None:
    manifest = approval(asked)

    first = people.tenant.apply(manifest)
    second = people.tenant.apply(manifest)

    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@pytest.mark.usefixtures("given")
def test_an_approval_has_no_status_to_forge(people: People, asked: Object) -> None:
    created = people.tenant.create(approval(asked) | {"status": {"counts": True}}, "--validate=false")

    assert "status" not in created
    for person in ("tenant", "operator", "admin"):
        write = {"status": {"counts": True}}
        assert "NotFound" in refusal(
            partial(people.named(person).patch, "agentapproval", "approval", write, "--subresource=status")
        )


# Until when.


def test_an_approval_ends_after_it_begins(people: People, asked: Object) -> None:
    said = refusal(lambda: people.admin.create(approval(asked, expiresAt=in_time(minutes=-1))))

    assert "spec.expiresAt is 2" in said
    assert ", which is past: it is 2" in said


@pytest.mark.usefixtures("an_hour")
def test_an_approval_lasts_no_longer_than_the_cluster_allows(people: People, asked: Object) -> None:
    said = refusal(lambda: people.admin.create(approval(asked, expiresAt=in_time(minutes=61))))

    assert "this cluster allows an approval at most 3600 seconds: until 2" in said
    assert people.admin.create(approval(asked, expiresAt=in_time(minutes=59)))


def test_by_default_an_approval_lasts_a_week_at_most(people: People, asked: Object) -> None:
    assert people.admin.create(approval(asked, expiresAt=in_time(days=6.9)), "--dry-run=server")
    said = refusal(lambda: people.admin.create(approval(asked, expiresAt=in_time(days=7.1))))

    assert "this cluster allows an approval at most 604800 seconds" in said


def test_a_forged_time_of_creation_lengthens_nothing(people: People, asked: Object) -> None:
    forged = approval(asked, expiresAt=in_time(days=400))
    forged["metadata"]["creationTimestamp"] = in_time(days=399)

    assert "allows an approval at most" in refusal(lambda: people.admin.create(forged))


# The annotations that kopf takes for its own.


@pytest.mark.parametrize("person", [*PERSONS, "operator", "admin"])
def test_nobody_writes_a_kopf_annotation_on_an_approval(people: People, asked: Object, person: str) -> None:
    people.admin.create(approval(asked))
    forged = {"metadata": {"annotations": {"kopf.zalando.org/last-handled-configuration": "{bad"}}}

    said = refusal(lambda: people.named(person).patch("agentapproval", "approval", forged))

    assert "kopf.zalando.org/last-handled-configuration can not be set here" in said
