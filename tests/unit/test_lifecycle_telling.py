"""What an Event says: to which object it is related, whether it warns, and why a credential was made."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.reasons import ConditionType, EventAction, EventReason, IssueReason, WaitReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, Observation, SecretFacts, SecretState
from agentid.lifecycle.plan import EventDraft
from tests.unit.lifecycle_facts import (
    ALLOW,
    NOW,
    after,
    asks,
    condition,
    finished,
    observe,
    pod,
    report_of,
    running,
    task_spec,
    why,
)

NEW = observe(pods=[pod()])
RUNNING = running(NEW)
STARTED = (pod(all_run=True),)
ALLOWED = running(observe(spec=task_spec(workload=ALLOW), pods=[pod()]))
ALONE = running(observe(spec=task_spec(workload=None)))
STRANGER = pod(2, service_account="mallory")
TAKEN = SecretFacts(SecretState.TAKEN)
PREDECESSORS = SecretFacts(SecretState.TAKEN, predecessors=True)
BLOCKED = Blocked("Admission is not in force.")


def told(facts: Observation) -> EventDraft:
    event = report_of(facts, decide(facts)).event
    assert event is not None
    return event


@pytest.mark.parametrize(
    ("facts", "reason", "named"),
    [
        (observe(pods=[STRANGER]), EventReason.POD_MISMATCH, "refund-2"),
        (replace(ALLOWED, pods=(STRANGER,)), EventReason.POD_MISMATCH, "refund-2"),
        (observe(pods=[pod(1), pod(2)]), EventReason.SECOND_POD, "refund-2"),
        (replace(RUNNING, pods=(pod(1), pod(2))), EventReason.SECOND_POD, "refund-2"),
        (replace(ALONE, pods=(pod(2),)), EventReason.SECOND_POD, "refund-2"),
        (replace(RUNNING, pods=(pod(1, fingerprint="f2"),)), EventReason.POD_CHANGED, "refund-1"),
        (replace(ALLOWED, pods=()), EventReason.CREDENTIAL_REVOKED, "refund-1"),
        (asks(RUNNING, state="Suspended"), EventReason.SUSPENDED, "refund-1"),
        (asks(RUNNING, state="Ended"), EventReason.TASK_ENDED, "refund-1"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_event_is_related_to_the_pod_that_it_is_about(
    facts: Observation, reason: EventReason, named: str
) -> None:
    event = told(facts)

    assert event.reason is reason
    assert event.related_pod is not None
    assert event.related_pod.name == named


@pytest.mark.parametrize("secret", [TAKEN, PREDECESSORS])
def test_event_of_a_taken_name_is_related_to_the_secret_that_has_it(secret: SecretFacts) -> None:
    event = told(replace(NEW, secret=secret))

    assert event.reason is EventReason.SECRET_NAME_TAKEN
    assert event.related_secret
    assert not told(observe(pods=[STRANGER])).related_secret


def test_predecessors_secret_is_waited_for_without_a_warning() -> None:
    waiting = replace(NEW, secret=PREDECESSORS)
    event = told(waiting)

    assert (event.reason, event.action, event.warning) == (
        EventReason.SECRET_NAME_TAKEN,
        EventAction.WAIT,
        False,
    )
    assert finished(waiting) == (
        "False",
        WaitReason.SECRET_NAME_TAKEN,
        (
            "Secret agentid-refund-4711 is an earlier task's of this name; waits until it is deleted, at the "
            "latest 120 s after it was emptied"
        ),
    )
    assert condition(after(waiting).task.status, ConditionType.STALLED) is None
    assert why(replace(after(waiting), secret=SecretFacts(SecretState.ABSENT))) is IssueReason.ISSUED


def test_stranger_that_takes_the_name_after_a_predecessor_is_warned_of_once() -> None:
    planted = replace(after(replace(NEW, secret=PREDECESSORS)), secret=TAKEN)
    event = told(planted)

    assert (event.reason, event.warning) == (EventReason.SECRET_NAME_TAKEN, True)
    done = after(planted)
    stalled = condition(done.task.status, ConditionType.STALLED)
    assert stalled is not None
    assert stalled.reason == WaitReason.SECRET_NAME_TAKEN
    assert report_of(done, decide(done)).event is None


def test_resumed_while_issuance_is_blocked_is_resumed_all_the_same() -> None:
    suspended = replace(after(asks(RUNNING, state="Suspended")), pods=STARTED)
    blocked = after(replace(asks(suspended, state="Active"), blocked=BLOCKED))
    assert finished(replace(blocked, blocked=BLOCKED))[1] == WaitReason.ISSUANCE_BLOCKED
    later = replace(blocked, blocked=None, now=NOW + timedelta(seconds=60))

    assert why(later) is IssueReason.RESUMED
    assert told(later).reason is EventReason.RESUMED
    assert "lost" not in told(later).note


def test_what_is_lost_after_a_resumption_is_not_resumed_again() -> None:
    resumed = after(asks(replace(after(asks(RUNNING, state="Suspended")), pods=STARTED), state="Active"))

    assert why(replace(resumed, secret=SecretFacts(SecretState.ABSENT))) is IssueReason.REISSUED


def test_intent_changed_while_issuance_is_blocked_is_an_intent_changed_all_the_same() -> None:
    changed = asks(RUNNING, intent={"purpose": "p", "actions": ["orders:read"]})
    blocked = after(replace(changed, blocked=BLOCKED))

    assert why(replace(after(blocked), blocked=None)) is IssueReason.INTENT_CHANGED
