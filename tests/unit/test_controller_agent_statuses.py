"""An Agent's status tells how many tasks it has, in few writes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agentid.api.fields import Model
from agentid.cluster.errors import ApiAnswerError, ConflictError, ServerError
from agentid.cluster.paths import AGENTS, Resource
from agentid.cluster.statuses import StatusWrites
from agentid.controller.agent_statuses import PAUSE_SECONDS, AgentStatuses
from agentid.controller.world import World

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_LIVE = {"startTime": "2026-05-31T14:00:00Z", "credentials": [{}]}
_PAUSED = {"startTime": "2026-05-31T14:00:00Z"}
_OVER = {**_PAUSED, "conditions": [{"type": "Finished", "status": "True"}]}


class _Writes(StatusWrites):
    """Keeps what is written; fails where it is told to."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, int, dict[str, Any]]] = []
        self.fails: ApiAnswerError | None = None

    async def write_status(  # noqa: PLR0917 - its signature
        self, resource: Resource, namespace: str | None, name: str, uid: str, version: int, status: Model
    ) -> None:
        assert (resource, namespace) == (AGENTS, "ns")
        self.written.append((name, uid, version, status.model_dump(mode="json", by_alias=True)))
        if self.fails is not None:
            raise self.fails


class _Scene:
    def __init__(self) -> None:
        self.world, self.writes, self.slept = World(lambda _: None, lambda: _NOW), _Writes(), list[float]()
        self.statuses = AgentStatuses(self.world, self.writes, leads=lambda: True, sleep=self._sleep)
        self._version = 0

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def agent(self, name: str = "a", status: dict[str, Any] | None = None) -> None:
        self._version += 1
        metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "generation": 3}
        body = {"metadata": metadata | {"resourceVersion": str(self._version)}, "spec": {}}
        self.world.agents.take(body | ({} if status is None else {"status": status}))

    def task(self, name: str, status: dict[str, Any]) -> None:
        self._version += 1
        metadata = {
            "name": name,
            "namespace": "ns",
            "uid": f"u-{name}",
            "resourceVersion": str(self._version),
        }
        self.world.take_task({"metadata": metadata, "spec": {"agentRef": {"name": "a"}}, "status": status})


async def test_status_counts_tasks_by_how_they_stand() -> None:
    scene = _Scene()
    scene.agent()
    for name, status in (("w", {}), ("l", _LIVE), ("p", _PAUSED), ("o", _OVER), ("l2", {})):
        scene.task(name, status)
    scene.task("l2", _LIVE)
    scene.task("gone", _LIVE)
    scene.world.drop_task(("ns", "gone"), "u-gone")
    await scene.statuses.once()
    ((name, uid, version, status),) = scene.writes.written
    assert (name, uid, version) == ("a", "u-a", 1)
    assert status == {"observedGeneration": 3, "tasks": {"waiting": 1, "live": 3, "recent": 1}}


async def test_many_changes_are_one_write_and_none_is_none() -> None:
    scene = _Scene()
    scene.agent()
    for number in range(1000):
        scene.task(f"t{number}", {})
        scene.task(f"t{number}", _LIVE)
    await scene.statuses.once()
    assert len(scene.writes.written) == 1
    scene.agent(status=scene.writes.written[0][3])
    await scene.statuses.once()
    assert len(scene.writes.written) == 1


async def test_writes_of_a_round_are_apart() -> None:
    scene = _Scene()
    for name in "abc":
        scene.agent(name)
    await scene.statuses.once()
    assert scene.slept == [PAUSE_SECONDS] * 3


@pytest.mark.parametrize(
    "error", [ConflictError("changed"), ServerError("down")], ids=["conflict", "failure"]
)
async def test_write_that_fails_keeps_no_other_from_being_made_and_is_made_again(
    error: ApiAnswerError,
) -> None:
    scene = _Scene()
    scene.agent("a")
    scene.agent("b")
    scene.writes.fails = error
    await scene.statuses.once()
    assert [each[0] for each in scene.writes.written] == ["a", "b"]
    scene.writes.fails = None
    await scene.statuses.once()
    assert [each[0] for each in scene.writes.written] == ["a", "b", "a", "b"]
