"""What becomes of the Secret at an end, a suspension and a departure."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.departure import at_its_deletion, decide_departure
from agentid.lifecycle.model import (
    Departure,
    FailedWrite,
    Observation,
    PodFacts,
    PodPhase,
    SecretFacts,
    SecretState,
)
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import (
    LIMITS,
    NOW,
    after,
    asks,
    at,
    condition,
    observe,
    pod,
    running,
    task_spec,
)

RUNNING = running(observe(pods=[pod()]))
ENDED = after(asks(RUNNING, state="Ended"))
FILLED = SecretFacts(SecretState.FILLED, generation=1)
EMPTIED = SecretFacts(SecretState.EMPTIED, emptied_at=NOW)
IN_DOUBT = SecretFacts(SecretState.DOUBTFUL)
GONE = SecretFacts(SecretState.ABSENT)
TAKEN = SecretFacts(SecretState.TAKEN)
EXPECTED = replace(GONE, unanswered_at=NOW)
FILLED_ANEW = replace(FILLED, unanswered_at=NOW)
HELD = replace(EMPTIED, unanswered_at=NOW)
GRACE = LIMITS.wipe_grace
ALIVE = (pod(),)
LEAVING = (pod(leaving=True, gone_by=NOW),)
STRANGER = (pod(2, service_account="mallory"),)
OVER = (pod(phase=PodPhase.SUCCEEDED),)
RUN_OUT = (pod(containers_ended=True),)

TABLE = [
    (FILLED, ALIVE, NOW, SecretAction.EMPTY, None),
    (FILLED, LEAVING, NOW, SecretAction.EMPTY, None),
    (FILLED, STRANGER, NOW, SecretAction.EMPTY, None),
    (FILLED, (), NOW, SecretAction.DELETE, None),
    (FILLED, OVER, NOW, SecretAction.DELETE, None),
    (FILLED, RUN_OUT, NOW, SecretAction.DELETE, None),
    (IN_DOUBT, ALIVE, NOW, SecretAction.EMPTY, None),
    (IN_DOUBT, (), NOW, SecretAction.DELETE, None),
    (EMPTIED, ALIVE, NOW, SecretAction.NONE, NOW + GRACE),
    (EMPTIED, ALIVE, NOW + GRACE, SecretAction.DELETE, None),
    (EMPTIED, (), NOW, SecretAction.DELETE, None),
    (EMPTIED, (pod(node=None),), NOW, SecretAction.DELETE, None),
    (EXPECTED, (), NOW, SecretAction.HOLD, NOW + GRACE),
    (FILLED_ANEW, (), NOW, SecretAction.HOLD, NOW + GRACE),
    (HELD, (), NOW, SecretAction.NONE, NOW + GRACE),
    (HELD, (), NOW + GRACE, SecretAction.DELETE, None),
    (EXPECTED, (), NOW + GRACE, SecretAction.NONE, None),
    (FILLED_ANEW, (), NOW + GRACE, SecretAction.DELETE, None),
    (replace(HELD, emptied_at=NOW + GRACE / 2), ALIVE, NOW + GRACE, SecretAction.NONE, NOW + 1.5 * GRACE),
    (replace(HELD, unanswered_at=NOW + GRACE / 2), ALIVE, NOW + GRACE, SecretAction.NONE, NOW + 1.5 * GRACE),
    (GONE, ALIVE, NOW, SecretAction.NONE, None),
    (TAKEN, ALIVE, NOW, SecretAction.NONE, None),
]


@pytest.mark.parametrize(("secret", "pods", "now", "action", "wake_at"), TABLE)
def test_secret_of_a_finished_task_is_emptied_for_living_pods_and_deleted_otherwise(
    secret: SecretFacts,
    pods: tuple[PodFacts, ...],
    now: datetime,
    action: SecretAction,
    wake_at: datetime | None,
):
    plan = decide(replace(ENDED, secret=secret, pods=pods, now=now))
    assert plan.rule == "stay_finished"
    assert plan.secret is action
    assert plan.wake_at == (wake_at or NOW + timedelta(seconds=86400))
    assert plan.report is not None
    assert (plan.report.status, plan.report.event) == (ENDED.task.status, None)


@pytest.mark.parametrize(("secret", "pods", "now", "action", "wake_at"), TABLE)
def test_secret_of_a_task_that_is_gone_is_cleaned_up_the_same(
    secret: SecretFacts,
    pods: tuple[PodFacts, ...],
    now: datetime,
    action: SecretAction,
    wake_at: datetime | None,
):
    plan = decide_departure(Departure(now=now, secret=secret, pods=pods, limits=LIMITS))
    assert (plan.report, plan.issue, plan.delete_task) == (None, None, False)
    assert (plan.secret, plan.wake_at) == (action, wake_at)


def test_end_of_a_task_that_is_gone_is_told_as_its_deletion():
    plan = decide(at_its_deletion(Departure(NOW, EMPTIED, ALIVE, LIMITS), RUNNING.task))
    assert plan.report is not None
    assert plan.report.event is not None
    event = plan.report.event
    assert (event.reason, event.action, event.warning) == (EventReason.TASK_ENDED, EventAction.END, False)
    assert event.note == "the AgentTask was deleted; serial 0001 revoked"
    assert event.related_pod == RUNNING.task.status.bound_pod
    said = condition(plan.report.status, ConditionType.FINISHED)
    assert said is not None
    assert said.reason == EndReason.DELETED


def test_end_of_a_task_that_is_gone_is_told_even_where_it_could_not_be_read():
    task = replace(RUNNING.task, spec=None, invalid="x")
    plan = decide(at_its_deletion(Departure(NOW, GONE, (), LIMITS), task))
    assert plan.report is not None
    assert plan.report.event is not None


def test_nothing_is_told_of_a_task_that_is_gone_after_it_had_ended():
    plan = decide(at_its_deletion(Departure(NOW, GONE, (), LIMITS), ENDED.task))
    assert plan.report is not None
    assert plan.report.event is None


def test_end_empties_the_secret_in_the_same_pass_when_the_pod_lives():
    assert decide(asks(RUNNING, state="Ended")).secret is SecretAction.EMPTY


def test_end_deletes_the_secret_in_the_same_pass_when_no_pod_lives():
    assert decide(replace(RUNNING, pods=())).secret is SecretAction.DELETE


def test_restart_costs_no_write_for_a_task_that_never_had_a_credential():
    ended = after(asks(observe(), state="Ended"))
    assert decide(replace(ended, secret=IN_DOUBT)).secret is SecretAction.NONE
    waiting = after(observe())
    assert decide(replace(waiting, secret=IN_DOUBT)).secret is SecretAction.NONE


def test_finished_task_goes_after_its_time_once_its_secret_is_gone():
    clean = replace(ENDED, secret=GONE)
    assert decide(clean).wake_at == NOW + timedelta(days=1)
    assert not decide(at(clean, 86399)).delete_task
    assert decide(at(clean, 86400)).delete_task
    assert not decide(at(replace(clean, secret=EMPTIED), 86400)).delete_task
    assert not decide(at(replace(clean, task=replace(clean.task, deleting=True)), 86400)).delete_task


def test_finished_task_that_is_to_go_at_once_goes_in_the_pass_after_its_cleanup():
    spec = task_spec(ttlSecondsAfterFinished=0)
    facts = running(observe(spec=spec, pods=[pod()]))
    ended = after(replace(facts, pods=()))
    assert decide(ended).delete_task


def test_finished_task_that_cannot_be_read_is_left_alone():
    unreadable = replace(ENDED, task=replace(ENDED.task, spec=None, invalid="x"), secret=GONE)
    assert not decide(at(unreadable, 10**6)).delete_task


def test_cleanup_that_keeps_failing_is_told_once_and_tried_again():
    failed = FailedWrite("Secret agentid-refund-4711 could not be emptied: 403.", NOW + timedelta(seconds=8))
    stuck = replace(ENDED, secret=FILLED, failed_write=failed)
    plan = decide(stuck)
    assert plan.secret is SecretAction.NONE
    assert plan.wake_at == failed.retry_at
    assert plan.report is not None
    event = plan.report.event
    assert event is not None
    assert (event.reason, event.action, event.warning, event.note) == (
        EventReason.CLEANUP_DELAYED,
        EventAction.CLEAN_UP,
        True,
        failed.message,
    )
    told = replace(after(stuck), secret=FILLED)
    said = condition(told.task.status, ConditionType.STALLED)
    assert said is not None
    assert (said.status, said.reason) == ("True", "CleanupDelayed")
    again = decide(told)
    assert again.report is not None
    assert (again.report.event, again.report.status) == (None, told.task.status)
    assert decide(at(told, 8)).secret is SecretAction.EMPTY
    cleaned = after(replace(told, secret=GONE, failed_write=None))
    assert condition(cleaned.task.status, ConditionType.STALLED) is None
    assert condition(cleaned.task.status, ConditionType.FINISHED) == condition(
        ENDED.task.status, ConditionType.FINISHED
    )


def test_cleanup_of_a_suspended_task_that_keeps_failing_is_told():
    held: Observation = after(asks(RUNNING, state="Suspended"))
    failed = FailedWrite("no answer", NOW + timedelta(seconds=8))
    plan = decide(replace(held, secret=FILLED, failed_write=failed))
    assert plan.report is not None
    assert plan.report.event is not None
    assert plan.report.event.reason is EventReason.CLEANUP_DELAYED
