"""Who asked for a task and who changed its state is written by the API server, whatever was typed."""

import json
from typing import Any

import pytest

from devcluster.kubectl import Kubectl
from tests.cluster.people import GROUP, OPERATOR, STRANGER, TENANT, People, refusal, task

NAMES = {"tenant": TENANT, "stranger": STRANGER}
FORGED = {
    "requester": {"username": "root", "groups": ["system:masters"], "podUID": "f", "intentGeneration": 9},
    "stateChangedBy": {"username": "root"},
}
OTHER_INTENT = {"purpose": "Refund everything", "actions": ["refunds:create"]}


def requester(username: str, generation: int = 1, groups: tuple[str, ...] = (GROUP,)) -> dict[str, Any]:
    return {
        "username": username,
        "groups": sorted({*groups, "system:authenticated"}),
        "intentGeneration": generation,
    }


@pytest.mark.parametrize("forged", [{}, FORGED], ids=["plain", "forged"])
@pytest.mark.parametrize("person", list(NAMES))
def test_create_is_stamped_whole(people: People, person: str, forged: dict[str, Any]) -> None:
    created = people.named(person).create(task(**forged))

    assert created["spec"]["requester"] == requester(NAMES[person])
    assert created["spec"]["stateChangedBy"] == {"username": NAMES[person]}


def test_the_operator_too_is_stamped_as_itself(people: People) -> None:
    created = people.operator.create(task(**FORGED), "--dry-run=server")

    assert created["spec"]["requester"]["username"] == OPERATOR
    assert "root" not in json.dumps(created["spec"])
    assert "system:masters" not in json.dumps(created["spec"])


@pytest.mark.parametrize("part", list(FORGED["requester"]))
def test_no_single_forged_field_survives_beside_the_stamp(people: People, part: str) -> None:
    created = people.tenant.create(task(requester={part: FORGED["requester"][part]}))

    assert created["spec"]["requester"] == requester(TENANT)


def test_the_pod_whose_token_was_used_is_stamped(people: People, kubectl: Kubectl) -> None:
    extra = {"authentication.kubernetes.io/pod-uid": ["5b0c3a3e-3a33-4b4b-9c9c-000000000001"]}
    created = kubectl.as_user(TENANT, [GROUP], extra).create(task(requester=FORGED["requester"]))

    assert created["spec"]["requester"] == requester(TENANT) | {
        "podUID": "5b0c3a3e-3a33-4b4b-9c9c-000000000001"
    }
    assert "podUID" not in people.tenant.create(task("without"))["spec"]["requester"]


def test_more_groups_than_fit_are_cut_and_the_task_is_accepted(people: People, kubectl: Kubectl) -> None:
    groups = [GROUP, *(f"team-{number:03}" for number in range(100)), "x" * 300]
    created = kubectl.as_user(TENANT, groups).create(task())

    stamped = created["spec"]["requester"]["groups"]
    assert len(stamped) == 64
    assert stamped == sorted(g for g in {*groups, "system:authenticated"} if len(g) < 254)[:64]
    assert people.tenant.get("agenttask", "refund-4711")["spec"]["requester"]["groups"] == stamped


@pytest.mark.parametrize("way", ["patch", "json", "replace", "apply", "server-side apply"])
def test_whoever_changes_the_intent_becomes_the_requester(people: People, way: str) -> None:
    people.tenant.create(task())
    stranger = people.stranger
    changed = task(intent=OTHER_INTENT, **FORGED)

    match way:
        case "patch":
            stranger.patch("agenttask", "refund-4711", {"spec": {"intent": OTHER_INTENT, **FORGED}})
        case "json":
            operations = [{"op": "replace", "path": "/spec/intent", "value": OTHER_INTENT}]
            stranger.patch("agenttask", "refund-4711", operations, kind_of_patch="json")
        case "replace":
            stranger.replace(changed)
        case "apply":
            stranger.apply(changed)
        case _:
            stranger.apply(changed, "--server-side", "--force-conflicts")

    after = people.admin.get("agenttask", "refund-4711")
    assert after["spec"]["requester"] == requester(STRANGER, generation=2)
    assert after["spec"]["stateChangedBy"] == {"username": TENANT}
    assert after["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    "way", ["patch", "replace without it", "apply", "server-side apply", "remove", "null"]
)
def test_without_a_change_of_intent_the_requester_stays(people: People, way: str) -> None:
    before = people.tenant.create(task())["spec"]["requester"]
    stranger = people.stranger

    match way:
        case "patch":
            stranger.patch("agenttask", "refund-4711", {"spec": FORGED})
        case "replace without it":
            stranger.replace(task())
        case "apply":
            stranger.apply(task(**FORGED))
        case "server-side apply":
            stranger.apply(task(**FORGED), "--server-side", "--force-conflicts")
        case "remove":
            operations = [{"op": "remove", "path": "/spec/requester"}]
            stranger.patch("agenttask", "refund-4711", operations, kind_of_patch="json")
        case _:
            stranger.patch("agenttask", "refund-4711", {"spec": {"requester": None, "stateChangedBy": None}})

    after = people.admin.get("agenttask", "refund-4711")
    assert after["spec"]["requester"] == before
    assert after["spec"]["stateChangedBy"] == {"username": TENANT}
    assert after["metadata"]["generation"] == 1


def test_a_change_and_back_is_a_change_and_a_suspension_is_not(people: People) -> None:
    intent = people.tenant.create(task())["spec"]["intent"]

    people.tenant.patch("agenttask", "refund-4711", {"spec": {"intent": OTHER_INTENT}})
    back = people.tenant.patch("agenttask", "refund-4711", {"spec": {"intent": intent}})
    suspended = people.tenant.patch("agenttask", "refund-4711", {"spec": {"state": "Suspended"}})

    assert back["spec"]["requester"] == requester(TENANT, generation=3)
    assert suspended["spec"]["requester"] == requester(TENANT, generation=3)
    assert suspended["metadata"]["generation"] == 4


@pytest.mark.parametrize("change", [{"state": "Suspended"}, {"stateReason": "Looks odd"}, {"state": "Ended"}])
def test_whoever_changes_the_state_is_stamped_and_not_as_requester(
    people: People, change: dict[str, str]
) -> None:
    people.tenant.create(task())

    after = people.stranger.patch("agenttask", "refund-4711", {"spec": {**change, **FORGED}})

    assert after["spec"]["stateChangedBy"] == {"username": STRANGER}
    assert after["spec"]["requester"] == requester(TENANT)


@pytest.mark.parametrize("spec", [None, 5, "text", [], {}])
def test_a_task_without_a_right_spec_is_refused_by_its_schema(people: People, spec: object) -> None:
    broken = {key: value for key, value in task().items() if key != "spec"} | {"spec": spec}

    assert "spec" in refusal(lambda: people.tenant.create(broken, "--validate=false"))
    assert people.admin.list("agenttask") == []


def test_applying_twice_changes_nothing(people: People) -> None:
    for options in ((), ("--server-side",)):
        manifest = task(f"twice-{len(options)}")
        first = people.tenant.apply(manifest, *options)
        second = people.tenant.apply(manifest, *options)

        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
