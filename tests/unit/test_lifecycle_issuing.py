"""When a credential is made, renewed and taken away, and what the status then says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EventAction, EventReason, IssueReason, WaitReason
from agentid.lifecycle import renewal
from agentid.lifecycle.decide import decide
from agentid.lifecycle.errors import UnorderedCredentialError
from agentid.lifecycle.model import (
    Blocked,
    FailedWrite,
    Observation,
    PodPhase,
    SecretAction,
    SecretFacts,
    SecretState,
)
from agentid.lifecycle.reporting import issued
from agentid.pki import validity
from tests.unit.lifecycle_facts import (
    ALLOW,
    JOB,
    LIMITS,
    NOW,
    TASK_UID,
    after,
    asks,
    at,
    condition,
    finished,
    made,
    observe,
    pod,
    report_of,
    running,
    task_spec,
)

RUNNING = running(observe(pods=[pod()]))
OF_JOB = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
ALLOWED = running(observe(spec=task_spec(workload=ALLOW), pods=[pod()]))
ALONE = running(observe(spec=task_spec(workload=None)))
NO_ADMISSION = Blocked("Admission is not in force.")
GONE = SecretFacts(SecretState.ABSENT)
IN_DOUBT = SecretFacts(SecretState.DOUBTFUL)


def generations(facts: Observation) -> list[int]:
    return [each.generation for each in facts.task.status.credentials]


def why(facts: Observation) -> IssueReason | None:
    order = decide(facts).issue
    return order.why if order else None


def said(facts: Observation, kind: ConditionType) -> tuple[str, str, str]:
    found = condition(facts.task.status, kind)
    assert found is not None
    return found.status, found.reason, found.message


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
    assert said(done, ConditionType.APPROVED) == ("True", "PolicyAllowed", "allowed by Agent refund-agent")
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
        "carol@example.com, allowed by Agent refund-agent"
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


def test_renewal_is_due_at_two_thirds_of_the_life_and_woken_for():
    due = decide(RUNNING).wake_at
    assert due is not None
    assert timedelta(seconds=190) <= due - NOW <= timedelta(seconds=210)
    assert decide(replace(RUNNING, now=due - timedelta(seconds=1))).issue is None
    assert why(replace(RUNNING, now=due)) is IssueReason.RENEWED


def test_renewals_of_many_tasks_are_spread():
    status = RUNNING.task.status
    moments = set()
    for number in range(50):
        one = status.credentials[0].model_copy(update={"serial": f"{number:032x}"})
        changed = status.model_copy(update={"credentials": [one]})
        moments.add(renewal.renew_at(replace(RUNNING, task=replace(RUNNING.task, status=changed))))
    assert len(moments) == 50


def test_old_and_new_credential_both_count_after_a_renewal():
    facts = after(at(RUNNING, 220))
    assert generations(facts) == [1, 2]
    assert said(facts, ConditionType.CREDENTIAL_ISSUED)[1:] == (
        "Renewed",
        "serial 0002, 2nd of this task, until 2026-05-31T14:08:40Z",
    )
    assert facts.task.status.deadline == RUNNING.task.status.deadline
    assert facts.task.status.spiffe_id == RUNNING.task.status.spiffe_id


def test_transition_time_moves_only_with_the_status_of_a_condition():
    renewed = after(at(RUNNING, 220))
    assert {each.last_transition_time for each in renewed.task.status.conditions} == {NOW}
    suspended = after(at(asks(renewed, state="Suspended"), 230))
    moved = {each.type: each.last_transition_time - NOW for each in suspended.task.status.conditions}
    assert moved == {
        ConditionType.APPROVED: timedelta(0),
        ConditionType.BOUND: timedelta(0),
        ConditionType.CREDENTIAL_ISSUED: timedelta(seconds=230),
        ConditionType.FINISHED: timedelta(0),
    }


def test_renewal_is_told_by_its_own_event():
    event = report_of(at(RUNNING, 220), decide(at(RUNNING, 220))).event
    assert event is not None
    assert event.reason is EventReason.CREDENTIAL_RENEWED
    assert event.note == "serial 0002 replaces 0001, valid until 2026-05-31T14:08:40Z"


def test_credential_past_its_life_stops_counting_at_the_next_renewal():
    facts = after(at(after(at(RUNNING, 220)), 440))
    assert generations(facts) == [2, 3]


def test_status_never_lists_more_than_eight_credentials():
    spec = task_spec(credential={"ttlSeconds": 3000})
    facts = running(observe(spec=spec, pods=[pod()]))
    for step in range(12):
        facts = after(at(facts, 10 + step, secret=IN_DOUBT) if step else at(facts, 2200))
    assert len(facts.task.status.credentials) == 8
    assert facts.task.status.credentials[-1].generation == facts.task.status.credential_generation


def test_credential_that_reaches_the_deadline_is_not_renewed():
    facts = running(observe(spec=task_spec(activeDeadlineSeconds=300), pods=[pod()]))
    assert decide(at(facts, 299)).issue is None
    assert decide(facts).wake_at == NOW + timedelta(seconds=300)


def test_renewal_never_goes_past_the_deadline():
    facts = RUNNING
    for second in range(0, 3600, 10):
        facts = after(at(facts, second))
    assert facts.task.status.credentials[-1].not_after == NOW + timedelta(seconds=3600)
    assert finished(at(facts, 3600))[1] == "Expired"


def test_authority_near_its_end_makes_no_loop_of_renewals():
    facts = at(RUNNING, 220)
    plan = decide(facts)
    short = made(facts, plan).model_copy(update={"not_after": facts.now + timedelta(seconds=4)})
    report = issued(facts, plan, short)
    soon = replace(
        facts,
        task=replace(facts.task, status=report.status),
        secret=SecretFacts(SecretState.FILLED, generation=2),
    )
    assert decide(soon).issue is None
    assert why(at(soon, 225)) is IssueReason.RENEWED or finished(at(soon, 225))[1] == "Running"


def test_backdating_is_the_one_that_certificates_are_made_with():
    assert renewal.BACKDATE == validity.BACKDATE


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
    resumed = asks(held, state="Active")
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


def test_credential_is_kept_in_its_life_while_issuance_is_blocked():
    blocked = replace(RUNNING, blocked=NO_ADMISSION)
    plan = decide(at(blocked, 100))
    assert plan.report is not None
    assert plan.report.status == RUNNING.task.status
    overdue = at(blocked, 250)
    report = report_of(overdue, decide(overdue))
    assert finished(overdue)[1] == "Running"
    assert [each.generation for each in report.status.credentials] == [1]
    assert said(after(overdue), ConditionType.STALLED)[1:] == (
        "IssuanceBlocked",
        "Admission is not in force.",
    )
    assert report.event is not None
    assert (report.event.reason, report.event.note) == (
        EventReason.ISSUANCE_BLOCKED,
        "renewal is due; Admission is not in force.",
    )
    again = after(overdue)
    assert report_of(again, decide(again)).event is None
    assert condition(after(replace(again, blocked=None)).task.status, ConditionType.STALLED) is None


def test_credential_that_ran_out_while_blocked_is_taken_away_and_issued_anew_later():
    late = at(RUNNING, 300, blocked=NO_ADMISSION)
    held = after(late)
    assert finished(late) == ("False", WaitReason.ISSUANCE_BLOCKED, "Admission is not in force.")
    assert said(held, ConditionType.CREDENTIAL_ISSUED)[2] == (
        "serial 0001 revoked: it ran out at 2026-05-31T14:05:00Z"
    )
    assert why(replace(held, blocked=None)) is IssueReason.REISSUED


def test_credential_that_could_not_be_written_does_not_count():
    failed = FailedWrite("Secret agentid-refund-4711 could not be written.", NOW + timedelta(seconds=10))
    unwritten = replace(RUNNING, secret=GONE, failed_write=failed)
    held = after(unwritten)
    assert generations(held) == []
    assert finished(unwritten) == ("False", WaitReason.ISSUANCE_BLOCKED, failed.message)
    assert decide(held).wake_at == failed.retry_at
    assert decide(held).issue is None
    order = decide(at(held, 10)).issue
    assert order is not None
    assert (order.why, order.generation) == (IssueReason.REISSUED, 2)


def test_failed_renewal_leaves_what_the_secret_holds():
    renewed = after(at(RUNNING, 220))
    failed = FailedWrite("no answer", NOW + timedelta(seconds=230))
    unwritten = replace(renewed, secret=SecretFacts(SecretState.FILLED, generation=1), failed_write=failed)
    kept = after(unwritten)
    assert generations(kept) == [1]
    assert said(kept, ConditionType.CREDENTIAL_ISSUED)[2].startswith("serial 0001, 1st of this task")
    assert decide(kept).wake_at == failed.retry_at
    order = decide(at(kept, 230)).issue
    assert order is not None
    assert (order.why, order.generation) == (IssueReason.RENEWED, 3)


@pytest.mark.parametrize(
    "secret",
    [GONE, SecretFacts(SecretState.EMPTIED, emptied_at=NOW), SecretFacts(SecretState.FILLED, generation=9)],
)
def test_credential_that_the_secret_does_not_hold_is_issued_anew(secret: SecretFacts):
    order = decide(replace(RUNNING, secret=secret)).issue
    assert order is not None
    assert (order.why, order.generation) == (IssueReason.REISSUED, 2)


def test_first_secret_in_doubt_is_looked_for():
    plan = decide(replace(RUNNING, secret=IN_DOUBT))
    assert plan.secret is SecretAction.PROBE
    assert plan.report is not None
    assert plan.report.status == RUNNING.task.status
    paused = replace(RUNNING, secret=IN_DOUBT, failed_write=FailedWrite("x", NOW + timedelta(seconds=5)))
    assert decide(paused).secret is SecretAction.NONE
    assert decide(paused).wake_at == NOW + timedelta(seconds=5)


def test_later_secret_in_doubt_is_renewed_over():
    renewed = after(at(RUNNING, 220, secret=RUNNING.secret))
    doubtful = replace(renewed, secret=IN_DOUBT)
    assert why(doubtful) is IssueReason.RENEWED
    assert generations(after(doubtful)) == [1, 2, 3]


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


def test_replacement_in_doubt_is_taken_away_while_no_other_can_be_made():
    replaced = after(asks(RUNNING, intent={"purpose": "p", "actions": ["orders:read"]}))
    doubtful = replace(replaced, secret=IN_DOUBT, blocked=NO_ADMISSION)
    held = after(doubtful)
    assert decide(doubtful).secret is SecretAction.EMPTY
    assert generations(held) == []
    assert said(held, ConditionType.CREDENTIAL_ISSUED)[2] == (
        "serial 0002 revoked: it is in doubt whether its Secret holds it or a revoked one"
    )


def test_renewal_in_doubt_is_kept_while_no_other_can_be_made():
    renewed = after(at(RUNNING, 220))
    assert generations(after(replace(renewed, secret=IN_DOUBT, blocked=NO_ADMISSION))) == [1, 2]
