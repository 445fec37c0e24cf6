"""What counts when issuance is blocked, a write failed, or what a Secret holds is not known."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EndReason, EventReason, IssueReason, WaitReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, FailedWrite, SecretFacts, SecretState
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import (
    NOW,
    after,
    asks,
    at,
    condition,
    finished,
    generations,
    observe,
    pod,
    report_of,
    running,
    said,
    why,
)

RUNNING = running(observe(pods=[pod()]))
NO_ADMISSION = Blocked("Admission is not in force.")
GONE = SecretFacts(SecretState.ABSENT)
IN_DOUBT = SecretFacts(SecretState.DOUBTFUL)


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
    assert decide(at(held, 10)).secret is SecretAction.PROBE, "what was refused is only tried first"
    order = decide(after(at(held, 10))).issue
    assert order is not None
    assert (order.why, order.generation) == (IssueReason.REISSUED, 2)


def test_task_whose_first_credential_was_refused_never_started():
    failed = FailedWrite("exceeded quota", NOW + timedelta(seconds=10), refused=True)
    held = after(replace(RUNNING, secret=GONE, failed_write=failed))
    status = held.task.status
    assert (status.start_time, status.deadline, status.credential_generation) == (None, None, 1)
    assert finished(at(held, 599))[:2] == ("False", WaitReason.ISSUANCE_BLOCKED)
    assert finished(at(held, 600))[:2] == ("True", EndReason.START_DEADLINE_EXCEEDED)
    let = decide(replace(at(held, 20), failed_write=None)).issue
    assert let is not None
    assert (let.why, let.generation) == (IssueReason.ISSUED, 2)


@pytest.mark.parametrize("refused", [True, False])
def test_task_that_ever_had_a_credential_started_once_for_all(*, refused: bool):
    failed = FailedWrite("x", NOW + timedelta(seconds=1000), refused=refused)
    renewed = after(at(RUNNING, 220))
    lost = after(replace(renewed, secret=GONE, failed_write=failed))
    assert lost.task.status.start_time == RUNNING.task.status.start_time
    assert lost.task.status.deadline == RUNNING.task.status.deadline


def test_credential_that_another_operator_recorded_is_looked_for_and_not_replaced():
    renewed = after(at(RUNNING, 220))
    overtaken = replace(renewed, secret=SecretFacts(SecretState.DOUBTFUL, overtaken=True))
    plan = decide(overtaken)
    assert (plan.issue, plan.secret) == (None, SecretAction.PROBE)
    assert generations(after(overtaken)) == [1, 2]


def test_first_write_that_keeps_being_in_doubt_is_told():
    failed = FailedWrite("webhook of others: 500", NOW + timedelta(seconds=5))
    doubtful = replace(RUNNING, secret=IN_DOUBT, failed_write=failed)
    assert condition(after(doubtful).task.status, ConditionType.STALLED) is None, "an answer may be lost"
    doubtful = replace(doubtful, failed_write=replace(failed, again=True))
    assert said(after(doubtful), ConditionType.STALLED) == ("True", "IssuanceBlocked", failed.message)


def test_failed_renewal_leaves_what_the_secret_holds():
    renewed = after(at(RUNNING, 220))
    failed = FailedWrite("no answer", NOW + timedelta(seconds=230), again=True)
    unwritten = replace(renewed, secret=SecretFacts(SecretState.FILLED, generation=1), failed_write=failed)
    kept = after(unwritten)
    assert generations(kept) == [1]
    assert said(kept, ConditionType.CREDENTIAL_ISSUED)[2].startswith("serial 0001, 1st of this task")
    assert decide(kept).wake_at == failed.retry_at
    assert said(kept, ConditionType.STALLED) == ("True", "IssuanceBlocked", "no answer")
    assert decide(at(kept, 230)).secret is SecretAction.PROBE, "what was refused is only tried first"
    order = decide(after(at(kept, 230))).issue
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
