"""The tasks that one stands among are those in the world; that one above it is gone is looked at first."""

from typing import Any

import pytest

from agentid.api.fields import format_time
from agentid.cluster.paths import PODS, TASKS, Resource
from agentid.controller.families import Families
from agentid.controller.world import World
from agentid.lifecycle.lineage import delegation
from agentid.lifecycle.model import Lineage, TaskFacts
from tests.unit.lifecycle_facts import NOW
from tests.unit.lifecycle_family import STEP, child, granted, parent, with_status


class Reads:
    """What the API server has, and what was asked."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        assert (resource, namespace) == (TASKS, "support")
        self.asked.append(name)
        return self.there.get(name)


class Scene:
    """A world with what watches showed, and an API server with what there is."""

    def __init__(self) -> None:
        self.world = World(lambda _: None, lambda: NOW)
        self.reads = Reads()
        self.families = Families(self.world, self.reads)  # type: ignore[arg-type] - all that is used of Reads

    def see(self, *tasks: TaskFacts) -> None:
        for each in tasks:
            self.world.take_task(body(each))


def body(task: TaskFacts) -> dict[str, Any]:
    assert task.spec is not None
    metadata = {"namespace": task.namespace, "name": task.name, "uid": task.uid, "resourceVersion": "7"}
    return {
        "metadata": metadata | {"creationTimestamp": format_time(task.created), "generation": 1},
        "spec": task.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "status": task.status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


@pytest.fixture
def scene() -> Scene:
    return Scene()


TOP = parent()
CHILD = child(TOP, 2)
GRANDCHILD = child(CHILD, 3)
FOUND_GOOD = with_status(CHILD, delegation=delegation(CHILD, Lineage((TOP,))))


async def test_all_above_are_found_and_all_beside(scene: Scene) -> None:
    beside = child(CHILD, 4)
    scene.see(TOP, CHILD, GRANDCHILD, beside)
    family = await scene.families.of(GRANDCHILD)
    assert [each.name for each in family.lineage.ancestors] == ["task-2", "task-1"]
    assert family.lineage.flaw is None
    assert family.ahead == 0
    assert (await scene.families.of(beside)).ahead == 1
    assert (family.steps, family.parents_pod, scene.reads.asked) == ((), None, [])


async def test_its_own_steps_are_those_that_have_begun(scene: Scene) -> None:
    begun = granted(child(TOP, 2, **STEP))
    waits = with_status(child(TOP, 3, **STEP), start_time=None)
    scene.see(TOP, begun, waits, child(TOP, 4))
    family = await scene.families.of(TOP)
    assert [each.name for each in family.steps] == ["task-2"]
    assert family.ahead == 0


async def test_a_step_is_done_in_its_parents_pod(scene: Scene) -> None:
    step = child(TOP, 2, **STEP)
    scene.see(TOP, step)
    assert (await scene.families.of(step)).parents_pod is None
    bound = TOP.status.bound_pod
    assert bound is not None
    metadata = {"namespace": "support", "name": bound.name, "uid": bound.uid, "resourceVersion": "1"}
    metadata["labels"] = {"agentid.dev/task": TOP.name}  # type: ignore[assignment]
    scene.world.take_pod({"kind": PODS.kind, "metadata": metadata, "spec": {}, "status": {}})
    found = (await scene.families.of(step)).parents_pod
    assert found is not None
    assert found.uid == bound.uid
    assert (await scene.families.of(child(TOP, 5))).parents_pod is None


async def test_a_parent_that_no_watch_shows_is_looked_for_before_its_child_ends(scene: Scene) -> None:
    scene.see(FOUND_GOOD)
    scene.reads.there[TOP.name] = body(TOP)
    family = await scene.families.of(FOUND_GOOD)
    assert [each.name for each in family.lineage.ancestors] == ["task-1"]
    assert scene.reads.asked == ["task-1"]


async def test_a_parent_that_is_gone_is_believed_to_be_after_one_look(scene: Scene) -> None:
    scene.see(FOUND_GOOD)
    family = await scene.families.of(FOUND_GOOD)
    assert "does not exist" in str(family.lineage.flaw)
    assert scene.reads.asked == ["task-1"]


async def test_two_above_that_no_watch_shows_are_both_looked_for(scene: Scene) -> None:
    task = with_status(GRANDCHILD, delegation=delegation(GRANDCHILD, Lineage((CHILD, TOP))))
    scene.reads.there |= {TOP.name: body(TOP), CHILD.name: body(CHILD)}
    family = await scene.families.of(task)
    assert [each.name for each in family.lineage.ancestors] == ["task-2", "task-1"]
    assert scene.reads.asked == ["task-2", "task-1"]


async def test_for_a_child_that_never_was_one_nothing_is_asked(scene: Scene) -> None:
    assert (await scene.families.of(CHILD)).lineage.flaw is not None
    assert scene.reads.asked == []
