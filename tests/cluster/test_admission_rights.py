"""Acting for somebody else and taking back a suspension are rights that are asked for in admission."""

from collections.abc import Callable
from typing import Any

import pytest

from devcluster.kubectl import Kubectl
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.people import OPERATOR, STRANGER, TENANT, People, refusal, task

CAROL = "carol@example.com"
OTHER_INTENT = {"purpose": "Refund everything", "actions": ["refunds:create"]}
PERSONS = {"tenant": TENANT, "stranger": STRANGER, "operator": OPERATOR}


def delegate_for(name: str) -> dict[str, Any]:
    return {
        "apiGroups": ["agentid.dev"],
        "resources": ["delegators"],
        "resourceNames": [name],
        "verbs": ["delegate"],
    }


def may_not_act(user: str) -> str:
    """What somebody is told who acts for Carol without the right."""
    return (
        f"{user} may not act on behalf of {CAROL}; that takes the verb "
        f'"delegate" on delegators.agentid.dev/{CAROL}'
    )


@pytest.mark.parametrize("person", PERSONS)
def test_nobody_acts_for_somebody_else_without_the_right(people: People, person: str) -> None:
    said = refusal(
        lambda: people.named(person).create(task(onBehalfOf=CAROL), "--dry-run=server"),
    )

    assert may_not_act(PERSONS[person]) in said
    assert "(Forbidden)" in said


def test_everybody_acts_for_themselves(people: People) -> None:
    created = people.tenant.create(task(onBehalfOf=TENANT))

    assert created["spec"]["onBehalfOf"] == TENANT


def test_the_right_counts_for_that_delegator_and_that_namespace_only(
    people: People, people_of: Callable[[str], People], kubectl: Kubectl, admin: Kubectl
) -> None:
    give(kubectl, TENANT, delegate_for(CAROL))
    elsewhere = f"{kubectl.namespace}-b"
    admin.create({"kind": "Namespace", "metadata": {"name": elsewhere}})
    tenant_elsewhere = people_of(elsewhere).tenant

    accepted(lambda: people.tenant.create(task(onBehalfOf=CAROL), "--dry-run=server"))
    assert people.tenant.create(task(onBehalfOf=CAROL))["spec"]["onBehalfOf"] == CAROL
    assert "dave@example.com" in refusal(
        lambda: people.tenant.create(task("other", onBehalfOf="dave@example.com"))
    )
    assert may_not_act(TENANT) in refusal(lambda: tenant_elsewhere.create(task(onBehalfOf=CAROL)))
    admin.delete("namespace", elsewhere, "--wait=false")


def test_the_shipped_role_gives_it(people: People, kubectl: Kubectl) -> None:
    kubectl("create", "rolebinding", "delegates", "--clusterrole=agentid-delegate", f"--user={TENANT}")

    created = accepted(lambda: people.tenant.create(task(onBehalfOf=CAROL), "--dry-run=server"))

    assert created["spec"]["onBehalfOf"] == CAROL
    assert may_not_act(STRANGER) in refusal(lambda: people.stranger.create(task(onBehalfOf=CAROL)))


def test_whoever_changes_the_intent_needs_the_right_too(people: People, kubectl: Kubectl) -> None:
    give(kubectl, TENANT, delegate_for(CAROL))
    accepted(lambda: people.tenant.create(task(onBehalfOf=CAROL), "--dry-run=server"))
    people.tenant.create(task(onBehalfOf=CAROL))
    change = {"spec": {"intent": OTHER_INTENT}}

    said = refusal(lambda: people.stranger.patch("agenttask", "refund-4711", change))

    assert may_not_act(STRANGER) in said
    assert people.admin.get("agenttask", "refund-4711")["spec"]["intent"]["purpose"] == "Refund order 4711"
    people.stranger.patch("agenttask", "refund-4711", {"spec": {"state": "Suspended"}})
    changed = people.tenant.patch("agenttask", "refund-4711", change)
    assert changed["spec"]["intent"]["purpose"] == OTHER_INTENT["purpose"]


def test_a_task_for_oneself_is_not_taken_over_by_another(people: People) -> None:
    people.tenant.create(task(onBehalfOf=TENANT))

    said = refusal(
        lambda: people.stranger.patch("agenttask", "refund-4711", {"spec": {"intent": OTHER_INTENT}})
    )

    assert f"{STRANGER} may not act on behalf of {TENANT}" in said
    assert people.admin.get("agenttask", "refund-4711")["spec"]["intent"]["actions"] == ["orders:read"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"state": "Active"}, "take that back"),
        ({"stateReason": "All is well"}, "change its spec.stateReason"),
        ({"stateReason": None}, "change its spec.stateReason"),
    ],
)
def test_anothers_suspension_is_not_undone(people: People, change: dict[str, str | None], what: str) -> None:
    people.tenant.create(task())
    people.stranger.patch("agenttask", "refund-4711", {"spec": {"state": "Suspended", "stateReason": "Odd"}})

    said = refusal(lambda: people.tenant.patch("agenttask", "refund-4711", {"spec": change}))

    assert f"was suspended by {STRANGER}, and {TENANT} may not {what};" in said
    after = people.admin.get("agenttask", "refund-4711")["spec"]
    assert (after["state"], after["stateReason"], after["stateChangedBy"]["username"]) == (
        "Suspended",
        "Odd",
        STRANGER,
    )


def test_the_operator_may_not_undo_a_suspension(people: People) -> None:
    people.tenant.create(task(state="Suspended"))

    said = refusal(lambda: people.operator.patch("agenttask", "refund-4711", {"spec": {"state": "Active"}}))

    # Two policies refuse it, and the API server tells of whichever it comes to first.
    assert "operator-tasks.agentid.dev" in said or "task-resume.agentid.dev" in said
    assert people.admin.get("agenttask", "refund-4711")["spec"]["state"] == "Suspended"


def test_ones_own_suspension_is_undone(people: People) -> None:
    people.tenant.create(task(state="Suspended"))

    after = people.tenant.patch("agenttask", "refund-4711", {"spec": {"state": "Active"}})

    assert after["spec"]["state"] == "Active"


def test_a_suspended_task_may_be_ended_by_anybody_who_may_change_it(people: People) -> None:
    people.tenant.create(task(state="Suspended"))

    after = people.stranger.patch("agenttask", "refund-4711", {"spec": {"state": "Ended"}})

    assert after["spec"]["stateChangedBy"] == {"username": STRANGER}


def test_the_verb_resume_takes_back_anothers_suspension(people: People, kubectl: Kubectl) -> None:
    give(
        kubectl,
        STRANGER,
        on_tasks("resume"),
    )
    people.tenant.create(task(state="Suspended"))

    resumed = accepted(
        lambda: people.stranger.patch("agenttask", "refund-4711", {"spec": {"state": "Active"}})
    )

    assert (resumed["spec"]["state"], resumed["spec"]["stateChangedBy"]) == (
        "Active",
        {"username": STRANGER},
    )
