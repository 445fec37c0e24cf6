"""Approvals are kept by the task that they are about; each that comes, changes or goes has that looked at."""

from typing import Any

import pytest

from agentid.api.fields import format_time
from agentid.api.spec_hash import hash_of, projection_text
from agentid.controller.approvals import Approvals
from agentid.watched.facts import Key
from tests.unit.lifecycle_facts import NOW, TASK_UID, task_spec

TASK: Key = ("support", "refund-4711")


@pytest.fixture
def told() -> list[Key]:
    return []


@pytest.fixture
def approvals(told: list[Key]) -> Approvals:
    return Approvals(told.append)


def approval(version: int = 1, name: str = "yes", uid: str = "a-1", **spec: object) -> dict[str, Any]:
    text = projection_text(task_spec())
    said = {
        "taskRef": {"name": TASK[1], "uid": TASK_UID},
        "specHash": hash_of(text),
        "intentGeneration": 1,
        "projection": text,
        "decision": "Approve",
        "expiresAt": format_time(NOW),
        "approver": {"username": "erin@example.com", "groups": []},
        **spec,
    }
    metadata = {"namespace": TASK[0], "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": said}


def test_what_is_said_of_a_task_is_found_under_its_name(approvals: Approvals, told: list[Key]) -> None:
    approvals.take(approval())
    approvals.take(approval(2, "no", "a-2", decision="Deny", expiresAt=None))
    approvals.take(approval(3, "other", "a-3", taskRef={"name": "other", "uid": TASK_UID}))
    assert told == [TASK, TASK, ("support", "other")]
    assert sorted(each.name for each in approvals.of(TASK)) == ["no", "yes"]
    assert [each.name for each in approvals.of(("support", "other"))] == ["other"]
    assert approvals.of(("elsewhere", TASK[1])) == []


def test_the_text_is_not_kept(approvals: Approvals) -> None:
    approvals.take(approval())
    (facts,) = approvals.of(TASK)
    assert facts.is_whole
    assert facts.spec is not None
    assert facts.spec.projection == ""


def test_an_older_state_is_ignored_and_the_same_again_makes_no_work(
    approvals: Approvals, told: list[Key]
) -> None:
    approvals.take(approval(5))
    approvals.take(approval(4, comment="older"))
    approvals.take(approval(6))
    assert told == [TASK]
    leaving = approval(7)
    leaving["metadata"]["deletionTimestamp"] = format_time(NOW)
    approvals.take(leaving)
    assert told == [TASK, TASK]
    assert [each.deleting for each in approvals.of(TASK)] == [True]


def test_one_that_is_gone_counts_no_more(approvals: Approvals, told: list[Key]) -> None:
    approvals.take(approval())
    approvals.drop(("support", "yes"), "another")
    assert len(approvals.of(TASK)) == 1
    approvals.drop(("support", "yes"), "a-1")
    assert approvals.of(TASK) == []
    assert told == [TASK, TASK]
    assert approvals.all() == {}


def test_one_of_the_same_name_takes_its_place(approvals: Approvals, told: list[Key]) -> None:
    approvals.take(approval())
    approvals.take(approval(2, uid="a-9", taskRef={"name": "other", "uid": TASK_UID}))
    assert approvals.of(TASK) == []
    assert TASK in told[1:]
    assert [each.name for each in approvals.of(("support", "other"))] == ["yes"]


def test_one_that_cannot_be_read_is_known_of(approvals: Approvals) -> None:
    approvals.take(approval(decision="Perhaps"))
    (facts,) = approvals.of(TASK)
    assert (facts.name, facts.spec) == ("yes", None)
    approvals.take({"metadata": {"namespace": "support", "name": "x"}, "spec": "nothing"})
