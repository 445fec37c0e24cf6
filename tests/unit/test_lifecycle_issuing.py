"""When a credential is made, renewed and taken away, and what the status then says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EventAction, EventReason, IssueReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.errors import UnorderedCredentialError
from agentid.lifecycle.model import PodPhase
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.reporting import issued
from tests.unit.lifecycle_facts import (
    JOB,
    LIMITS,
    NOW,
    TASK_UID,
    after,
    asks,
    at,
    condition,
    made,
    observe,
    pod,
    report_of,
    running,
    said,
    task_spec,
)

RUNNING = running(observe(pods=[pod()]))
OF_JOB = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
ALONE = running(observe(spec=task_spec(workload=None)))


def test_first_credential_is_issued_when_the_pod_is_scheduled():
    facts = observe(pods=[pod(phase=PodPhase.PENDING)])
    plan = decide(facts)
    assert plan.rule == "issue_first_credential"
    assert (plan.report, plan.secret) == (None, SecretAction.FILL)
    order = plan.issue
    assert order is not None
    assert order.why is IssueReason.ISSUED
    assert order.generation == 1
    assert order.spiffe_id == f"spiffe://prod.example.com/ns/support/agent/refund-agent/task/{TASK_UID}"
    assert order.pod == facts.pods[0]
    assert order.ttl == timedelta(seconds=300)
    assert order.not_after_limit == NOW + timedelta(seconds=3600)


def test_one_status_write_and_one_event_tell_of_the_first_credential():
    facts = observe(spec=task_spec(workload=JOB), pods=[pod()])
    report = report_of(facts, decide(facts))
    done = after(facts)
    assert said(done, ConditionType.APPROVED) == (
        "True",
        "PolicyAllowed",
        "allowed by ClusterAgentPolicy/default",
    )
    assert said(done, ConditionType.BOUND) == ("True", "PodBound", "pod refund-1 on node-3")
    assert said(done, ConditionType.CREDENTIAL_ISSUED) == (
        "True",
        "Issued",
        "serial 0001, 1st of this task, until 2026-05-31T14:05:00Z",
    )
    assert said(done, ConditionType.FINISHED) == ("False", "Running", "ends by 2026-05-31T15:00:00Z")
    event = report.event
    assert event is not None
    assert (event.reason, event.action, event.warning) == (
        EventReason.CREDENTIAL_ISSUED,
        EventAction.ISSUE,
        False,
    )
    assert event.note == (
        "serial 0001 for pod refund-1 until 2026-05-31T14:05:00Z, asked by orchestrator for "
        "carol@example.com, allowed by ClusterAgentPolicy/default"
    )
    assert event.related_pod == report.status.bound_pod
    assert report.status.start_time == NOW
    assert report.status.deadline == NOW + timedelta(seconds=3600)


def test_nothing_is_written_while_nothing_changes():
    for facts in (RUNNING, OF_JOB, ALONE):
        plan = decide(at(facts, 100))
        assert plan.rule == "keep_running"
        assert plan.secret is SecretAction.NONE
        assert plan.report is not None
        assert (plan.report.status, plan.report.event) == (facts.task.status, None)


def test_task_without_workload_is_bound_to_no_pod():
    assert ALONE.task.status.bound_pod is None
    assert condition(ALONE.task.status, ConditionType.BOUND) is None


@pytest.mark.parametrize(
    ("asked", "ends"),
    [
        ({"activeDeadlineSeconds": 900}, 900),
        ({"activeDeadlineSeconds": 900, "credential": {"renew": False, "ttlSeconds": 60}}, 60),
        ({"activeDeadlineSeconds": 30, "credential": {"ttlSeconds": 30}}, 30),
    ],
)
def test_deadline_counts_from_the_first_issue(asked: dict[str, object], ends: int):
    facts = running(at(observe(spec=task_spec(**asked), pods=[pod()]), 17.4))
    assert facts.task.status.start_time == NOW + timedelta(seconds=17)
    assert facts.task.status.deadline == NOW + timedelta(seconds=17 + ends)
    assert all(each.not_after <= NOW + timedelta(seconds=17 + ends) for each in facts.task.status.credentials)


def test_installation_bounds_life_and_deadline():
    tight = replace(LIMITS, max_ttl=timedelta(seconds=40), max_active_deadline=timedelta(seconds=100))
    order = decide(replace(observe(pods=[pod()]), limits=tight)).issue
    assert order is not None
    assert (order.ttl, order.not_after_limit) == (timedelta(seconds=40), NOW + timedelta(seconds=100))


def test_state_alone_is_no_change_of_intent():
    assert decide(asks(RUNNING, stateReason="just so")).rule == "keep_running"


def test_change_without_consequence_moves_only_the_observed_generation():
    status = after(asks(RUNNING, stateReason="just so")).task.status
    assert status.observed_generation == 2
    assert {each.observed_generation for each in status.conditions} == {2}
    before = RUNNING.task.status.conditions
    assert [each.last_transition_time for each in status.conditions] == [
        each.last_transition_time for each in before
    ]


def test_report_on_a_credential_that_no_plan_ordered_is_refused():
    facts = observe(pods=[pod()])
    plan = decide(facts)
    credential = made(facts, plan)
    with pytest.raises(UnorderedCredentialError):
        issued(facts, decide(RUNNING), credential)
    with pytest.raises(UnorderedCredentialError):
        issued(facts, plan, credential.model_copy(update={"generation": 2}))
    late = credential.model_copy(update={"not_after": NOW + timedelta(seconds=3601)})
    with pytest.raises(UnorderedCredentialError):
        issued(facts, plan, late)
