"""A task made from a template: who answers for it, whose pods it takes, and how long it stays."""

from dataclasses import replace

import pytest

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.reasons import WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import (
    Observation,
    PolicyAction,
    SecretFacts,
    SecretState,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.pods import mismatch
from agentid.policy.judging import question_about
from agentid.policy.question import Environment
from tests.unit.lifecycle_facts import (
    JOB,
    JOB_UID,
    after,
    at,
    judged,
    observe,
    pod,
    report_of,
    task_spec,
    uid,
)

OPERATOR = "system:serviceaccount:agentid-system:agentid"
AUTHOR = {"username": "alice@example.com", "groups": ["support"]}
REF = {"name": "nightly", "uid": uid(500), "author": AUTHOR}
ENVIRONMENT = Environment("prod.example.com", {}, {})


def spec_of(**changes: object) -> AgentTaskSpec:
    requester = {"username": OPERATOR, "groups": ["system:serviceaccounts"], "podUID": "p"}
    return task_spec(**{"workload": JOB, "requester": requester, "templateRef": REF, **changes})


MADE = observe(spec=spec_of(ttlSecondsAfterFinished=60), pods=[pod(template="nightly")])


def test_author_is_asked_about_in_place_of_the_operator() -> None:
    asker = question_about(MADE, PolicyAction.ISSUE, ENVIRONMENT).requester
    assert (asker.username, asker.groups) == ("alice@example.com", ("support",))
    event = report_of(MADE, decide(MADE)).event
    assert event is not None
    assert "asked by alice@example.com for" in event.note


def test_whoever_changes_the_intent_is_asked_about_and_not_the_author() -> None:
    changed = spec_of(requester={"username": "mallory", "groups": ["x"], "intentGeneration": 3})
    asker = question_about(observe(spec=changed, pods=[pod()]), PolicyAction.ISSUE, ENVIRONMENT).requester
    assert (asker.username, asker.groups) == ("mallory", ("x",))


def test_nobody_is_taken_for_the_author_where_nobody_is_known_to_have_asked() -> None:
    assert spec_of(requester=None).asker is None


def test_whose_template_it_is_of_is_part_of_what_was_decided_on() -> None:
    other = {**REF, "author": {"username": "mallory", "groups": ["support"]}}
    assert spec_hash(spec_of(templateRef=other)) != spec_hash(spec_of())
    assert spec_hash(spec_of(templateRef=None)) != spec_hash(spec_of())


@pytest.mark.parametrize("ref", [None, {**REF, "name": "other"}], ids=["no template", "another template"])
def test_pod_that_asks_for_a_template_gets_no_other_task(ref: dict[str, object] | None) -> None:
    facts = observe(spec=spec_of(templateRef=ref), pods=[pod(template="nightly")])
    said = mismatch(facts, facts.pods[0])
    assert said == (
        "pod refund-1 asks for a task made from AgentTaskTemplate nightly, which this one was not. Delete "
        "it, or give the pod's Job another name."
    )
    status = report_of(facts, decide(facts)).status
    assert [each.reason for each in status.conditions if each.type == "Finished"] == [WaitReason.POD_MISMATCH]


def test_pod_without_the_label_of_a_template_may_work_for_a_templates_task() -> None:
    facts = observe(spec=spec_of(), pods=[pod()])
    assert mismatch(facts, facts.pods[0]) is None


def _over(observation: Observation) -> Observation:
    """Return the same an hour after its end, with nothing left to clean up."""
    ended = after(judged(replace(after(observation), agent=None)))
    assert ended.task.status.end_time is not None
    return at(ended, 3600, pods=(), secret=SecretFacts(SecretState.ABSENT))


@pytest.mark.parametrize(
    ("workload", "goes"),
    [
        (WorkloadFacts(WorkloadState.LIVE, JOB_UID), False),
        (WorkloadFacts(WorkloadState.SUCCEEDED, JOB_UID), True),
        (WorkloadFacts(WorkloadState.FAILED, JOB_UID), True),
        (WorkloadFacts(WorkloadState.NOT_FOUND), True),
        (WorkloadFacts(WorkloadState.LIVE, uid(77)), True),
    ],
    ids=["lives", "succeeded", "failed", "gone", "another of the name"],
)
def test_task_that_is_over_stays_as_long_as_its_job_lives(workload: WorkloadFacts, *, goes: bool) -> None:
    late = replace(_over(MADE), workload=workload)
    assert decide(late).delete_task is goes


def test_other_tasks_of_jobs_go_when_their_time_is_over() -> None:
    plain = observe(spec=spec_of(ttlSecondsAfterFinished=60, templateRef=None), pods=[pod()])
    assert decide(_over(plain)).delete_task
