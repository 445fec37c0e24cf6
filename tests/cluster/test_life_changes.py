"""What changes while a task runs: suspended and resumed, its intent changed; each time with a new key."""

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task


@pytest.fixture
def running(team: Kubectl) -> Object:
    """A task whose pod has the credential and runs."""
    team.create([task(**ANY_POD), pod()])
    found = story.runs(team)
    playing.start(team, POD)
    return found


def held(team: Kubectl) -> Object:
    """The Secret of the task."""
    return team.get("secret", f"agentid-{TASK}")


def is_anew(team: Kubectl, before: Object, secret_before: Object, reason: str) -> Object:
    """Wait until the task has a credential that shares nothing with an earlier one but the identity."""
    after = team.wait_for(
        "agenttask", TASK, lambda seen: story.conditions(seen)["CredentialIssued"]["reason"] == reason
    )
    story.runs(team)
    assert len(story.serials(after)) == 1
    assert set(story.serials(before)).isdisjoint(story.serials(after))
    assert story.public_key(held(team)) != story.public_key(secret_before)
    assert after["status"]["credentialGeneration"] == before["status"]["credentialGeneration"] + 1
    for same in ("spiffeID", "startTime", "deadline", "boundPod"):
        assert after["status"][same] == before["status"][same]
    return after


def test_suspended_task_has_no_credential_and_a_resumed_one_has_a_new_one(
    team: Kubectl, running: Object
) -> None:
    secret = held(team)

    team.patch("agenttask", TASK, {"spec": {"state": "Suspended", "stateReason": "odd calls"}})
    suspended = story.stands(team, "Suspended")
    emptied = story.secret_emptied(team)
    assert story.serials(suspended) == []
    assert story.conditions(suspended)["CredentialIssued"]["status"] == "False"
    assert story.conditions(suspended)["Finished"]["status"] == "False"
    assert emptied["metadata"]["uid"] == secret["metadata"]["uid"]
    team.patch("agenttask", TASK, {"spec": {"state": "Active", "stateReason": None}})

    resumed = is_anew(team, running, secret, "Resumed")
    assert held(team)["metadata"]["uid"] == secret["metadata"]["uid"], "a mount follows only the same Secret"
    told = story.told(team, resumed, at_least=3)
    assert [(each.reason, each.action) for each in told] == [
        ("CredentialIssued", "Issue"),
        ("Suspended", "Revoke"),
        ("Resumed", "Issue"),
    ]
    assert "odd calls" in told[1].note


def test_suspended_task_without_a_pod_loses_its_secret_at_once(team: Kubectl) -> None:
    team.create(task())
    before = story.runs(team)
    secret = held(team)

    team.patch("agenttask", TASK, {"spec": {"state": "Suspended"}})
    story.stands(team, "Suspended")
    story.secret_gone(team)
    team.patch("agenttask", TASK, {"spec": {"state": "Active"}})

    after = story.runs(team)
    assert set(story.serials(before)).isdisjoint(story.serials(after))
    assert story.public_key(held(team)) != story.public_key(secret)


def test_suspended_task_ends_like_any_other(team: Kubectl, running: Object) -> None:
    assert running
    team.patch("agenttask", TASK, {"spec": {"state": "Suspended"}})
    story.stands(team, "Suspended")

    playing.finish(team, POD)

    story.ends(team, "Completed")
    story.secret_gone(team)


def test_changed_intent_is_decided_anew_for_who_changed_it(team: Kubectl, running: Object) -> None:
    secret = held(team)
    orchestrator = team.as_user("orchestrator@example.com", ["system:masters", "orchestrators"])

    orchestrator.patch(
        "agenttask", TASK, {"spec": {"intent": {"purpose": "Refund it all", "actions": ["refunds:create"]}}}
    )

    changed = is_anew(team, running, secret, "IntentChanged")
    requester = changed["spec"]["requester"]
    assert requester["username"] == "orchestrator@example.com"
    assert requester["intentGeneration"] == changed["metadata"]["generation"]
    assert changed["status"]["specHash"] != running["status"]["specHash"]
    event = story.told(team, changed, at_least=2)[-1]
    assert event.reason == "CredentialIssued"
    assert "asked by orchestrator@example.com" in event.note
    assert f"serial {story.serials(running)[0]} revoked" in event.note


def test_intent_changed_and_changed_back_is_a_change(team: Kubectl, running: Object) -> None:
    intent = running["spec"]["intent"]

    team.patch("agenttask", TASK, {"spec": {"intent": {"purpose": "Something else"}}})
    team.patch("agenttask", TASK, {"spec": {"intent": {"purpose": intent["purpose"]}}})

    back = team.wait_for(
        "agenttask",
        TASK,
        lambda seen: (
            seen["status"]["observedGeneration"] == 3
            and story.conditions(seen)["CredentialIssued"]["reason"] == "IntentChanged"
        ),
    )
    assert back["spec"]["intent"] == intent
    assert back["status"]["specHash"] != running["status"]["specHash"]
    assert set(story.serials(running)).isdisjoint(story.serials(back))


def test_changed_intent_beyond_the_ceiling_ends_the_running_task(team: Kubectl, running: Object) -> None:
    assert running
    team.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["orders:delete"]}}})

    ended = story.ends(team, "Revoked")
    story.secret_emptied(team)
    assert "asks for orders:delete" in story.conditions(ended)["Finished"]["message"]


def test_suspension_and_a_new_label_are_no_change_of_intent(team: Kubectl, running: Object) -> None:
    team.patch("agenttask", TASK, {"metadata": {"labels": {"team": "payments"}}})

    settled = story.settled(team)
    assert settled["status"] == running["status"]
    team.patch("agenttask", TASK, {"spec": {"state": "Suspended"}})
    suspended = story.stands(team, "Suspended")
    assert suspended["status"]["specHash"] == running["status"]["specHash"]
