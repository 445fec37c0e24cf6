"""How many children a task has at once, and what its live steps let it do."""

import random

import pytest

from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS, Grant
from agentid.lifecycle.children import grants, is_rival, limit_of, rank, surplus
from agentid.lifecycle.lineage import delegation
from agentid.lifecycle.model import Family, Lineage, TaskFacts
from tests.unit.lifecycle_facts import NOW
from tests.unit.lifecycle_family import (
    STEP,
    as_child,
    changed,
    child,
    condition,
    granted,
    parent,
    with_spec,
    with_status,
)

ABOVE = parent()


def waiting(task: TaskFacts) -> TaskFacts:
    return with_status(task, start_time=None, deadline=None, conditions=[condition("AwaitingApproval")])


def steps(count: int) -> list[TaskFacts]:
    return [granted(child(ABOVE, number, **STEP)) for number in range(2, count + 2)]


def crowd(task: TaskFacts, children: list[TaskFacts]) -> str | None:
    own, others = as_child(task), [as_child(each) for each in children]
    ahead = sum(rank(each) < rank(own) for each in others if is_rival(each) and each.is_step == own.is_step)
    return surplus(task, Family(Lineage((ABOVE,)), ahead))


def given(*children: TaskFacts, of: TaskFacts = ABOVE) -> list[Grant]:
    return grants(of, Family(steps=children), NOW)


def test_as_many_as_allowed_and_the_youngest_waits():
    children = [waiting(child(ABOVE, number)) for number in range(2, MAX_CHILDREN + 3)]
    random.Random(1).shuffle(children)  # noqa: S311 - an order, not a secret
    held = [each for each in children if crowd(each, children) is not None]
    assert [each.name for each in held] == [f"task-{MAX_CHILDREN + 2}"]
    assert crowd(held[0], children) == (
        "AgentTask support/task-1 has 64 live children, as many as it may have. It waits until one has ended."
    )


def test_one_that_has_begun_keeps_its_place():
    children = [waiting(child(ABOVE, number)) for number in range(2, MAX_CHILDREN + 2)]
    youngest = child(ABOVE, 900)
    held = [each for each in children if crowd(each, [*children, youngest]) is not None]
    assert crowd(youngest, [*children, youngest]) is None
    assert held == [children[-1]]


def test_those_that_have_ended_take_no_place():
    children = [changed(child(ABOVE, number), deleting=True) for number in range(2, MAX_CHILDREN + 2)]
    late = waiting(child(ABOVE, 900))
    assert crowd(late, [*children, late]) is None


def test_those_that_were_never_found_good_take_no_place():
    late = waiting(child(ABOVE, 900))
    looked_at = [with_status(waiting(child(ABOVE, n)), observed_generation=1) for n in range(2, 70)]
    assert crowd(late, looked_at) is None
    found = [with_status(each, delegation=delegation(each, Lineage((ABOVE,)))) for each in looked_at]
    assert crowd(late, found) is not None
    assert crowd(late, [with_status(each, start_time=NOW) for each in looked_at]) is not None
    # Of those that nobody looked at yet it is not known: two at once must not both have the last place.
    assert crowd(late, [with_status(each, observed_generation=None) for each in looked_at]) is not None


def test_steps_are_counted_for_themselves():
    late = waiting(child(ABOVE, 900, **STEP))
    assert crowd(late, [*steps(MAX_GRANTS - 1), late]) is None
    assert "has 16 live steps, as many as it may have" in str(crowd(late, [*steps(MAX_GRANTS), late]))
    other = waiting(child(ABOVE, 901))
    assert crowd(other, [*steps(MAX_GRANTS), other]) is None


def test_a_task_without_a_parent_has_no_rivals():
    assert surplus(ABOVE, Family()) is None
    assert surplus(ABOVE, Family(ahead=limit_of(is_step=False))) is None


def test_a_live_step_is_a_grant():
    (step,) = steps(1)
    (grant,) = given(step, child(ABOVE, 3))
    assert (grant.name, grant.uid, grant.actions, grant.resources) == (
        step.name,
        step.uid,
        ["refunds:create"],
        ["order/4711"],
    )
    assert grant.until == step.status.deadline


def test_a_step_that_waits_is_suspended_or_over_grants_nothing():
    (step,) = steps(1)
    for dead in (
        waiting(step),
        child(ABOVE, **STEP),
        with_spec(step, state="Suspended"),
        with_spec(step, state="Ended"),
        changed(step, deleting=True),
        with_status(step, deadline=NOW),
        with_status(step, conditions=[condition("Suspended")]),
        with_status(step, conditions=[condition("Completed", "True")]),
        with_status(step, conditions=[]),
    ):
        assert given(dead) == []


@pytest.mark.parametrize(
    "intent",
    [
        {"purpose": "Refund", "actions": ["mail:send"], "resources": ["order/4711"]},
        {"purpose": "Refund more", "actions": ["refunds:create"], "resources": ["order/4711"]},
    ],
)
def test_a_step_whose_intent_was_changed_grants_nothing_before_that_is_decided(intent: dict[str, object]):
    (step,) = steps(1)
    assert given(step)
    assert given(with_spec(step, intent=intent)) == []


def test_a_step_that_is_too_wide_for_its_parent_now_grants_nothing():
    (step,) = steps(1)
    narrowed = with_spec(
        ABOVE, intent={"purpose": "Triage", "actions": ["orders:read"], "resources": ["order/4711"]}
    )
    assert given(step, of=ABOVE)
    assert given(step, of=narrowed) == []


def test_no_more_grants_than_a_status_holds():
    assert [each.name for each in given(*steps(MAX_GRANTS + 3))] == [
        f"task-{number}" for number in range(2, MAX_GRANTS + 2)
    ]
