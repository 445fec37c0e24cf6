"""No more tasks are active than may be, whoever comes, and who waits gets the next place that is free."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentid.controller.census import Scope
from agentid.controller.packed_task import ACTIVE, PackedTask, Standing
from agentid.controller.places import Places
from agentid.controller.quotas import Quotas, limit_of_namespace
from agentid.controller.world import World
from agentid.lifecycle.decide import decide
from agentid.watched.facts import Key
from tests.unit.lifecycle_facts import NOW, agent, observe, task_spec

_STARTED = {"startTime": "2026-05-31T14:00:00Z"}
_ENDED = {**_STARTED, "conditions": [{"type": "Finished", "status": "True"}]}
_READY = observe(spec=task_spec(workload=None))
"""A task that lacks nothing but a place."""


def _body(name: str, version: int, agent_name: str, status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"agentRef": {"name": agent_name}}, "status": status}


class _Scene:
    """Passes over tasks of one namespace, step by step."""

    def __init__(self, most: int = 2, most_of_agent: int | None = None) -> None:
        self.looked_at: list[Key] = []
        self.most_of_agent = most_of_agent
        self.world = World(lambda _: None, lambda: NOW)
        self.places = Places(self.world.census, self.looked_at.append)
        self.labels: dict[str, str] = {}
        self.quotas = Quotas(self.places, lambda _: self.labels, most)
        self._version = 0

    def put(self, name: str, agent_name: str = "a", **status: Any) -> PackedTask:  # noqa: ANN401 - parts of a status
        self._version += 1
        self.world.take_task(_body(name, self._version, agent_name, status))
        return self.task(name)

    def task(self, name: str) -> PackedTask:
        record = self.world.record(("ns", name))
        assert record is not None
        assert record.task is not None
        return record.task

    def decides(self, name: str, *, denied: bool = False) -> str | None:
        """Observe and decide, as a pass does without a pause between; return why there is no room."""
        task, facts = self.task(name), agent(maxActiveTasks=self.most_of_agent)
        crowded = self.quotas.crowded(task, facts)
        observation = replace(_READY, agent=facts, crowded=crowded)
        self.quotas.decided(
            task, observation, decide(replace(observation, agent=None) if denied else observation)
        )
        return crowded

    def starts(self, name: str, agent_name: str = "a") -> None:
        self.put(name, agent_name, **_STARTED)
        self.quotas.active(("ns", name))
        self.settles(name)

    def ends(self, name: str, agent_name: str = "a") -> None:
        self.put(name, agent_name, **_ENDED)
        self.settles(name)

    def goes(self, name: str) -> None:
        self.world.drop_task(("ns", name), f"u-{name}")
        self.quotas.settle(("ns", name), is_there=False)

    def settles(self, name: str) -> None:
        self.quotas.settle(("ns", name), is_there=True)

    def told(self) -> list[str]:
        """Return who was to be looked at since this was last asked."""
        told = [name for _, name in self.looked_at]
        self.looked_at.clear()
        return told

    def active(self) -> int:
        return self.world.census.count(Scope("ns"), *ACTIVE)


def _full(scene: _Scene) -> None:
    for name in ("one", "two"):
        scene.put(name)
        assert scene.decides(name) is None
        scene.starts(name)


def test_task_beyond_the_limit_waits_and_is_told_which_limit() -> None:
    scene = _Scene()
    _full(scene)
    scene.put("three")
    assert scene.decides("three") == (
        "namespace ns has as many active tasks as it may have at once: 2 (limits.maxActiveTasks of the "
        "chart). Waits until one ends."
    )


def test_tasks_that_are_issued_to_at_the_same_time_do_not_share_the_last_place() -> None:
    scene = _Scene(most=1)
    for name in ("one", "two"):
        scene.put(name)
    assert scene.decides("one") is None
    assert scene.decides("two") is not None


def test_who_waits_longest_gets_the_place_that_becomes_free_and_no_newer_task_does() -> None:
    scene = _Scene()
    _full(scene)
    for name in ("three", "four"):
        scene.put(name)
        scene.decides(name)
        scene.settles(name)
    scene.decides("three")
    assert scene.told() == []
    scene.ends("one")
    assert scene.told() == ["three"]
    scene.put("new")
    assert scene.decides("new") is not None
    assert scene.decides("three") is None
    scene.starts("three")
    assert (scene.active(), scene.told()) == (2, [])
    scene.ends("two")
    assert scene.told() == ["four"]


@pytest.mark.parametrize("how", ["denied meanwhile", "pass failed", "gone"])
def test_place_that_its_task_does_not_take_goes_to_the_next(how: str) -> None:
    scene = _Scene()
    _full(scene)
    for name in ("three", "four"):
        scene.put(name)
        scene.decides(name)
    scene.ends("one")
    assert scene.told() == ["three"]
    if how == "denied meanwhile":
        scene.decides("three", denied=True)
    if how == "gone":
        scene.goes("three")
    else:
        scene.settles("three")
    assert scene.told() == ["four"]
    assert scene.decides("four") is None


def test_task_that_waits_for_room_and_is_then_denied_waits_for_room_no_longer() -> None:
    scene = _Scene()
    _full(scene)
    scene.put("three")
    scene.decides("three")
    scene.decides("three", denied=True)
    scene.ends("one")
    assert scene.told() == []


def test_an_agents_limit_holds_its_own_tasks_back_and_no_others() -> None:
    scene = _Scene(most=10, most_of_agent=1)
    scene.put("one")
    assert scene.decides("one") is None
    scene.starts("one")
    scene.put("two")
    assert scene.decides("two") == (
        "Agent ns/a has as many active tasks as it may have at once: 1 (its spec.maxActiveTasks). "
        "Waits until one ends."
    )
    scene.put("other", "b")
    assert scene.decides("other") is None
    scene.starts("other", "b")
    scene.ends("other", "b")
    assert scene.told() == []
    scene.ends("one")
    assert scene.told() == ["two"]


def test_task_that_is_active_keeps_its_place_whatever_the_limit_is_now() -> None:
    scene = _Scene()
    _full(scene)
    scene.labels["agentid.dev/max-active-tasks"] = "0"
    assert scene.decides("one") is None
    assert scene.active() == 2


def test_label_of_a_namespace_says_its_own_limit() -> None:
    scene = _Scene()
    _full(scene)
    scene.labels["agentid.dev/max-active-tasks"] = "3"
    scene.put("three")
    assert scene.decides("three") is None
    scene.starts("three")
    scene.put("four")
    assert scene.decides("four") == (
        "namespace ns has as many active tasks as it may have at once: 3 (its label "
        "agentid.dev/max-active-tasks). Waits until one ends."
    )


@pytest.mark.parametrize("value", ["", "many", "-1", "1e3", "٣", "99999999"])
def test_label_that_is_no_number_lets_no_task_begin(value: str) -> None:
    limit = limit_of_namespace("ns", {"agentid.dev/max-active-tasks": value}, 10)
    assert limit.most == 0
    assert limit.message == (
        "label agentid.dev/max-active-tasks of namespace ns is not a number. Have the platform team "
        "correct it."
    )


def test_what_was_held_before_a_takeover_is_free_after_it() -> None:
    scene = _Scene(most=1)
    for name in ("one", "two"):
        scene.put(name)
        scene.decides(name)
    scene.places.begin_anew()
    assert scene.decides("two") is None


_WHICH = st.integers(0, 5)


class _AnyHistory(RuleBasedStateMachine):
    """Tasks come, are looked at, start, fail to, end and go, in any order; one may be active at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = _Scene(most=1)
        self.to_look_at: list[str] = []
        self.under_way: list[str] = []
        self.came = 0

    def _told(self) -> None:
        self.to_look_at += [name for name in self.scene.told() if name not in self.to_look_at]

    def _stand(self, *standings: Standing) -> list[str]:
        records = self.scene.world.records()
        return [key[1] for key, each in records if each.task is not None and each.task.standing in standings]

    @rule()
    def comes(self) -> None:
        self.came += 1
        self.scene.put(f"t{self.came}")
        self.to_look_at.append(f"t{self.came}")

    @precondition(lambda self: self.to_look_at)
    @rule(which=_WHICH)
    def is_looked_at(self, which: int) -> None:
        name = self.to_look_at.pop(which % len(self.to_look_at))
        if self.scene.decides(name) is None:
            self.under_way.append(name)
        else:
            self.scene.settles(name)
        self._told()

    @precondition(lambda self: self.under_way)
    @rule(which=_WHICH, fails=st.booleans())
    def pass_ends(self, which: int, *, fails: bool) -> None:
        name = self.under_way.pop(which % len(self.under_way))
        if fails:
            self.scene.settles(name)
            self.to_look_at.append(name)
        else:
            self.scene.starts(name)
        self._told()

    @precondition(lambda self: self._stand(*ACTIVE))
    @rule(which=_WHICH)
    def ends(self, which: int) -> None:
        active = self._stand(*ACTIVE)
        self.scene.ends(active[which % len(active)])
        self._told()

    @precondition(lambda self: self._idle())
    @rule(which=_WHICH)
    def goes(self, which: int) -> None:
        idle = self._idle()
        name = idle[which % len(idle)]
        self.to_look_at = [each for each in self.to_look_at if each != name]
        self.scene.goes(name)
        self._told()

    def _idle(self) -> list[str]:
        return [each for each in self._stand(*Standing) if each not in self.under_way]

    @invariant()
    def no_more_than_may_be(self) -> None:
        assert self.scene.active() <= 1

    @invariant()
    def nobody_waits_beside_a_free_place(self) -> None:
        waiting = set(self._stand(Standing.WAITING))
        if waiting and not self.under_way and not self.to_look_at:
            assert self.scene.active() == 1


def test_in_any_history_the_limit_holds_and_nobody_waits_for_nothing() -> None:
    run_state_machine_as_test(_AnyHistory)
