"""An emergency is a right of its own, is short, and stays what it was created as."""

from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.people import OPERATOR, STRANGER, TENANT, People, refusal, task

PERSONS = {"tenant": TENANT, "stranger": STRANGER, "operator": OPERATOR}
BREAK_GLASS = {"justification": "The payment provider is down"}


def emergency(name: str = "refund-4711", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    return task(name, **{"breakGlass": BREAK_GLASS, "credential": {"renew": False}, **spec})


def may_not(user: str, namespace: str, name: str = "refund-4711") -> str:
    return (
        f"{user} may not set spec.breakGlass on AgentTask {namespace}/{name}; that takes the verb "
        f'"breakglass" on agenttasks.agentid.dev/{name} (see ClusterRole agentid-breakglass); without it, '
        "leave spec.breakGlass out and wait for an approval"
    )


@pytest.fixture
def five_minutes(cluster: ControlPlane) -> Iterator[None]:
    """The chart with emergencies of five minutes at most; afterwards with its own maximum again."""
    install_chart(cluster, {"limits": {"maxBreakGlassSeconds": 300}})
    wait_until_in_force(cluster.kubectl)
    yield
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)


@pytest.mark.parametrize("person", PERSONS)
def test_nobody_breaks_the_glass_without_the_right(people: People, person: str) -> None:
    said = refusal(lambda: people.named(person).create(emergency(), "--dry-run=server"))

    assert may_not(PERSONS[person], people.admin.namespace) in said
    assert "(Forbidden)" in said


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_the_right_counts_for_the_name_that_it_names(people: People, kubectl: Kubectl, person: str) -> None:
    give(kubectl, PERSONS[person], on_tasks("breakglass", "refund-4711"))

    created = accepted(lambda: people.named(person).create(emergency()))

    assert created["spec"]["breakGlass"] == BREAK_GLASS
    said = refusal(lambda: people.named(person).create(emergency("refund-4712")))
    assert may_not(PERSONS[person], kubectl.namespace, "refund-4712") in said


def test_the_shipped_role_gives_it_also_for_a_generated_name(people: People, kubectl: Kubectl) -> None:
    unnamed = emergency() | {"metadata": {"generateName": "refund-"}}
    assert f"{TENANT} may not set spec.breakGlass on AgentTask {kubectl.namespace}/refund-" in refusal(
        lambda: people.tenant.create(unnamed)
    )
    kubectl("create", "rolebinding", "on-call", "--clusterrole=agentid-breakglass", f"--user={TENANT}")

    created = accepted(lambda: people.tenant.create(unnamed))

    assert created["spec"]["requester"]["username"] == TENANT


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_nobody_makes_an_emergency_of_a_task_that_is_there(people: People, person: str) -> None:
    people.admin.create(task(credential={"renew": False}))

    said = refusal(
        lambda: people.named(person).patch("agenttask", "refund-4711", {"spec": {"breakGlass": BREAK_GLASS}})
    )

    assert "breakGlass can't be changed after creation: create a new AgentTask" in said


@pytest.mark.parametrize("person", ["tenant", "stranger", "admin"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"breakGlass": None}, "breakGlass can't be changed after creation"),
        ({"breakGlass": {"justification": "Another reason altogether"}}, "breakGlass can't be changed"),
        (
            {"intent": {"purpose": "Refund everything"}},
            "the intent of a task with breakGlass can't be changed",
        ),
        ({"intent": {"actions": ["orders:list"]}}, "the intent of a task with breakGlass can't be changed"),
        ({"credential": {"renew": True}}, "credential can't be changed after creation"),
    ],
)
def test_nobody_changes_an_emergency(people: People, person: str, change: dict[str, Any], said: str) -> None:
    people.admin.create(emergency())

    assert said in refusal(lambda: people.named(person).patch("agenttask", "refund-4711", {"spec": change}))


def test_an_emergency_is_suspended_and_ended_by_anybody_who_may_change_tasks(people: People) -> None:
    people.admin.create(emergency())

    for state in ("Suspended", "Ended"):
        changed = people.stranger.patch("agenttask", "refund-4711", {"spec": {"state": state}})
        assert changed["spec"]["state"] == state


def test_an_emergency_is_a_quarter_of_an_hour_at_most(people: People) -> None:
    longest = emergency(credential={"renew": False, "ttlSeconds": 900})

    said = refusal(lambda: people.admin.create(emergency(credential={"renew": False, "ttlSeconds": 901})))

    assert (
        "spec.credential.ttlSeconds is 901, and this cluster allows a task with breakGlass at most 900; "
        "ask for less"
    ) in said
    assert people.admin.create(longest, "--dry-run=server")


@pytest.mark.usefixtures("five_minutes")
def test_the_installation_sets_how_long_an_emergency_is(people: People) -> None:
    said = refusal(lambda: people.admin.create(emergency(credential={"renew": False, "ttlSeconds": 301})))

    assert "allows a task with breakGlass at most 300; ask for less" in said
    assert people.admin.create(emergency(), "--dry-run=server")
    assert people.admin.create(task(credential={"ttlSeconds": 301}), "--dry-run=server")
