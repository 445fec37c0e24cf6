"""What ends a task is looked at before it is believed, with so many questions at once and no more."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from agentid.api.names import TASK_LABEL
from agentid.cluster.errors import ServerError, TooManyRequestsError
from agentid.cluster.paths import PODS, Resource
from agentid.controller.intake import DELETED, LOOKS_AT_ONCE, Intake
from agentid.controller.world import World
from agentid.watched.facts import Key
from agentid.watched.pauses import LONGEST_RETRY_SECONDS

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY = ("ns", "t")
_NO_POLICIES: Any = None


class _Reads:
    """Answers after a turn of the loop, and counts who waits for an answer meanwhile."""

    def __init__(self, *failures: Exception) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.failures = list(failures)
        self.asked = Counter[str]()
        self.most = 0
        self._now = 0

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        assert (resource, namespace) == (PODS, "ns")
        self.asked[name] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        if self.failures:
            raise self.failures.pop(0)
        return self.pods.get(name)


class _World:
    """A world with pods in it, and what was said to have changed."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.changed: list[Key] = []
        self.world = World(self.changed.append, lambda: _NOW)
        for each in pods:
            self.world.take_pod(each)

    def known(self) -> set[str]:
        record = self.world.record(_KEY)
        return set(record.pods) if record is not None else set()


def _pod(name: str, uid: str | None = None, *, labelled: bool = True) -> dict[str, Any]:
    labels = {TASK_LABEL: "t"} if labelled else {}
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"u-{name}", "resourceVersion": "7"}
    return {"metadata": {**metadata, "labels": labels}, "spec": {}, "status": {"phase": "Running"}}


def _intake(world: _World, reads: _Reads, pauses: list[float]) -> Intake:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return Intake(world.world, _NO_POLICIES, reads, sleep, lambda: 0.0)  # type: ignore[arg-type] - all that is used of Reads


async def test_thousands_of_pods_that_go_at_once_are_asked_for_a_few_at_a_time() -> None:
    pods = [_pod(f"p-{number}") for number in range(5000)]
    world, reads = _World(*pods), _Reads()
    intake = _intake(world, reads, [])

    await asyncio.gather(*(intake.pod(DELETED, each) for each in pods))

    assert reads.most == LOOKS_AT_ONCE
    assert set(reads.asked.values()) == {1}
    assert world.known() == set()


async def test_a_question_without_an_answer_is_asked_again_after_a_growing_pause() -> None:
    world, pauses = _World(_pod("p")), list[float]()
    reads = _Reads(*(ServerError("500") for _ in range(12)))

    await _intake(world, reads, pauses).pod(DELETED, _pod("p"))

    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_RETRY_SECONDS
    assert len(pauses) == 12
    assert world.known() == set()


async def test_an_api_server_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    pauses: list[float] = []
    reads = _Reads(TooManyRequestsError("429", 7.0), TooManyRequestsError("429", 7000.0))

    await _intake(_World(_pod("p")), reads, pauses).pod(DELETED, _pod("p"))

    assert pauses == [7.0, LONGEST_RETRY_SECONDS]


async def test_who_pauses_keeps_nobody_from_asking() -> None:
    reads, waiting = _Reads(*(ServerError("500") for _ in range(LOOKS_AT_ONCE))), asyncio.Event()

    async def sleep(_: float) -> None:
        await waiting.wait()

    pods = [_pod(f"p-{number}") for number in range(LOOKS_AT_ONCE)]
    world = _World(*pods, _pod("last"))
    intake = Intake(world.world, _NO_POLICIES, reads, sleep, lambda: 0.0)  # type: ignore[arg-type] - as above
    async with asyncio.TaskGroup() as group:
        for each in pods:
            group.create_task(intake.pod(DELETED, each))
        await group.create_task(intake.pod(DELETED, _pod("last")))
        assert world.known() == {each["metadata"]["uid"] for each in pods}
        waiting.set()

    assert world.known() == set()


@pytest.mark.parametrize(
    ("found", "known"),
    [(None, set()), (_pod("p", "u-other"), set()), (_pod("p", labelled=False), {"u-p"})],
    ids=["gone", "another of that name", "only its label is gone"],
)
async def test_a_pod_that_is_said_to_be_gone_is_believed_to_be_what_is_found(
    found: dict[str, Any] | None, known: set[str]
) -> None:
    world, reads = _World(_pod("p")), _Reads()
    if found is not None:
        reads.pods["p"] = found

    await _intake(world, reads, []).pod(DELETED, _pod("p"))

    assert world.known() == known
