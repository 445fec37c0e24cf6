"""A change of one task has all looked at whom it concerns: those below, its parent, who waits for a place."""

from typing import Any

import pytest

from agentid.api.agenttask_status import MAX_CHILDREN, MAX_GRANTS
from agentid.controller.records import Key
from agentid.controller.world import World
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
    assert [each.name for each in world.kinship.children("ns", "u-a")] == ["b"]


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
    tasks.put("b", "a")
    world.drop_task(("ns", "b"), "u-b")
    assert world.kinship.children("ns", "u-a") == []
    tasks.put("b", "a", metadata={"uid": "u-b2"})
    tasks.put("b", "a", metadata={"uid": "u-b3"})
    assert [each.uid for each in world.kinship.children("ns", "u-a")] == ["u-b3"]
    assert world.kinship.children("other", "u-a") == []
