"""What a task waits for without a credential: reason, message, Event; and that it does not wait for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason, IssueReason, WaitReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    FailedWrite,
    Observation,
    PodPhase,
    SecretFacts,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import (
    ALLOW,
    JOB,
    JOB_UID,
    NOW,
    after,
    agent,
    answered_again,
    asks,
    at,
    awaited,
    condition,
    finished,
    judged,
    observe,
    pod,
    running,
    static_secret,
    task_spec,
    uid,
    why,
)

NEW = observe(pods=[pod()])
NEW_JOB = observe(spec=task_spec(workload=JOB), pods=[pod()])
ALONE = observe(spec=task_spec(workload=None))
SUSPENSION = {"state": "Suspended", "stateReason": "odd calls", "stateChangedBy": {"username": "sec"}}
TAKEN = SecretFacts(SecretState.TAKEN)
FAILED_WRITE = FailedWrite(
    "Secret agentid-refund-4711 could not be written: 500.", NOW + timedelta(seconds=9)
)
FORBIDDEN = 'ClusterAgentPolicy/default, rule "short-lived" forbids it.'
HOLDS: list[tuple[str, Observation, WaitReason, str, EventReason | None, bool]] = [
    (
        "unreadable",
        replace(NEW, task=replace(NEW.task, spec=None, invalid="spec.frobnicate is not known")),
        WaitReason.ISSUANCE_BLOCKED,
        "this version of agentid cannot read the AgentTask: spec.frobnicate is not known",
        EventReason.ISSUANCE_BLOCKED,
        True,
    ),
    (
        "suspended",
        asks(NEW, **SUSPENSION),
        WaitReason.SUSPENDED,
        "spec.state was set to Suspended by sec: odd calls",
        EventReason.SUSPENDED,
        False,
    ),
    (
        "made before admission was in force",
        replace(NEW, task=replace(NEW.task, spec=task_spec(requester=None))),
        WaitReason.ISSUANCE_BLOCKED,
        (
            "spec.requester is not there, so nobody knows who asked for this task: it was created before "
            "agentid's admission rules were in force. Delete it and create it anew."
        ),
        EventReason.ISSUANCE_BLOCKED,
        True,
    ),
    (
        "no room",
        replace(NEW, pods=(pod(),), crowded="namespace support is full."),
        WaitReason.AWAITING_QUOTA,
        "namespace support is full.",
        EventReason.AWAITING_QUOTA,
        False,
    ),
    (
        "no Agent",
        replace(NEW, agent=None),
        WaitReason.AWAITING_AGENT,
        (
            "Agent support/refund-agent does not exist. Have the platform team create it, or correct "
            "spec.agentRef."
        ),
        EventReason.AWAITING_AGENT,
        False,
    ),
    (
        "Agent being deleted",
        replace(NEW, agent=replace(agent(), deleting=True)),
        WaitReason.AWAITING_AGENT,
        "Agent support/refund-agent is being deleted.",
        EventReason.AWAITING_AGENT,
        False,
    ),
    (
        "Agent unreadable",
        replace(NEW, agent=AgentFacts(uid=uid(900), deleting=False, spec=None)),
        WaitReason.AWAITING_AGENT,
        (
            "Agent support/refund-agent cannot be read by this version of agentid. "
            "Have the platform team correct it."
        ),
        EventReason.AWAITING_AGENT,
        False,
    ),
    (
        "no such static secret",
        observe(spec=task_spec(staticSecrets=[{"name": "legacy-crm-key"}]), pods=[pod()]),
        WaitReason.AWAITING_STATIC_SECRET,
        (
            "no AgentSecret legacy-crm-key is for Agent refund-agent of namespace support. Have the platform "
            "team create it or add the Agent to its spec.agents, or make the task anew without it in "
            "spec.staticSecrets."
        ),
        EventReason.AWAITING_STATIC_SECRET,
        False,
    ),
    (
        "review overdue",
        replace(NEW, agent=agent(reviewBy="2026-05-31T14:00:00Z")),
        WaitReason.AWAITING_AGENT,
        (
            "Agent support/refund-agent was to be reviewed by 2026-05-31T14:00:00Z. "
            "Have its owner payments-team@example.com review it and set spec.reviewBy anew."
        ),
        EventReason.AWAITING_AGENT,
        True,
    ),
    (
        "action not listed",
        replace(NEW, agent=agent(actions=[])),
        WaitReason.CEILING_EXCEEDED,
        (
            "AgentTask support/refund-4711: intent.actions asks for orders:read, refunds:create, which Agent "
            "refund-agent does not list (it lists nothing). Ask for less, or have the owner "
            "payments-team@example.com add it."
        ),
        EventReason.CEILING_EXCEEDED,
        True,
    ),
    (
        "policy denies",
        judged(NEW, allowed=False, message=FORBIDDEN),
        WaitReason.AWAITING_POLICY,
        FORBIDDEN,
        EventReason.POLICY_DENIED,
        True,
    ),
    (
        "policy could not be asked",
        judged(NEW, allowed=False, in_doubt=True, message="the engine gave no answer"),
        WaitReason.AWAITING_POLICY,
        "the engine gave no answer",
        EventReason.POLICY_DENIED,
        True,
    ),
    (
        "policy was not asked",
        replace(NEW, judgement=None),
        WaitReason.AWAITING_POLICY,
        "policy was not asked; this is a defect of agentid",
        EventReason.POLICY_DENIED,
        True,
    ),
    (
        "not approved",
        judged(NEW, allowed=False, awaits_approval=True, message="it needs an approval"),
        WaitReason.AWAITING_APPROVAL,
        f"it needs an approval {awaited(NEW)}",
        EventReason.APPROVAL_REQUIRED,
        False,
    ),
    (
        "not approved, and no pod yet",
        judged(observe(), allowed=False, awaits_approval=True, message="it needs an approval"),
        WaitReason.AWAITING_APPROVAL,
        f"it needs an approval {awaited(NEW)}",
        EventReason.APPROVAL_REQUIRED,
        False,
    ),
    (
        "kind not allowed",
        replace(NEW_JOB, workload=WorkloadFacts(WorkloadState.KIND_NOT_ALLOWED)),
        WaitReason.WORKLOAD_KIND_NOT_ALLOWED,
        (
            "spec.workload.ref names kind Job of batch/v1, which is not among the kinds allowed at "
            "installation. Name one that is, or have the platform team add it."
        ),
        EventReason.WORKLOAD_KIND_NOT_ALLOWED,
        True,
    ),
    (
        "no workload",
        replace(NEW_JOB, workload=WorkloadFacts(WorkloadState.NOT_FOUND)),
        WaitReason.AWAITING_WORKLOAD,
        "waits for Job refund in namespace support",
        None,
        False,
    ),
    (
        "pod of another service account",
        observe(pods=[pod(service_account="mallory")]),
        WaitReason.POD_MISMATCH,
        (
            "pod refund-1 runs as service account mallory, but spec.workload.serviceAccountName is "
            "refund-agent. Remove the pod or run it as refund-agent."
        ),
        EventReason.POD_MISMATCH,
        True,
    ),
    (
        "pod of a service account that the Agent does not list",
        observe(spec=task_spec(workload={}), pods=[pod(service_account="mallory")]),
        WaitReason.POD_MISMATCH,
        (
            "pod refund-1 runs as service account mallory, which Agent refund-agent does not list in "
            "spec.serviceAccounts. Run it as one that is listed, or have the Agent's owner add it."
        ),
        EventReason.POD_MISMATCH,
        True,
    ),
    (
        "ownerless pod claims a Job's task",
        replace(NEW_JOB, pods=(pod(controllers=()),)),
        WaitReason.POD_MISMATCH,
        (
            f"pod refund-1 does not belong to Job refund with UID {JOB_UID}, which spec.workload.ref names. "
            "Remove the pod or its label."
        ),
        EventReason.POD_MISMATCH,
        True,
    ),
    (
        "a pod that suits beside one that does not",
        replace(NEW_JOB, pods=(pod(1), pod(2, controllers=()))),
        WaitReason.POD_MISMATCH,
        (
            f"pod refund-2 does not belong to Job refund with UID {JOB_UID}, which spec.workload.ref names. "
            "Remove the pod or its label."
        ),
        EventReason.POD_MISMATCH,
        True,
    ),
    (
        "pod claims a task that names no workload",
        replace(ALONE, pods=(pod(),)),
        WaitReason.POD_MISMATCH,
        (
            "pod refund-1 carries this task's label, but the task names no workload, so no pod may work for "
            "it. Remove the pod, or make the task anew with spec.workload."
        ),
        EventReason.POD_MISMATCH,
        True,
    ),
    (
        "first pod is leaving",
        observe(pods=[pod(1, leaving=True, gone_by=NOW + timedelta(seconds=30)), pod(2)]),
        WaitReason.AWAITING_POD,
        (
            "waits until the containers of pod refund-1, which is leaving, have ended, at the latest at "
            "2026-05-31T14:00:30Z"
        ),
        None,
        False,
    ),
    (
        "no pod",
        observe(),
        WaitReason.AWAITING_POD,
        "waits for a pod with the label agentid.dev/task: refund-4711",
        None,
        False,
    ),
    (
        "pod without a node",
        observe(pods=[pod(node=None, phase=PodPhase.PENDING)]),
        WaitReason.AWAITING_POD,
        "pod refund-1 has no node yet",
        None,
        False,
    ),
    (
        "Secret name taken",
        replace(NEW, secret=TAKEN),
        WaitReason.SECRET_NAME_TAKEN,
        (
            "Secret agentid-refund-4711 exists and is not this task's. One of an earlier task of this name "
            "goes by itself; any other has to be deleted."
        ),
        EventReason.SECRET_NAME_TAKEN,
        True,
    ),
    (
        "issuance blocked",
        replace(NEW, blocked=Blocked("Admission is not in force: policy agentid-pods is missing.")),
        WaitReason.ISSUANCE_BLOCKED,
        "Admission is not in force: policy agentid-pods is missing.",
        EventReason.ISSUANCE_BLOCKED,
        True,
    ),
    (
        "Secret could not be written",
        replace(NEW, failed_write=FAILED_WRITE),
        WaitReason.ISSUANCE_BLOCKED,
        "Secret agentid-refund-4711 could not be written: 500.",
        EventReason.ISSUANCE_BLOCKED,
        True,
    ),
]


Case = tuple[str, Observation, WaitReason, str, EventReason | None, bool]

# Policy is asked about what is observed in the end, not about the task that it was made from.
HOLDS = [(name, answered_again(facts), *expected) for name, facts, *expected in HOLDS]  # type: ignore[misc]
CASES = pytest.mark.parametrize("case", HOLDS, ids=[case[0] for case in HOLDS])


@CASES
def test_task_waits_with_reason_and_tells_it_once(case: Case):
    _, facts, reason, message, event, stalled = case
    assert finished(facts) == ("False", reason, message)
    plan = decide(facts)
    assert plan.report is not None
    told = plan.report.event
    assert (told.reason if told else None) == event
    if told is not None:
        assert (told.note, told.action) == (message, EventAction.WAIT)
        assert told.warning == (
            reason
            not in {
                WaitReason.SUSPENDED,
                WaitReason.AWAITING_APPROVAL,
                WaitReason.AWAITING_QUOTA,
            }
        )
    again = decide(after(facts))
    assert again.report is not None
    assert again.report.event is None
    assert again.report.status == plan.report.status
    said = condition(plan.report.status, ConditionType.STALLED)
    assert (said is not None) == stalled
    if said is not None:
        assert (said.status, said.reason, said.message) == ("True", reason, message)


def test_every_wait_reason_is_reached_by_a_test():
    for_others = {
        WaitReason.APPROVAL_DENIED,
        WaitReason.AWAITING_PARENT,
        WaitReason.DELEGATION_REFUSED,
        WaitReason.TOO_MANY_CHILDREN,
    }
    assert {case[2] for case in HOLDS} == set(WaitReason) - for_others


@CASES
def test_waiting_task_gets_its_credential_once_nothing_is_in_its_way(case: Case):
    facts = after(case[1])
    good = ALONE if facts.task.spec is not None and facts.task.spec.workload is None else NEW
    spec = facts.task.spec or task_spec()
    mended = replace(
        facts,
        agent=agent(),
        static_secrets=tuple(static_secret(each.name) for each in spec.static_secrets),
        pods=good.pods,
        workload=WorkloadFacts(WorkloadState.LIVE, JOB_UID),
        secret=SecretFacts(SecretState.ABSENT),
        blocked=None,
        failed_write=None,
        crowded=None,
        task=replace(
            facts.task,
            spec=spec.model_copy(update={"state": task_spec().state, "requester": task_spec().requester}),
        ),
    )
    mended = judged(mended)
    assert finished(mended)[:2] == ("False", "Running")
    assert condition(after(mended).task.status, ConditionType.STALLED) is None


@pytest.mark.parametrize("case", HOLDS[1:], ids=[case[0] for case in HOLDS[1:]])
def test_waiting_task_ends_at_its_start_deadline(case: Case):
    facts = after(case[1])
    plan = decide(facts)
    assert plan.wake_at is not None
    assert plan.wake_at <= NOW + timedelta(seconds=600)
    assert finished(at(facts, 599))[:1] == ("False",)
    assert finished(at(facts, 600))[1] == EndReason.START_DEADLINE_EXCEEDED


@CASES
def test_nothing_is_issued_and_no_deadline_runs_while_it_waits(case: Case):
    status = after(case[1]).task.status
    assert status.credentials == []
    assert (status.start_time, status.deadline, status.spiffe_id, status.bound_pod) == (
        None,
        None,
        None,
        None,
    )


def test_successor_waits_for_the_grace_of_a_leaving_pod_and_no_longer():
    leaving = pod(1, leaving=True, gone_by=NOW + timedelta(seconds=30))
    facts = observe(spec=task_spec(workload=ALLOW), pods=[leaving, pod(2)])
    plan = decide(facts)
    assert plan.wake_at == NOW + timedelta(seconds=30)
    assert finished(at(facts, 30))[1] == "Running"


def test_resolved_warning_is_told_once_when_the_task_waits_on():
    facts = after(replace(observe(), agent=None))
    mended = judged(replace(facts, agent=agent()))
    plan = decide(mended)
    assert plan.report is not None
    assert plan.report.event is not None
    assert plan.report.event.reason is EventReason.POLICY_ALLOWED
    assert plan.report.event.note == (
        "allowed by ClusterAgentPolicy/default; waits for a pod with the label agentid.dev/task: refund-4711"
    )


def test_taken_name_is_probed_again_only_after_the_pause():
    assert decide(replace(NEW, secret=TAKEN)).secret is SecretAction.PROBE
    paused = decide(replace(NEW, secret=TAKEN, failed_write=FAILED_WRITE))
    assert paused.secret is SecretAction.NONE
    assert paused.wake_at == FAILED_WRITE.retry_at


def test_name_that_was_found_taken_by_the_first_write_ends_the_task_at_its_start_deadline():
    facts = after(replace(running(NEW), secret=TAKEN))
    assert facts.task.status.credentials == []
    assert finished(at(facts, 599))[1] == WaitReason.SECRET_NAME_TAKEN
    assert finished(at(facts, 600))[1] == EndReason.START_DEADLINE_EXCEEDED


def test_uid_of_the_job_is_pinned_when_it_is_first_seen():
    facts = after(observe(spec=task_spec(workload=JOB)))
    assert facts.task.status.workload_uid == JOB_UID
    assert (
        finished(replace(facts, workload=WorkloadFacts(WorkloadState.LIVE, uid(77))))[1] == "WorkloadDeleted"
    )


def test_emergency_waits_for_no_room():
    parts = {
        "breakGlass": {"justification": "The payment provider is down."},
        "credential": {"renew": False},
    }
    facts = observe(spec=task_spec(**parts), pods=[pod()])

    assert why(replace(facts, crowded="namespace support is full.")) is IssueReason.ISSUED
