"""Every end of a task: its reason, its message, and that it is final."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import AgentFacts, Observation, PodEnd, PodPhase, WorkloadState
from tests.unit.lifecycle_facts import (
    JOB,
    NOW,
    after,
    agent,
    asks,
    at,
    condition,
    deleted,
    ended_by_carol,
    finished,
    job,
    observe,
    pod,
    report_of,
    running,
    task_spec,
    uid,
)

LABELLED = running(observe(pods=[pod()]))
OF_JOB = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
ALONE = running(observe(spec=task_spec(workload=None)))
WAITING = after(observe())


def unreadable(o: Observation) -> Observation:
    return replace(o, task=replace(o.task, spec=None, invalid="spec.frobnicate is not known"))


def with_pod(o: Observation, **changes: object) -> Observation:
    return replace(o, pods=(pod(**changes),))


ENDS: list[tuple[str, Observation, EndReason, str, EventReason, bool]] = [
    (
        "deleted",
        deleted(LABELLED),
        EndReason.DELETED,
        "the AgentTask was deleted",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "deleted while it waits",
        deleted(WAITING),
        EndReason.DELETED,
        "the AgentTask was deleted",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "state Ended",
        ended_by_carol(LABELLED),
        EndReason.ENDED,
        "spec.state was set to Ended by carol: customer cancelled",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "deadline",
        at(LABELLED, 3600),
        EndReason.EXPIRED,
        "the task's deadline (spec.activeDeadlineSeconds) passed at 2026-05-31T15:00:00Z",
        EventReason.TASK_EXPIRED,
        False,
    ),
    (
        "a TTL that is not renewed",
        at(running(observe(spec=task_spec(credential={"renew": False}), pods=[pod()])), 300),
        EndReason.EXPIRED,
        "the task was to end with its credential (spec.credential.renew is false) at 2026-05-31T14:05:00Z",
        EventReason.TASK_EXPIRED,
        False,
    ),
    (
        "start deadline",
        at(WAITING, 600),
        EndReason.START_DEADLINE_EXCEEDED,
        (
            "no credential could be issued within 600 s (spec.startDeadlineSeconds); "
            "it last waited with reason AwaitingPod"
        ),
        EventReason.START_DEADLINE_EXCEEDED,
        True,
    ),
    (
        "Agent switched off",
        replace(LABELLED, agent=agent(disabled=True)),
        EndReason.REVOKED,
        "Agent support/refund-agent is switched off (spec.disabled)",
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "Agent switched off while it waits",
        replace(WAITING, agent=agent(disabled=True)),
        EndReason.DENIED,
        "Agent support/refund-agent is switched off (spec.disabled)",
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "Agent gone",
        replace(LABELLED, agent=None),
        EndReason.REVOKED,
        (
            "Agent support/refund-agent does not exist. Have the platform team create it, or correct "
            "spec.agentRef."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "Agent being deleted",
        replace(LABELLED, agent=replace(agent(), deleting=True)),
        EndReason.REVOKED,
        "Agent support/refund-agent is being deleted.",
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "Agent unreadable",
        replace(LABELLED, agent=AgentFacts(uid=uid(900), deleting=False, spec=None)),
        EndReason.REVOKED,
        (
            "Agent support/refund-agent cannot be read by this version of agentid. "
            "Have the platform team correct it."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "review overdue",
        at(LABELLED, 60, agent=agent(reviewBy="2026-05-31T14:01:00Z")),
        EndReason.REVOKED,
        (
            "Agent support/refund-agent was to be reviewed by 2026-05-31T14:01:00Z. "
            "Have its owner payments-team@example.com review it and set spec.reviewBy anew."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "ceiling lowered",
        replace(LABELLED, agent=agent(actions=["orders:read"])),
        EndReason.REVOKED,
        (
            "AgentTask support/refund-4711: intent.actions asks for refunds:create, which Agent refund-agent "
            "does not list (it lists orders:read). Ask for less, or have the owner "
            "payments-team@example.com add it."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "intent raised over the ceiling",
        asks(LABELLED, intent={"purpose": "More", "actions": ["refunds:approve"]}),
        EndReason.REVOKED,
        (
            "AgentTask support/refund-4711: intent.actions asks for refunds:approve, which Agent "
            "refund-agent does not list (it lists orders:read, refunds:create). Ask for less, or have the "
            "owner payments-team@example.com add it."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "service account no longer listed",
        replace(
            running(observe(spec=task_spec(workload={}), pods=[pod()])),
            agent=agent(serviceAccounts=["other"]),
        ),
        EndReason.REVOKED,
        (
            "AgentTask support/refund-4711: its pod refund-1 runs as service account refund-agent, but Agent "
            "refund-agent lists other. Use one that is listed, or have the owner payments-team@example.com "
            "add it to spec.serviceAccounts."
        ),
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "unreadable",
        unreadable(LABELLED),
        EndReason.REVOKED,
        "the AgentTask can no longer be read: spec.frobnicate is not known",
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "kind no longer allowed",
        job(OF_JOB, WorkloadState.KIND_NOT_ALLOWED, None),
        EndReason.REVOKED,
        "kind Job of batch/v1 is no longer among the kinds that spec.workload.ref may name",
        EventReason.TASK_REVOKED,
        True,
    ),
    (
        "Job complete",
        job(OF_JOB, WorkloadState.SUCCEEDED, message="Complete"),
        EndReason.COMPLETED,
        "Job refund reported Complete",
        EventReason.TASK_COMPLETED,
        False,
    ),
    (
        "Job failed",
        job(OF_JOB, WorkloadState.FAILED, message="Failed: BackoffLimitExceeded"),
        EndReason.FAILED,
        "Job refund reported Failed: BackoffLimitExceeded",
        EventReason.TASK_FAILED,
        True,
    ),
    (
        "Job gone",
        job(OF_JOB, WorkloadState.NOT_FOUND, None),
        EndReason.WORKLOAD_DELETED,
        "Job refund is gone",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "Job replaced under the same name",
        job(OF_JOB, WorkloadState.LIVE, uid(77)),
        EndReason.WORKLOAD_DELETED,
        "Job refund is gone; another one has taken its name",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "completion reported by another Job of the same name",
        job(OF_JOB, WorkloadState.SUCCEEDED, uid(77), "Complete"),
        EndReason.WORKLOAD_DELETED,
        "Job refund is gone; another one has taken its name",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "second pod",
        replace(LABELLED, pods=(pod(1), pod(2))),
        EndReason.SECOND_POD,
        (
            "pod refund-2 claims the task (label agentid.dev/task) while pod refund-1 holds it; a task is "
            "worked on by one pod at a time, since two must not share a key"
        ),
        EventReason.SECOND_POD,
        True,
    ),
    (
        "second pod that does not suit",
        replace(LABELLED, pods=(pod(1), pod(2, service_account="mallory", node=None))),
        EndReason.SECOND_POD,
        (
            "pod refund-2 claims the task (label agentid.dev/task) while pod refund-1 holds it; a task is "
            "worked on by one pod at a time, since two must not share a key"
        ),
        EventReason.SECOND_POD,
        True,
    ),
    (
        "two pods before the first issue",
        replace(WAITING, pods=(pod(2), pod(1))),
        EndReason.SECOND_POD,
        (
            "pods refund-1 and refund-2 both claim the task; a task is worked on by one pod at a time, since "
            "two must not share a key"
        ),
        EventReason.SECOND_POD,
        True,
    ),
    (
        "pod claims a task that names no workload",
        replace(ALONE, pods=(pod(),)),
        EndReason.SECOND_POD,
        (
            "pod refund-1 claims the task (label agentid.dev/task), but the task names no workload and its "
            "credential is held elsewhere"
        ),
        EventReason.SECOND_POD,
        True,
    ),
    (
        "image or containers changed",
        with_pod(LABELLED, fingerprint="f2"),
        EndReason.POD_CHANGED,
        (
            "the containers, images or controlling owner of pod refund-1 are no longer those that the "
            "credential was issued for"
        ),
        EventReason.POD_CHANGED,
        True,
    ),
    (
        "label lost",
        with_pod(LABELLED, labelled=False),
        EndReason.POD_CHANGED,
        "pod refund-1 lost its label agentid.dev/task",
        EventReason.POD_CHANGED,
        True,
    ),
    (
        "pod succeeded",
        with_pod(LABELLED, phase=PodPhase.SUCCEEDED, containers_ended=True),
        EndReason.COMPLETED,
        "pod refund-1 succeeded",
        EventReason.TASK_COMPLETED,
        False,
    ),
    (
        "pod failed",
        with_pod(LABELLED, phase=PodPhase.FAILED, containers_ended=True),
        EndReason.FAILED,
        "pod refund-1 failed",
        EventReason.TASK_FAILED,
        True,
    ),
    (
        "pod evicted",
        with_pod(LABELLED, phase=PodPhase.FAILED, end=PodEnd.EVICTED),
        EndReason.POD_EVICTED,
        "pod refund-1 was evicted",
        EventReason.TASK_FAILED,
        True,
    ),
    (
        "pod drained",
        with_pod(LABELLED, leaving=True, end=PodEnd.EVICTED, gone_by=NOW + timedelta(seconds=30)),
        EndReason.POD_EVICTED,
        "pod refund-1 was evicted",
        EventReason.TASK_FAILED,
        True,
    ),
    (
        "node lost",
        with_pod(LABELLED, leaving=True, end=PodEnd.NODE_LOST),
        EndReason.NODE_LOST,
        "the node of pod refund-1 is lost",
        EventReason.TASK_FAILED,
        True,
    ),
    (
        "pod being deleted",
        with_pod(LABELLED, leaving=True),
        EndReason.POD_DELETED,
        "pod refund-1 is being deleted",
        EventReason.TASK_ENDED,
        False,
    ),
    (
        "pod gone",
        replace(LABELLED, pods=()),
        EndReason.POD_DELETED,
        "pod refund-1 is gone",
        EventReason.TASK_ENDED,
        False,
    ),
]


@pytest.mark.parametrize(
    ("facts", "reason", "message", "event", "warning"),
    [case[1:] for case in ENDS],
    ids=[case[0] for case in ENDS],
)
def test_task_ends_with_its_own_reason_and_one_event(
    facts: Observation,
    reason: EndReason,
    message: str,
    event: EventReason,
    warning: bool,  # noqa: FBT001 - a column of the table
):
    assert finished(facts) == ("True", reason, message)
    plan = decide(facts)
    assert plan.report is not None
    status, told = plan.report.status, plan.report.event
    assert status.credentials == []
    assert status.end_time == facts.now
    assert told is not None
    assert (told.reason, told.action, told.warning) == (event, EventAction.END, warning)
    serial = [f"; serial {each.serial} revoked" for each in facts.task.status.credentials]
    assert told.note == message + "".join(serial)
    if reason is not EndReason.SECOND_POD:
        assert told.related_pod == facts.task.status.bound_pod


def test_every_end_reason_is_reached_by_a_test():
    # What ends with its parent is in test_lifecycle_authority.py.
    assert {case[3 - 1] for case in ENDS} == set(EndReason) - {EndReason.PARENT_ENDED}


@pytest.mark.parametrize("facts", [case[1] for case in ENDS], ids=[case[0] for case in ENDS])
def test_first_cause_stays_whatever_comes_later(facts: Observation):
    status, reason, message = finished(facts)
    over = after(facts)
    later: list[Callable[[Observation], Observation]] = [
        deleted,
        ended_by_carol,
        unreadable,
        lambda o: at(o, 50),
        lambda o: replace(o, agent=None, pods=()),
        lambda o: replace(o, pods=(pod(7), pod(8))),
        lambda o: asks(o, state="Active", intent={"purpose": "x", "actions": ["a"]}),
    ]
    for change in later:
        assert finished(change(over)) == (status, reason, message)
        assert decide(change(over)).issue is None


@pytest.mark.parametrize("facts", [case[1] for case in ENDS], ids=[case[0] for case in ENDS])
def test_succeeded_is_true_only_for_completed(facts: Observation):
    status = after(facts).task.status
    succeeded = condition(status, ConditionType.SUCCEEDED)
    assert succeeded is not None
    assert (succeeded.status == "True") == (succeeded.reason == EndReason.COMPLETED)


def test_revoked_task_is_not_approved_any_more():
    status = after(replace(LABELLED, agent=agent(disabled=True))).task.status
    approved = condition(status, ConditionType.APPROVED)
    assert approved is not None
    assert (approved.status, approved.reason) == ("False", "Revoked")


def test_status_of_an_ended_task_reads_back_as_it_was_written():
    for _, facts, *_ in ENDS:
        status = report_of(facts, decide(facts)).status
        assert AgentTaskStatus.model_validate_json(status.model_dump_json(by_alias=True)) == status
