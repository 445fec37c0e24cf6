"""Which of several causes is the end of a task, and what looks like an end and is none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import EndReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, FailedWrite, PodFacts, PodPhase, WorkloadState
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import (
    JOB,
    JOB_UID,
    NOW,
    after,
    agent,
    at,
    deleted,
    ended_by_carol,
    finished,
    job,
    observe,
    pod,
    running,
    task_spec,
    uid,
)

LABELLED = running(observe(pods=[pod()]))
OF_JOB = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
WAITING = after(observe())


def test_deletion_is_recorded_before_any_other_cause():
    facts = deleted(replace(ended_by_carol(LABELLED), agent=agent(disabled=True), pods=()))
    assert finished(at(facts, 4000))[1] == EndReason.DELETED


def test_wish_to_end_is_recorded_before_what_happens_to_the_pod():
    assert finished(replace(ended_by_carol(LABELLED), pods=()))[1] == EndReason.ENDED


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ((pod(1, leaving=True),), EndReason.POD_DELETED),
        ((pod(1, phase=PodPhase.SUCCEEDED, containers_ended=True),), EndReason.COMPLETED),
        ((pod(1, phase=PodPhase.FAILED, containers_ended=True),), EndReason.FAILED),
        ((), EndReason.POD_DELETED),
    ],
    ids=["leaving", "succeeded", "failed", "gone"],
)
@pytest.mark.parametrize("successors", [(pod(2),), (pod(2), pod(3))], ids=["one", "two"])
def test_first_pod_that_is_over_is_the_cause_whatever_pod_comes_after_it(
    first: tuple[PodFacts, ...], reason: EndReason, successors: tuple[PodFacts, ...]
):
    facts = replace(LABELLED, pods=(*first, *successors))
    status, why, message = finished(facts)
    assert (status, why) == ("True", reason)
    assert "refund-1" in message
    assert "refund-2" not in message
    assert decide(facts).secret is SecretAction.EMPTY


def test_second_pod_is_no_end_while_it_is_leaving():
    facts = replace(LABELLED, pods=(pod(1), pod(2, leaving=True)))
    assert finished(facts)[:2] == ("False", "Running")


@pytest.mark.parametrize("over", [{"phase": PodPhase.FAILED}, {"containers_ended": True}])
def test_second_pod_is_no_end_when_it_has_run_out(over: dict[str, object]):
    assert finished(replace(LABELLED, pods=(pod(1), pod(2, **over))))[:2] == ("False", "Running")


def test_pod_that_replaces_a_failed_one_of_a_job_is_no_second_pod():
    facts = replace(OF_JOB, pods=(pod(1, phase=PodPhase.FAILED), pod(2)))
    plan = decide(facts)
    assert plan.rule == "issue_to_the_next_pod"
    assert plan.issue is not None
    assert plan.issue.pod == pod(2)


def test_finished_pod_of_a_predecessor_ends_nothing():
    assert finished(replace(WAITING, pods=(pod(2, phase=PodPhase.SUCCEEDED),)))[:2] == (
        "False",
        "AwaitingPod",
    )


def test_job_that_was_complete_before_the_first_issue_completes_the_task():
    facts = job(after(observe(spec=task_spec(workload=JOB))), WorkloadState.SUCCEEDED, message="Complete")
    assert finished(facts)[1] == EndReason.COMPLETED


def test_task_that_was_deleted_before_it_was_ever_seen_ends_as_deleted():
    facts = deleted(observe())
    plan = decide(facts)
    assert finished(facts)[1] == EndReason.DELETED
    assert plan.secret is SecretAction.NONE


def test_end_does_not_wait_for_a_pause_after_a_failed_write():
    failed = FailedWrite("the API server did not answer", NOW + timedelta(seconds=30))
    plan = decide(replace(ended_by_carol(LABELLED), failed_write=failed))
    assert plan.secret is SecretAction.EMPTY


def test_end_works_while_issuance_is_blocked():
    assert finished(replace(ended_by_carol(LABELLED), blocked=Blocked("no CA")))[1] == EndReason.ENDED


def test_uid_that_was_seen_first_stays_in_the_status():
    over = after(job(OF_JOB, WorkloadState.SUCCEEDED, uid(77), "Complete"))
    assert over.task.status.workload_uid == JOB_UID
