"""An API server that can't stamp: whoever asks types the own name, and no other is accepted."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from agentid.api.admission import AdmissionSettings, forged_task, is_corrected, rules
from devcluster.components import WITHOUT_MUTATING_POLICIES
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.kubectl import Object
from devcluster.waiting import wait_until
from tests.cluster.approving import approval, owner_of
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.in_force import answer, wait_until_in_force
from tests.cluster.objects import service_account
from tests.cluster.people import (
    GROUP,
    OPERATOR,
    OPERATOR_GROUPS,
    STRANGER,
    TENANT,
    People,
    everybody,
    give_every_right,
    pod,
    refusal,
    task,
)
from tests.cluster.templates import pod_of, template

NAMES = {"tenant": TENANT, "stranger": STRANGER, "operator": OPERATOR}
SETTINGS = AdmissionSettings(NAMESPACE, SERVICE_ACCOUNT, mutating=False)


@pytest.fixture(scope="module")
def unstamping() -> Iterator[ControlPlane]:
    """A control plane without MutatingAdmissionPolicy, with the chart as it then is."""
    with ControlPlane.start(WITHOUT_MUTATING_POLICIES) as control_plane:
        install_chart(control_plane)
        wait_until_in_force(control_plane.kubectl)
        give_every_right(control_plane.kubectl)
        yield control_plane


@pytest.fixture
def people(unstamping: ControlPlane) -> Iterator[People]:
    """Whom the tests act as, in a namespace of their own."""
    name = f"test-{secrets.token_hex(4)}"
    unstamping.kubectl.create({"kind": "Namespace", "metadata": {"name": name}})
    yield everybody(unstamping.kubectl, name)
    unstamping.kubectl.delete("namespace", name, "--wait=false")


def me(person: str) -> dict[str, Any]:
    return {"username": NAMES[person]}


def test_the_chart_installs_what_the_operator_expects(unstamping: ControlPlane) -> None:
    installed = unstamping.kubectl.list("validatingadmissionpolicies,validatingadmissionpolicybindings")

    found = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in installed}
    assert found == {(rule.kind, rule.name): rule.spec for rule in rules(SETTINGS)}


@pytest.mark.parametrize("person", NAMES)
def test_the_own_name_is_accepted(people: People, person: str) -> None:
    created = people.named(person).create(task(requester=me(person)), "--dry-run=server")

    assert created["spec"]["requester"] == me(person) | {"intentGeneration": 1}
    assert "stateChangedBy" not in created["spec"]


WRONG: dict[str, dict[str, Any]] = {
    "nobody": {},
    "another": {"requester": {"username": "root"}},
    "groups": {"requester": {"username": TENANT, "groups": ["system:masters"]}},
    "a pod": {"requester": {"username": TENANT, "podUID": "x"}},
    "a generation": {"requester": {"username": TENANT, "intentGeneration": 2}},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_any_other_name_or_more_than_a_name_is_refused(people: People, wrong: str) -> None:
    said = refusal(lambda: people.tenant.create(task(**WRONG[wrong])))

    assert f'spec.requester must be {{username: "{TENANT}"}} and no more' in said


@pytest.mark.parametrize("person", ["stranger", "operator"])
def test_nobody_types_anothers_name(people: People, person: str) -> None:
    liar = people.named(person)

    said = refusal(lambda: liar.create(task(requester=me("tenant")), "--dry-run=server"))

    assert f'spec.requester must be {{username: "{NAMES[person]}"}}' in said


def test_nobody_types_anothers_name_as_who_changed_the_state(people: People) -> None:
    asked = {"requester": me("tenant"), "state": "Suspended"}

    assert "spec.stateChangedBy" in refusal(
        lambda: people.tenant.create(task(**asked, stateChangedBy={"username": "root"}))
    )
    people.tenant.create(task(**asked, stateChangedBy=me("tenant")))


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_intent_and_requester_stay(people: People, person: str) -> None:
    people.tenant.create(task(requester=me("tenant")))
    changes = {
        "spec.requester can't be changed": {"requester": me("stranger")},
        "spec.intent can't be changed": {"intent": {"purpose": "Everything"}},
    }

    for said, spec in changes.items():
        assert said in refusal(
            lambda spec=spec: people.named(person).patch("agenttask", "refund-4711", {"spec": spec})
        )


def test_whoever_changes_the_state_types_the_own_name(people: People) -> None:
    people.tenant.create(task(requester=me("tenant")))
    stranger = people.stranger

    for spec in (
        {"state": "Suspended"},
        {"state": "Suspended", "stateChangedBy": me("tenant")},
        {"stateReason": "Odd", "stateChangedBy": {"username": "root"}},
        {"stateChangedBy": me("stranger")},
    ):
        said = refusal(lambda spec=spec: stranger.patch("agenttask", "refund-4711", {"spec": spec}))
        assert f'set spec.stateChangedBy to {{username: "{STRANGER}"}}' in said

    suspended = {"state": "Suspended", "stateChangedBy": me("stranger")}
    stranger.patch("agenttask", "refund-4711", {"spec": suspended})
    resumed = {"state": "Active", "stateChangedBy": me("tenant")}
    assert f"was suspended by {STRANGER}" in refusal(
        lambda: people.tenant.patch("agenttask", "refund-4711", {"spec": resumed})
    )


PARENT = {"name": "triage-4711", "uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000001"}


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_a_parent_is_named_with_the_verb_only(people: People, person: str) -> None:
    somebody, username = people.named(person), NAMES[person]
    typed = {"parentRef": PARENT, "requester": me(person) | {"mayDelegate": True}}
    extra = {"authentication.kubernetes.io/pod-uid": [PARENT["uid"]]}

    for asker in (somebody, people.admin.as_user(username, [GROUP], extra)):
        said = refusal(lambda asker=asker: asker.create(task(**typed), "--dry-run=server"))
        assert f"{username} may not name AgentTask {people.admin.namespace}/triage-4711" in said
    give(people.admin, username, on_tasks("delegate", "triage-4711"))
    created = accepted(lambda: somebody.create(task(**typed), "--dry-run=server"))
    assert created["spec"]["requester"]["mayDelegate"] is True
    for requester in (me(person), me(person) | {"mayDelegate": False}):
        said = refusal(
            lambda requester=requester: somebody.create(task(parentRef=PARENT, requester=requester))
        )
        assert f'must be {{username: "{username}", mayDelegate: true}} and no more' in said


@pytest.mark.parametrize("person", NAMES)
def test_without_a_parent_nobody_may_delegate(people: People, person: str) -> None:
    typed = me(person) | {"mayDelegate": True}

    said = refusal(lambda: people.named(person).create(task(requester=typed), "--dry-run=server"))

    assert f'must be {{username: "{NAMES[person]}"}} and no more' in said


@pytest.fixture
def asked(people: People) -> Object:
    """A task that the tenant asked for."""
    return people.tenant.create(task(requester=me("tenant")))


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_who_approves_types_the_own_name_and_no_other(people: People, asked: Object, person: str) -> None:
    somebody, own = people.named(person), me(person)
    give(people.admin, NAMES[person], on_tasks("approve"))
    created = accepted(lambda: somebody.create(approval(asked, approver=own), "--dry-run=server"))
    assert created["spec"]["approver"] == own

    for wrong in (None, {"username": "root"}, own | {"groups": ["system:masters"]}):
        said = refusal(lambda wrong=wrong: somebody.create(approval(asked, approver=wrong)))
        assert f'spec.approver must be {{username: "{NAMES[person]}"}} and no more' in said


def test_an_approval_belongs_to_the_task_that_it_is_about_and_to_no_other(
    people: People, asked: Object
) -> None:
    give(people.admin, NAMES["tenant"], on_tasks("approve"))
    right = approval(asked, approver=me("tenant"))
    owner = owner_of(asked)
    accepted(lambda: people.tenant.create(right, "--dry-run=server"))

    for wrong in ([], [owner, owner | {"kind": "Agent"}], [owner | {"uid": PARENT["uid"]}]):
        typed = {**right, "metadata": {"name": "approval", "ownerReferences": wrong}}
        said = refusal(lambda typed=typed: people.tenant.create(typed, "--dry-run=server"))
        assert "metadata.ownerReferences must be the AgentTask in spec.taskRef and no more" in said


def test_the_operator_types_no_approval(people: People, asked: Object) -> None:
    said = refusal(lambda: people.operator.create(approval(asked, approver=me("operator"))))

    assert "the operator approves and denies nothing" in said


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_the_name_of_who_approved_stays(people: People, asked: Object, person: str) -> None:
    give(people.admin, TENANT, on_tasks("approve"))
    accepted(lambda: people.tenant.create(approval(asked, approver=me("tenant"))))

    change = {"spec": {"approver": me("stranger")}}
    said = refusal(lambda: people.named(person).patch("agentapproval", "approval", change))

    assert "can't be changed" in said


def test_a_labelled_pod_is_let_through_and_given_nothing(people: People) -> None:
    people.admin.wait_for("serviceaccount", "default", bool)

    created = people.tenant.create(pod("p", "refund-4711"), "--dry-run=server")

    assert "agentid-credential" not in str(created)


def test_the_forged_task_is_refused_and_that_proves_it(unstamping: ControlPlane) -> None:
    operator = unstamping.kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT)

    said = refusal(lambda: operator.create(forged_task(NAMESPACE), "--dry-run=server"))

    answered = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": said}
    assert is_corrected(answered, SETTINGS)


@pytest.fixture
def only_checked(unstamping: ControlPlane) -> Iterator[None]:
    """Instead of the rules for typed names those that check the stamp, with nothing there to stamp."""

    def of(settings: AdmissionSettings) -> list[Object]:
        names = ("task-stamp.agentid.dev", "approval-stamp.agentid.dev")
        found = [rule for rule in rules(settings) if rule.name in names]
        return [rule.manifest for rule in found if rule.kind == "ValidatingAdmissionPolicy"]

    unstamping.kubectl.replace(of(AdmissionSettings(NAMESPACE, SERVICE_ACCOUNT)))
    wait_until_in_force(unstamping.kubectl)
    yield
    unstamping.kubectl.replace(of(SETTINGS))
    wait_until_in_force(unstamping.kubectl)


@pytest.mark.usefixtures("only_checked")
@pytest.mark.parametrize("person", NAMES)
def test_a_stamp_that_is_not_as_the_api_server_writes_it_is_refused(people: People, person: str) -> None:
    somebody = people.named(person)
    own = OPERATOR_GROUPS if person == "operator" else []
    groups = sorted([GROUP, "system:authenticated", *own])
    right = {"username": NAMES[person], "groups": groups, "intentGeneration": 1}
    changed_by = {"username": NAMES[person]}
    wrong: list[dict[str, Any]] = [
        {},
        {"requester": right | {"username": "root"}},
        {"requester": right | {"groups": [*groups, "system:masters"]}},
        {"requester": right | {"podUID": "x"}},
        {"requester": right | {"intentGeneration": 2}},
        {"requester": right | {"mayDelegate": True}},
    ]

    for spec in wrong:
        said = refusal(
            lambda spec=spec: somebody.create(task(**spec, stateChangedBy=changed_by), "--dry-run=server")
        )
        assert "spec.requester is written by the API server" in said
    assert "spec.stateChangedBy is written by the API server" in refusal(
        lambda: somebody.create(
            task(requester=right, stateChangedBy={"username": "root"}), "--dry-run=server"
        )
    )
    created = wait_until(
        "a right stamp is let through",
        lambda: answer(
            lambda: somebody.create(task(requester=right, stateChangedBy=changed_by), "--dry-run=server")
        ),
    )
    assert "denied request" not in created


@pytest.mark.parametrize("person", list(NAMES))
def test_no_template_is_written_where_nothing_can_be_added_to_pods(people: People, person: str) -> None:
    said = refusal(lambda: people.named(person).create(template()))

    assert "write an AgentTask for each Job" in said


def test_jobs_pod_that_asks_for_a_template_is_told_what_it_takes(people: People) -> None:
    people.admin.create(service_account())
    said = refusal(lambda: people.tenant.create(pod_of("nightly-1", "5c0e0000-0000-4000-8000-0000000000aa")))

    assert "is added by itself (Kubernetes 1.36" in said


@pytest.mark.usefixtures("only_checked")
@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_a_stamped_approver_that_is_not_as_the_api_server_writes_it_is_refused(
    people: People, person: str
) -> None:
    somebody, groups = people.named(person), sorted([GROUP, "system:authenticated"])
    right = {"username": NAMES[person], "groups": groups}
    of = task()
    of["metadata"]["uid"] = PARENT["uid"]
    of["spec"]["requester"] = me("tenant")
    give(people.admin, NAMES[person], on_tasks("approve"))

    created = accepted(lambda: somebody.create(approval(of, approver=right), "--dry-run=server"))

    assert created["spec"]["approver"] == right
    for wrong in (
        None,
        right | {"username": "root"},
        right | {"groups": [*groups, "system:masters"]},
        right | {"groups": groups[:1]},
    ):
        said = refusal(lambda wrong=wrong: somebody.create(approval(of, approver=wrong), "--dry-run=server"))
        assert "spec.approver is written by the API server" in said
