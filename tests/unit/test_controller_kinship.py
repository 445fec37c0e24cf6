"""A change of one task has all looked at whom it concerns: those below, its parent, who waits for a place."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS
from agentid.controller.world import World
from agentid.lifecycle.children import is_rival, rank
from agentid.watched.facts import Key
from tests.unit.lifecycle_facts import NOW

STARTED = {"startTime": "2026-05-31T14:00:00Z", "deadline": "2026-05-31T15:00:00Z", "specHash": "v1:0"}


class Told(list[Key]):
    """Which names were told, and none any more once asked."""

    def taken(self) -> set[str]:
        told = {name for _, name in self}
        self.clear()
        return told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def world(told: Told) -> World:
    return World(told.append, lambda: NOW)


class Tasks:
    """Tasks as a watch shows them, each version newer than all before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.version = 0

    def put(self, name: str, of: str | None = None, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a body
        self.version += 1
        parent = {"parentRef": {"name": of, "uid": f"u-{of}"}} if of else {}
        metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": str(self.version)}
        body = {
            "metadata": metadata | parts.get("metadata", {}),
            "spec": {"agentRef": {"name": "a"}, **parent, **parts.get("spec", {})},
            "status": parts.get("status", {}),
        }
        self.world.take_task(body)
        return body


@pytest.fixture
def tasks(world: World) -> Tasks:
    return Tasks(world)


STEP = {"credential": {"mode": "None"}}


def test_those_below_are_looked_at_however_deep(tasks: Tasks, told: Told) -> None:
    for name, of in (("a", None), ("b", "a"), ("c", "b"), ("d", "c"), ("other", None), ("e", "other")):
        tasks.put(name, of)
    for change in (
        {"spec": {"state": "Suspended"}},
        {"spec": {"intent": {"purpose": "x"}}},
        {"status": STARTED},
    ):
        told.taken()
        tasks.put("a", **change)
        assert told.taken() == {"a", "b", "c", "d"}


def test_what_does_not_concern_them_makes_no_work(tasks: Tasks, told: Told) -> None:
    tasks.put("a", status=STARTED)
    tasks.put("b", "a")
    told.taken()
    tasks.put("a", status={**STARTED, "credentials": [{"serial": "2"}], "observedGeneration": 7})
    assert told.taken() == {"a"}
    tasks.put("b", "a", status=STARTED)
    assert told.taken() == {"b"}


def test_our_own_write_of_an_end_reaches_those_below(tasks: Tasks, world: World, told: Told) -> None:
    body = tasks.put("a", status=STARTED)
    tasks.put("b", "a")
    record = world.record(("ns", "a"))
    assert record is not None
    told.taken()
    world.begin_own_write(record)
    ended = {"conditions": [{"type": "Finished", "status": "True", "reason": "Completed"}]}
    body["metadata"]["resourceVersion"] = "1000"
    world.end_own_write(record, {**body, "status": ended})
    assert told.taken() == {"b"}


def test_a_parent_that_goes_and_one_that_comes_later_are_told_of(
    tasks: Tasks, world: World, told: Told
) -> None:
    tasks.put("b", "a")
    tasks.put("c", "b")
    told.taken()
    tasks.put("a")
    assert told.taken() == {"a", "b", "c"}
    world.drop_task(("ns", "a"), "u-a")
    assert told.taken() == {"a", "b", "c"}


def test_a_circle_ends(tasks: Tasks, told: Told) -> None:
    tasks.put("a", "b")
    tasks.put("b", "a")
    tasks.put("self", "self")
    told.taken()
    tasks.put("a", "b", spec={"state": "Suspended"})
    assert told.taken() == {"a", "b"}
    tasks.put("self", "self", spec={"state": "Suspended"})
    assert told.taken() == {"self"}


def test_a_step_concerns_its_parent_and_another_child_does_not(
    tasks: Tasks, world: World, told: Told
) -> None:
    tasks.put("a")
    told.taken()
    tasks.put("b", "a")
    assert told.taken() == {"b"}
    tasks.put("s", "a", spec=STEP)
    assert told.taken() == {"a", "s"}
    running = {"conditions": [{"type": "Granted", "status": "True", "reason": "Issued"}], **STARTED}
    tasks.put("s", "a", spec=STEP, status=running)
    assert told.taken() == {"a", "s"}
    tasks.put("s", "a", spec=STEP, status={**running, "observedGeneration": 3})
    assert told.taken() == {"s"}
    world.drop_task(("ns", "s"), "u-s")
    assert told.taken() == {"a", "s"}


def test_a_change_of_a_pod_concerns_the_steps_that_are_done_in_it_and_no_other_child(
    tasks: Tasks, world: World, told: Told
) -> None:
    for name, of, parts in (
        ("a", None, {}),
        ("b", "a", {"status": STARTED}),
        ("s", "a", {"spec": STEP, "status": STARTED}),
        ("new", "a", {"spec": STEP}),
        ("other", None, {}),
    ):
        tasks.put(name, of, **parts)
    told.taken()
    metadata = {"name": "p", "namespace": "ns", "uid": "u-p", "labels": {"agentid.dev/task": "a"}}
    for version, phase, concerned in (
        (1, "Pending", {"a", "s"}),
        (2, "Pending", set()),
        (3, "Running", {"a", "s"}),
    ):
        seen = metadata | {"resourceVersion": str(version)}
        world.take_pod({"metadata": seen, "spec": {}, "status": {"phase": phase}})
        assert told.taken() == concerned
    world.drop_pod("u-p")
    assert told.taken() == {"a", "s"}


@pytest.mark.parametrize(("spec", "limit"), [({}, MAX_CHILDREN), (STEP, MAX_GRANTS)])
def test_a_place_that_is_free_goes_to_those_that_waited_longest(
    tasks: Tasks, told: Told, spec: dict[str, Any], limit: int
) -> None:
    names = [f"c-{number:03}" for number in range(limit + 20)]
    for number, name in enumerate(names):
        created = {"creationTimestamp": f"2026-05-31T14:{number // 60:02}:{number % 60:02}Z"}
        status = STARTED if number < limit else {}
        tasks.put(name, "a", metadata=created, spec=spec, status=status)
    told.taken()
    tasks.put(names[3], "a", spec={**spec, "state": "Ended"}, status=STARTED)
    assert told.taken() - {"a"} == {names[3], names[limit]}


def test_what_is_gone_is_no_child(tasks: Tasks, world: World) -> None:
    granted = {"spec": STEP, "status": STARTED}
    tasks.put("b", "a", **granted)
    world.drop_task(("ns", "b"), "u-b")
    assert world.kinship.steps("ns", "u-a") == []
    tasks.put("b", "a", metadata={"uid": "u-b2"}, **granted)
    tasks.put("b", "a", metadata={"uid": "u-b3"}, **granted)
    assert [each.uid for each in world.kinship.steps("ns", "u-a")] == ["u-b3"]
    assert world.kinship.steps("other", "u-a") == []


def test_those_that_are_over_are_not_looked_at_for_what_is_above_them(tasks: Tasks, told: Told) -> None:
    over = {"conditions": [{"type": "Finished", "status": "True", "reason": "Denied"}]}
    tasks.put("a")
    tasks.put("b", "a", status=over)
    tasks.put("c", "b")
    told.taken()
    tasks.put("a", spec={"state": "Suspended"})
    assert told.taken() == {"a", "c"}


REFUSED = {"observedGeneration": 1}
FOUND_GOOD = {**REFUSED, "delegation": {"chain": [{"uid": "u-a"}]}}


def test_strangers_that_name_a_task_as_their_parent_take_no_childs_place(tasks: Tasks, world: World) -> None:
    names = [f"stranger-{number:03}" for number in range(MAX_CHILDREN)]
    for name in names:
        tasks.put(name, "a", metadata={"creationTimestamp": "2026-05-31T13:00:00Z"})
    tasks.put("own", "a", metadata={"creationTimestamp": "2026-05-31T14:00:00Z"})
    assert world.kinship.ahead("ns", "u-a", "u-own") == MAX_CHILDREN
    for name in names:
        tasks.put(name, "a", metadata={"creationTimestamp": "2026-05-31T13:00:00Z"}, status=REFUSED)
    assert world.kinship.ahead("ns", "u-a", "u-own") == 0


def test_who_waits_for_a_place_is_looked_at_once_one_before_it_was_refused(tasks: Tasks, told: Told) -> None:
    for number in range(MAX_CHILDREN):
        tasks.put(f"c-{number:03}", "a", status=STARTED if number else {})
    tasks.put("own", "a", status=FOUND_GOOD)
    told.taken()
    tasks.put("c-000", "a", status=REFUSED)
    assert told.taken() == {"c-000", "own"}


def with_places(world: World) -> set[str]:
    """Which steps of the task `a` have a place, found by looking through all of them."""
    records = [world.record(("ns", f"s-{number:02}")) for number in range(MAX_GRANTS + 5)]
    steps = [each.task for each in records if each is not None and each.task is not None]
    rivals = sorted((rank(each.child), each.name) for each in steps if each.child and is_rival(each.child))
    for each in steps:
        assert each.child is not None
        before = sum(place < rank(each.child) for place, _ in rivals)
        assert world.kinship.ahead("ns", "u-a", each.uid) == before
    assert {each.name for each in world.kinship.steps("ns", "u-a")} == {
        name for (waits, *_), name in rivals if not waits
    }
    return {name for _, name in rivals[:MAX_GRANTS]}


@settings(max_examples=60)
@given(st.data())
def test_in_any_history_a_child_knows_its_place_and_is_told_when_it_has_one(data: st.DataObject) -> None:
    told = Told()
    world = World(told.append, lambda: NOW)
    tasks = Tasks(world)
    statuses = st.sampled_from([{}, STARTED, STARTED, REFUSED, FOUND_GOOD, FOUND_GOOD])
    for number in range(MAX_GRANTS + 5):
        tasks.put(f"s-{number:02}", "a", spec=STEP, status=data.draw(statuses))
    for _ in range(data.draw(st.integers(1, 8))):
        before = with_places(world)
        told.taken()
        name = f"s-{data.draw(st.integers(0, MAX_GRANTS + 4)):02}"
        if data.draw(st.sampled_from([True, False, False])):
            world.drop_task(("ns", name), f"u-{name}")
        else:
            state = data.draw(st.sampled_from(["Active", "Active", "Ended"]))
            tasks.put(name, "a", spec={**STEP, "state": state}, status=data.draw(statuses))
        assert with_places(world) - before - {name} <= told.taken()
