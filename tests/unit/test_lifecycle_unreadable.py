"""A task of which this version cannot read the status or the spec: nothing is guessed about it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import EndReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import FailedWrite, Observation, PodFacts, SecretFacts, SecretState
from agentid.lifecycle.plan import SecretAction
from tests.unit.lifecycle_facts import NOW, agent, asks, at, finished, observe, pod, running

NEW = observe(pods=[pod()])
SUSPENSION = {"state": "Suspended", "stateReason": "odd calls", "stateChangedBy": {"username": "sec"}}


@pytest.mark.parametrize("secret", [SecretFacts(SecretState.DOUBTFUL), SecretFacts(SecretState.FILLED, 1)])
def test_task_whose_status_cannot_be_read_is_left_as_it_is(secret: SecretFacts):
    facts = _with_unreadable_status(replace(running(NEW), secret=secret))
    for later in (0, 700, 10**6):
        plan = decide(at(facts, later))
        assert (plan.report, plan.issue, plan.delete_task) == (None, None, False)
        assert plan.secret is SecretAction.NONE
        assert plan.wake_at is None


@pytest.mark.parametrize("pods", [(pod(),), ()])
def test_secret_of_a_task_whose_status_cannot_be_read_is_wiped_when_nobody_may_hold_it(
    pods: tuple[PodFacts, ...],
):
    facts = replace(_with_unreadable_status(NEW), secret=SecretFacts(SecretState.DOUBTFUL), pods=pods)
    wiped = SecretAction.EMPTY if pods else SecretAction.DELETE
    for unwanted in (
        asks(facts, state="Ended"),
        asks(facts, **SUSPENSION),
        replace(facts, agent=agent(disabled=True)),
        replace(facts, task=replace(facts.task, deleting=True)),
        replace(facts, task=replace(facts.task, deleting=True, spec=None, invalid="x")),
    ):
        plan = decide(unwanted)
        assert (plan.report, plan.issue, plan.secret) == (None, None, wiped)
        gone = replace(unwanted, secret=SecretFacts(SecretState.ABSENT))
        assert decide(gone).secret is SecretAction.NONE
        waits = FailedWrite("no answer", NOW + timedelta(seconds=8))
        assert decide(replace(unwanted, failed_write=waits)).secret is SecretAction.NONE
        assert decide(replace(unwanted, failed_write=waits)).wake_at == waits.retry_at


def test_task_that_cannot_be_read_ends_when_the_default_start_deadline_is_past():
    facts = replace(NEW, task=replace(NEW.task, spec=None, invalid="spec.frobnicate is not known"))
    assert decide(facts).wake_at == NOW + timedelta(seconds=600)
    assert finished(at(facts, 599))[0] == "False"
    assert finished(at(facts, 600)) == (
        "True",
        EndReason.START_DEADLINE_EXCEEDED,
        (
            "no credential could be issued by 2026-05-31T14:10:00Z: this version of agentid cannot read the "
            "AgentTask: spec.frobnicate is not known"
        ),
    )


def _with_unreadable_status(observation: Observation) -> Observation:
    task = replace(observation.task, status=AgentTaskStatus(), status_invalid="status.later is not known")
    return replace(observation, task=task)
