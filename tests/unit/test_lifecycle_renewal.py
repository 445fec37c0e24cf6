"""When a credential is renewed, how many count then, and that none reaches past the deadline."""

from dataclasses import replace
from datetime import timedelta

from agentid.api.reasons import ConditionType, EventReason, IssueReason
from agentid.lifecycle import renewal
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import SecretFacts, SecretState
from agentid.lifecycle.reporting import issued
from agentid.pki import validity
from tests.unit.lifecycle_facts import (
    NOW,
    after,
    asks,
    at,
    finished,
    generations,
    judged,
    made,
    observe,
    pod,
    report_of,
    running,
    said,
    task_spec,
    why,
)

RUNNING = running(observe(pods=[pod()]))
IN_DOUBT = SecretFacts(SecretState.DOUBTFUL)


def test_renewal_is_due_at_two_thirds_of_the_life_and_woken_for():
    due = decide(RUNNING).wake_at
    assert due is not None
    assert timedelta(seconds=190) <= due - NOW <= timedelta(seconds=210)
    assert decide(replace(RUNNING, now=due - timedelta(seconds=1))).issue is None
    assert why(judged(replace(RUNNING, now=due))) is IssueReason.RENEWED


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
