"""When a credential is taken away while its task goes on: suspension, another intent, another pod."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EventAction, EventReason, IssueReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, Observation, PodPhase
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import (
    ALLOW,
    JOB,
    NOW,
    after,
    asks,
    at,
    finished,
    generations,
    observe,
    pod,
    report_of,
    running,
    said,
    task_spec,
    why,
)

RUNNING = running(observe(pods=[pod()]))
OF_JOB = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
ALLOWED = running(observe(spec=task_spec(workload=ALLOW), pods=[pod()]))
NO_ADMISSION = Blocked("Admission is not in force.")


def test_suspension_takes_the_credential_and_resuming_makes_another():
    suspended = asks(RUNNING, state="Suspended", stateChangedBy={"username": "sec"})
    plan = decide(suspended)
    assert plan.secret is SecretAction.EMPTY
    event = report_of(suspended, plan).event
    assert event is not None
    assert (event.reason, event.warning, event.action) == (EventReason.SUSPENDED, False, EventAction.REVOKE)
    assert event.note == "serial 0001 revoked: spec.state was set to Suspended by sec"
    held = after(suspended)
    assert generations(held) == []
    assert held.task.status.bound_pod == RUNNING.task.status.bound_pod
    assert held.task.status.deadline == RUNNING.task.status.deadline
    assert said(held, ConditionType.FINISHED)[1] == "Suspended"
    resumed = asks(replace(held, pods=(pod(all_run=True),)), state="Active")
    assert why(resumed) is IssueReason.RESUMED
    done = after(resumed)
    assert generations(done) == [2]
    told = report_of(resumed, decide(resumed)).event
    assert told is not None
    assert told.reason is EventReason.RESUMED


def test_deadline_runs_on_while_suspended():
    held = after(asks(RUNNING, state="Suspended"))
    assert finished(at(held, 3600))[1] == "Expired"


def test_empty_secret_stays_for_a_suspended_task_as_long_as_its_pod_lives():
    held = after(asks(RUNNING, state="Suspended"))
    assert decide(at(held, 3000)).secret is SecretAction.NONE
    assert decide(at(after(asks(OF_JOB, state="Suspended")), 60, pods=())).secret is SecretAction.DELETE


def test_change_of_intent_revokes_and_issues_anew_in_one_pass():
    changed = asks(RUNNING, intent={"purpose": "Refund order 4711", "actions": ["orders:read"]})
    assert why(changed) is IssueReason.INTENT_CHANGED
    done = after(changed)
    assert generations(done) == [2]
    assert done.task.status.spec_hash != RUNNING.task.status.spec_hash
    assert done.task.status.deadline == RUNNING.task.status.deadline
    event = report_of(changed, decide(changed)).event
    assert event is not None
    assert event.note.endswith("since the intent changed; serial 0001 revoked")


def test_change_of_intent_and_back_is_a_change():
    same = asks(RUNNING, requester={"username": "orchestrator", "intentGeneration": 3})
    assert why(same) is IssueReason.INTENT_CHANGED


def test_changed_intent_loses_its_credential_even_while_issuance_is_blocked():
    changed = asks(RUNNING, intent={"purpose": "p", "actions": ["orders:read"]})
    held = after(replace(changed, blocked=NO_ADMISSION))
    assert generations(held) == []
    assert said(held, ConditionType.CREDENTIAL_ISSUED)[2] == "serial 0001 revoked: spec.intent changed"
    assert why(replace(held, blocked=None)) is IssueReason.INTENT_CHANGED


@pytest.mark.parametrize("facts", [OF_JOB, ALLOWED], ids=["ref", "Allow"])
def test_next_pod_gets_its_own_credential(facts: Observation):
    gone = after(replace(facts, pods=()))
    assert generations(gone) == []
    assert gone.task.status.bound_pod is None
    assert said(gone, ConditionType.CREDENTIAL_ISSUED)[2] == "serial 0001 revoked: pod refund-1 is gone"
    assert said(gone, ConditionType.BOUND)[:2] == ("False", "AwaitingPod")
    following = replace(gone, pods=(pod(2),))
    assert why(following) is IssueReason.POD_REPLACED
    done = after(following)
    assert generations(done) == [2]
    assert done.task.status.bound_pod is not None
    assert done.task.status.bound_pod.name == "refund-2"


@pytest.mark.parametrize("facts", [OF_JOB, ALLOWED], ids=["ref", "Allow"])
def test_leaving_pod_loses_its_credential_at_once_and_its_successor_waits(facts: Observation):
    leaving = pod(1, leaving=True, gone_by=NOW + timedelta(seconds=30))
    drained = replace(facts, pods=(leaving, pod(2)))
    plan = decide(drained)
    assert plan.secret is SecretAction.EMPTY
    assert plan.issue is None
    event = report_of(drained, plan).event
    assert event is not None
    assert event.reason is EventReason.CREDENTIAL_REVOKED
    held = after(drained)
    assert generations(held) == []
    ended = replace(held, pods=(replace(leaving, containers_ended=True), pod(2)))
    assert why(ended) is IssueReason.POD_REPLACED
    assert why(at(held, 30)) is IssueReason.POD_REPLACED


def test_finished_pod_of_a_job_loses_its_credential_and_the_job_tells_of_it():
    done = replace(OF_JOB, pods=(pod(phase=PodPhase.SUCCEEDED, containers_ended=True),))
    plan = decide(done)
    assert (plan.rule, plan.secret) == ("hold_while_pod_is_awaited", SecretAction.DELETE)
    report = report_of(done, plan)
    assert report.event is None
    assert generations(after(done)) == []


def test_finished_pod_of_a_task_that_allows_replacement_is_told():
    done = replace(ALLOWED, pods=(pod(phase=PodPhase.SUCCEEDED, containers_ended=True),))
    event = report_of(done, decide(done)).event
    assert event is not None
    assert event.note == (
        "serial 0001 revoked: pod refund-1 succeeded; "
        "waits for a pod with the label agentid.dev/task: refund-4711"
    )
