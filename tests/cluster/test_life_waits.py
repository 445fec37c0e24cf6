"""What a task waits for before it has a credential: said once, with a remedy, and left when it is mended."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.objects import (
    AGENT,
    ANY_POD,
    POD,
    TASK,
    agent,
    job,
    pod,
    service_account,
    task,
    task_of_job,
)

BEYOND: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "actions": (
        {"intent": {"purpose": "p", "actions": ["orders:read", "refunds:approve"]}},
        {"actions": ["orders:read", "refunds:*"]},
        "asks for refunds:approve, which Agent refund-agent does not list",
    ),
    "grantable": (
        {"intent": {"purpose": "p", "actions": ["orders:read"], "grantable": ["mail:send"]}},
        {"actions": ["orders:read", "mail:send"]},
        "intent.grantable asks for mail:send",
    ),
    "sensitivity": (
        {"intent": {"purpose": "p", "actions": ["orders:read"], "sensitivity": "Restricted"}},
        {"maxSensitivity": "Restricted"},
        "intent.sensitivity is Restricted, but Agent refund-agent allows at most Internal",
    ),
    "deadline": (
        {"activeDeadlineSeconds": 7200},
        {"maxActiveDeadlineSeconds": 7200},
        "activeDeadlineSeconds is 7200, but Agent refund-agent allows at most 3600",
    ),
    "service account": (
        {"workload": {"serviceAccountName": "other"}},
        {"serviceAccounts": ["other"]},
        "workload.serviceAccountName is other",
    ),
}


def message(waiting: Object) -> str:
    return str(story.conditions(waiting)["Finished"]["message"])


def nothing_issued(team: Kubectl, waiting: Object, *, stalled: bool) -> None:
    """See that a task has no credential, and whether it says that a person has to mend something."""
    assert story.serials(waiting) == []
    assert "credentialGeneration" not in waiting["status"]
    assert ("Stalled" in story.conditions(waiting)) is stalled
    assert team.find("secret", f"agentid-{waiting['metadata']['name']}") is None


def test_task_waits_for_its_agent(team: Kubectl) -> None:
    orphan = task()
    orphan["spec"]["agentRef"] = {"name": "later"}
    team.create(orphan)

    waiting = story.stands(team, "AwaitingAgent")
    nothing_issued(team, waiting, stalled=False)
    assert f"Agent {team.namespace}/later does not exist" in message(waiting)
    team.create(agent("later"))
    story.runs(team)
    told = story.told(team, waiting, at_least=2)
    assert [(each.reason, each.action) for each in told] == [
        ("AwaitingAgent", "Wait"),
        ("CredentialIssued", "Issue"),
    ]


def test_task_of_an_agent_past_its_review_waits_until_it_was_reviewed(team: Kubectl) -> None:
    past, ahead = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 30))
    team.patch("agent", AGENT, {"spec": {"reviewBy": f"{past:%Y-%m-%dT%H:%M:%SZ}"}})
    team.create(task())

    waiting = story.stands(team, "AwaitingAgent")
    nothing_issued(team, waiting, stalled=True)
    assert "was to be reviewed by" in message(waiting)
    team.patch("agent", AGENT, {"spec": {"reviewBy": f"{ahead:%Y-%m-%dT%H:%M:%SZ}"}})
    assert "Stalled" not in story.conditions(story.runs(team))


@pytest.mark.parametrize("what", BEYOND)
def test_task_that_asks_for_more_than_its_agent_allows_waits(team: Kubectl, what: str) -> None:
    asks, mended, says = BEYOND[what]
    team.create(task(**asks))

    waiting = story.stands(team, "CeilingExceeded")
    nothing_issued(team, waiting, stalled=True)
    assert says in message(waiting)
    event = story.told(team, waiting)[0]
    assert (event.reason, event.action, event.kind) == ("CeilingExceeded", "Wait", "Warning")
    team.patch("agent", AGENT, {"spec": mended})
    if what == "service account":
        story.stands(team, "AwaitingPod")
    else:
        story.runs(team)


def test_task_that_asks_for_less_after_all_is_issued(team: Kubectl) -> None:
    team.create(task(intent={"purpose": "p", "actions": ["mail:send"]}))
    story.stands(team, "CeilingExceeded")

    team.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["orders:read"]}}})

    assert "Stalled" not in story.conditions(story.runs(team))


def test_task_waits_for_its_workload(team: Kubectl) -> None:
    team.create(task_of_job())

    waiting = story.stands(team, "AwaitingWorkload")
    nothing_issued(team, waiting, stalled=False)
    assert f"waits for Job {TASK}" in message(waiting)
    team.create(job())
    story.runs(team)


def test_kind_that_the_installation_does_not_allow_waits_and_says_so(team: Kubectl) -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": TASK}
    team.create(task(workload={"ref": ref}))

    waiting = story.stands(team, "WorkloadKindNotAllowed")
    nothing_issued(team, waiting, stalled=True)
    assert "names kind Deployment of apps/v1" in message(waiting)
    assert story.told(team, waiting)[0].reason == "WorkloadKindNotAllowed"


def test_task_that_names_itself_as_its_workload_waits_and_says_so(team: Kubectl) -> None:
    itself = {"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentTask", "name": TASK}
    team.create(task(workload={"ref": itself}))

    waiting = story.stands(team, "WorkloadKindNotAllowed")
    nothing_issued(team, waiting, stalled=True)
    assert "names kind AgentTask of agentid.dev/v1alpha1" in message(waiting)


def test_task_waits_for_its_pod_without_an_event(team: Kubectl) -> None:
    team.create(task(**ANY_POD))

    waiting = story.stands(team, "AwaitingPod")
    nothing_issued(team, waiting, stalled=False)
    assert f"waits for a pod with the label agentid.dev/task: {TASK}" in message(waiting)
    team.create(pod())
    running = story.runs(team)
    assert [each.reason for each in story.told(team, running)] == ["CredentialIssued"]


def test_pod_of_another_service_account_gets_nothing(team: Kubectl) -> None:
    team.create([service_account("other"), task(**ANY_POD), pod(account="other")])

    waiting = story.stands(team, "PodMismatch")
    nothing_issued(team, waiting, stalled=True)
    assert "runs as service account other, which Agent refund-agent does not list" in message(waiting)
    event = story.told(team, waiting)[0]
    assert (event.reason, event.action, event.kind) == ("PodMismatch", "Wait", "Warning")
    playing.remove(team, POD)
    team.create(pod("right"))
    story.runs(team)


def test_pod_of_a_listed_service_account_that_the_task_did_not_name_gets_nothing(team: Kubectl) -> None:
    team.patch("agent", AGENT, {"spec": {"serviceAccounts": ["refund-agent", "other"]}})
    team.create([service_account("other"), task(workload={"serviceAccountName": "other"}), pod()])

    waiting = story.stands(team, "PodMismatch")
    nothing_issued(team, waiting, stalled=True)
    assert "spec.workload.serviceAccountName is other" in message(waiting)


def test_ownerless_pod_that_claims_a_jobs_task_gets_nothing(team: Kubectl) -> None:
    team.create([task_of_job(), job(suspend=True)])
    story.stands(team, "AwaitingPod")

    team.create(pod("ownerless"))

    waiting = story.stands(team, "PodMismatch")
    nothing_issued(team, waiting, stalled=True)
    assert f"does not belong to Job {TASK}" in message(waiting)


def test_pod_with_a_forged_owner_gets_nothing(team: Kubectl) -> None:
    team.create([task_of_job(), job(suspend=True)])
    story.stands(team, "AwaitingPod")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": TASK, "controller": True}

    forged = pod("forged")
    forged["metadata"]["ownerReferences"] = [{**owner, "uid": "00000000-0000-4000-8000-000000000000"}]
    team.create(forged)

    # The garbage collector soon asks for its end; until then it is a pod that does not belong.
    settled = story.settled(team)
    assert story.standing(settled) in {"PodMismatch", "AwaitingPod"}
    nothing_issued(team, settled, stalled=story.standing(settled) == "PodMismatch")
    assert "boundPod" not in settled["status"]


def test_pod_that_claims_a_task_without_a_workload_before_its_first_credential_blocks_it(
    team: Kubectl,
) -> None:
    team.create(pod())
    playing.scheduled(team, POD)
    team.create(task())

    waiting = story.stands(team, "PodMismatch")
    nothing_issued(team, waiting, stalled=True)
    assert POD in message(waiting)
    playing.remove(team, POD)
    assert "boundPod" not in story.runs(team)["status"]


def test_task_created_suspended_waits_until_it_is_active(team: Kubectl) -> None:
    team.create(task(state="Suspended", stateReason="not before Monday"))

    waiting = story.stands(team, "Suspended")
    nothing_issued(team, waiting, stalled=False)
    assert "set to Suspended by agentid-admin: not before Monday" in message(waiting)
    team.patch("agenttask", TASK, {"spec": {"state": "Active", "stateReason": None}})
    story.runs(team)


def test_waiting_again_and_again_writes_nothing_more(team: Kubectl) -> None:
    team.create(task(**ANY_POD))
    waiting = story.stands(team, "AwaitingPod")

    team.patch("agent", AGENT, {"metadata": {"labels": {"touched": "yes"}}})
    team.patch("agenttask", TASK, {"metadata": {"labels": {"touched": "yes"}}})

    settled = story.settled(team)
    assert settled["status"] == waiting["status"]
