"""What runs in a pod is the same when a credential that was taken from it is given again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import IssueReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Observation, PodFacts, PodPhase, PolicyAction, SecretFacts, SecretState
from tests.unit.lifecycle_facts import (
    ALLOW,
    after,
    asks,
    at,
    finished,
    judged,
    observe,
    pod,
    report_of,
    running,
    task_spec,
    why,
)

AGENT = "registry.example.com/agent@sha256:aa"
OTHER = "registry.example.com/agent@sha256:bb"
DOUBT: dict[str, object] = {"allowed": False, "in_doubt": True, "message": "not known"}
UNAPPROVED: dict[str, object] = {"allowed": False, "awaits_approval": True, "message": "It needs one."}
FORBIDDEN: dict[str, object] = {"allowed": False, "message": "no image of ours runs"}
CHANGED = ("True", "PodChanged")
AWAITED = (
    "waits until all containers of pod refund-1 run: what runs in it is looked at before it gets a "
    "credential again"
)


def runs(*images: str, **changes: object) -> PodFacts:
    return pod(**{"all_run": True, "running_images": images or (AGENT,), **changes})


STARTS = pod(phase=PodPhase.PENDING)
RUNNING = running(observe(pods=[runs()]))
STARTING = running(observe(pods=[STARTS]))


def sees(facts: Observation, *pods: PodFacts) -> Observation:
    return judged(replace(facts, pods=pods))


def suspended(facts: Observation, **changes: object) -> Observation:
    return after(asks(facts, state="Suspended", **changes))


def resumed(facts: Observation, *pods: PodFacts, **changes: object) -> Observation:
    return asks(replace(facts, pods=pods), state="Active", **changes)


def noted(facts: Observation) -> str | None:
    bound = facts.task.status.bound_pod
    return None if bound is None else bound.running_images


def restarted(facts: Observation) -> Observation:
    """The same to an operator that has just started: all it knows is the status as it was written."""
    text = facts.task.status.model_dump_json(by_alias=True, exclude_none=True)
    known = AgentTaskStatus.model_validate_json(text)
    return judged(replace(facts, task=replace(facts.task, status=known)))


def test_pod_that_runs_what_it_ran_has_its_task_resumed():
    held = suspended(RUNNING)
    assert noted(held)

    back = resumed(held, runs())

    assert why(back) is IssueReason.RESUMED
    assert noted(after(back)) is None


def test_what_runs_is_written_with_the_suspension_and_at_no_other_time():
    assert noted(RUNNING) is None
    assert noted(after(at(RUNNING, 290))) is None
    held = suspended(RUNNING)
    assert report_of(held, decide(held)).status == held.task.status
    for later in (sees(held, STARTS), sees(held, runs(all_run=False))):
        assert report_of(later, decide(later)).status == held.task.status


@pytest.mark.parametrize("state", ["Suspended", "Active"])
def test_pod_that_runs_other_images_than_before_the_suspension_ends_the_task(state: str):
    held = restarted(suspended(RUNNING))

    changed = asks(replace(held, pods=(runs(OTHER),)), state=state)

    assert finished(changed) == (
        *CHANGED,
        "pod refund-1 does not run the images that it ran when its credential was taken away",
    )


def test_the_same_image_under_another_name_is_the_same():
    held = suspended(RUNNING)

    assert why(resumed(held, runs("mirror.example.com/agent@sha256:aa"))) is IssueReason.RESUMED


def test_image_beside_those_that_ran_is_another_pod():
    assert finished(resumed(suspended(RUNNING), runs(AGENT, OTHER)))[:2] == CHANGED


@pytest.mark.parametrize(
    "pod_now",
    [STARTS, pod(phase=PodPhase.UNKNOWN), runs(phase=PodPhase.PENDING), pod()],
    ids=["starts", "unknown", "pending", "not all containers"],
)
def test_resumed_task_waits_until_its_pod_runs(pod_now: PodFacts):
    waits = resumed(suspended(RUNNING), pod_now)

    assert finished(waits) == ("False", "AwaitingPod", AWAITED)
    assert after(waits).task.status.credentials == []
    assert why(sees(after(waits), runs())) is IssueReason.RESUMED
    assert finished(sees(after(waits), runs(OTHER)))[:2] == CHANGED


def test_where_nothing_ran_at_the_suspension_policy_judges_what_runs_at_the_resumption():
    held = suspended(STARTING)
    assert noted(held) is None

    assert finished(resumed(held, STARTS))[1] == "AwaitingPod"
    back = resumed(held, runs(OTHER))
    assert why(back) is IssueReason.RESUMED
    assert back.judgement is not None
    assert back.judgement.action is PolicyAction.RESUME


def test_policy_about_images_does_not_end_a_task_whose_pod_first_starts():
    waits = resumed(suspended(STARTING), runs(all_run=False))

    assert finished(waits) == ("False", "AwaitingPod", AWAITED)
    assert finished(judged(waits, **FORBIDDEN))[:2] == ("False", "AwaitingPolicy")
    assert finished(judged(resumed(suspended(STARTING), runs()), **FORBIDDEN))[:2] == ("True", "Revoked")


def test_pod_that_waits_for_a_secret_that_was_never_made_is_not_waited_for():
    held = replace(suspended(STARTING), secret=SecretFacts(SecretState.ABSENT))

    assert why(resumed(held, STARTS)) is IssueReason.RESUMED


def test_policy_about_images_does_not_end_a_task_whose_pod_starts_again():
    waits = judged(resumed(suspended(RUNNING), STARTS), **FORBIDDEN)
    assert finished(waits)[:2] == ("False", "AwaitingPolicy")
    assert "until all containers of pod refund-1 run" in finished(waits)[2]
    assert finished(judged(resumed(suspended(RUNNING), runs()), **FORBIDDEN))[:2] == ("True", "Revoked")


def test_change_of_intent_while_suspended_keeps_what_ran():
    held = suspended(suspended(RUNNING), intent={"purpose": "Refund it all", "actions": ["orders:read"]})
    assert noted(held) == noted(suspended(RUNNING))

    assert finished(sees(held, runs(OTHER)))[:2] == CHANGED


@pytest.mark.parametrize("answer", [DOUBT, UNAPPROVED], ids=["doubt", "approval"])
def test_what_ran_when_policy_took_the_credential_has_to_run_to_get_it_again(answer: dict[str, object]):
    held = restarted(after(judged(RUNNING, **answer)))

    assert why(sees(held, runs())) is IssueReason.REISSUED
    assert finished(sees(held, runs(OTHER)))[:2] == CHANGED
    assert finished(sees(held, STARTS))[1] == "AwaitingPod"
    assert finished(resumed(suspended(held), runs(OTHER)))[:2] == CHANGED


def test_pod_that_began_to_run_without_a_credential_is_noted_when_its_task_is_suspended():
    held = after(judged(STARTING, **DOUBT))
    assert noted(held) is None

    assert finished(resumed(suspended(sees(held, runs())), runs(OTHER)))[:2] == CHANGED


def test_next_pod_is_another_one_and_not_held_to_what_ran_in_the_first():
    held = suspended(running(observe(spec=task_spec(workload=ALLOW), pods=[runs()])), workload=ALLOW)

    back = resumed(held, replace(runs(OTHER), name="refund-2", uid=pod(2).uid), workload=ALLOW)

    assert why(back) is IssueReason.RESUMED
