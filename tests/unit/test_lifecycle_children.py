"""How many children a task has at once, and what its live steps let it do."""

import random

from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS
from agentid.lifecycle.children import grants, surplus
from agentid.lifecycle.model import TaskFacts
from tests.unit.lifecycle_facts import NOW
from tests.unit.lifecycle_family import STEP, changed, child, condition, parent, with_spec, with_status

ABOVE = parent()


def waiting(task: TaskFacts) -> TaskFacts:
    return with_status(task, start_time=None, deadline=None, conditions=[condition("AwaitingApproval")])


def steps(count: int) -> list[TaskFacts]:
    return [child(ABOVE, number, **STEP) for number in range(2, count + 2)]


def test_as_many_as_allowed_and_the_youngest_waits():
    children = [waiting(child(ABOVE, number)) for number in range(2, MAX_CHILDREN + 3)]
    random.Random(1).shuffle(children)  # noqa: S311 - an order, not a secret
    held = [each for each in children if surplus(each, ABOVE, children, NOW) is not None]
    assert [each.name for each in held] == [f"task-{MAX_CHILDREN + 2}"]
    assert surplus(held[0], ABOVE, children, NOW) == (
        "AgentTask support/task-1 has 64 live children, as many as it may have. It waits until one has ended."
    )


def test_one_that_has_begun_keeps_its_place():
    children = [waiting(child(ABOVE, number)) for number in range(2, MAX_CHILDREN + 2)]
    youngest = child(ABOVE, 900)
    held = [each for each in children if surplus(each, ABOVE, [*children, youngest], NOW) is not None]
    assert surplus(youngest, ABOVE, [*children, youngest], NOW) is None
    assert held == [children[-1]]


def test_those_that_have_ended_take_no_place():
    children = [changed(child(ABOVE, number), deleting=True) for number in range(2, MAX_CHILDREN + 2)]
    late = waiting(child(ABOVE, 900))
    assert surplus(late, ABOVE, [*children, late], NOW) is None


def test_steps_are_counted_for_themselves():
    late = waiting(child(ABOVE, 900, **STEP))
    assert surplus(late, ABOVE, [*steps(MAX_GRANTS - 1), late], NOW) is None
    assert "has 16 live steps, as many as it may have" in str(
        surplus(late, ABOVE, [*steps(MAX_GRANTS), late], NOW)
    )
    assert surplus(waiting(child(ABOVE, 901)), ABOVE, steps(MAX_GRANTS), NOW) is None


def test_a_live_step_is_a_grant():
    (step,) = steps(1)
    (grant,) = grants([step, child(ABOVE, 3)], NOW)
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
        with_spec(step, state="Suspended"),
        with_spec(step, state="Ended"),
        changed(step, deleting=True),
        with_status(step, deadline=NOW),
        with_status(step, conditions=[condition("Suspended")]),
        with_status(step, conditions=[condition("Completed", "True")]),
        with_status(step, conditions=[]),
    ):
        assert grants([dead], NOW) == []


def test_no_more_grants_than_a_status_holds():
    assert [each.name for each in grants(steps(MAX_GRANTS + 3), NOW)] == [
        f"task-{number}" for number in range(2, MAX_GRANTS + 2)
    ]
