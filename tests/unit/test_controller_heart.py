"""The heartbeat: once a second in each namespace, by the leader only, and no trouble to anything else."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
from aiohttp import web

from agentid.api.agenttask import AgentTaskSpec, DesiredState
from agentid.api.names import HEARTBEAT
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ForbiddenError, ServerError
from agentid.cluster.heartbeats import Heartbeats, heartbeat
from agentid.controller.errors import NotLeadingError
from agentid.controller.heart import AT_ONCE, BEAT_SECONDS, Heart
from agentid.controller.settings import Settings
from agentid.controller.world import World
from agentid.gate.known_task import KnownTask
from agentid.watched.facts import read
from agentid.watched.heartbeat import is_heartbeat
from tests.unit.plain_server import serving

_START = datetime(2026, 5, 31, 14, tzinfo=UTC)
OPERATOR = "system:serviceaccount:agentid-system:agentid"


class _Beats(Heartbeats):
    """Keeps what is written and when; fails, or gets no answer, where it is told to."""

    def __init__(self) -> None:
        self.written: list[tuple[str, datetime]] = []
        self.fails: dict[str, Exception] = {}
        self.takes_seconds: dict[str, float] = {}
        self.time = _Time()
        self.under_way = self.most_under_way = 0

    async def beat(self, namespace: str, at: datetime) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.time.sleep(self.takes_seconds.get(namespace, 0.0))
        self.under_way -= 1
        if (error := self.fails.get(namespace)) is not None:
            raise error
        self.written.append((namespace, at))


class _Time:
    """A clock that goes on when everybody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return _START + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        event = asyncio.Event()
        self._sleepers.append((self.seconds + seconds, event))
        await event.wait()

    async def run_until(self, seconds: float) -> None:
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            due = min((at for at, _ in self._sleepers), default=seconds + 1)
            if due > seconds:
                self.seconds = seconds
                return
            self.seconds = due
            for at, event in [each for each in self._sleepers if each[0] <= due]:
                self._sleepers.remove((at, event))
                event.set()


class _Scene:
    def __init__(self, *namespaces: str) -> None:
        self.beats, self.leads = _Beats(), True
        time = self.time = self.beats.time
        self.heart = Heart(
            self.beats,
            namespaces,
            leads=lambda: self.leads,
            now=time.now,
            elapsed=lambda: time.seconds,
            sleep=time.sleep,
        )

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.heart.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self._running.done(), "it goes on whatever happens"
        self._running.cancel()

    def beats_in(self, namespace: str) -> list[float]:
        return [(at - _START).total_seconds() for each, at in self.beats.written if each == namespace]


async def test_it_beats_once_a_second_in_each_namespace_one_after_the_other() -> None:
    async with _Scene("a", "b") as scene:
        await scene.time.run_until(3.9)

    assert scene.beats_in("a") == [0.0, 1.0, 2.0, 3.0]
    assert scene.beats_in("b") == [0.5, 1.5, 2.5, 3.5]


async def test_a_standby_has_none_and_begins_when_it_leads() -> None:
    async with _Scene("a") as scene:
        scene.leads = False
        await scene.time.run_until(2.5)
        assert scene.beats.written == []
        assert scene.heart.age() == 0.0
        scene.leads = True
        await scene.time.run_until(3.5)

    assert scene.beats_in("a") == [3.0]


@pytest.mark.parametrize(
    "error", [ServerError("gone"), ForbiddenError("no"), NotLeadingError("late"), ValueError("not JSON")]
)
async def test_what_fails_is_tried_again_and_stops_nothing(error: Exception) -> None:
    async with _Scene("a", "b") as scene:
        scene.beats.fails["a"] = error
        await scene.time.run_until(3.9)
        assert scene.heart.age() == pytest.approx(3.9)
        del scene.beats.fails["a"]
        await scene.time.run_until(4.9)
        assert scene.heart.age() < BEAT_SECONDS

    assert scene.beats_in("a") == [4.0]
    assert len(scene.beats_in("b")) == 5


async def test_a_failure_is_told_once_and_so_is_that_it_is_over() -> None:
    async with _Scene("a") as scene:
        with structlog.testing.capture_logs() as logs:
            scene.beats.fails["a"] = ServerError("gone")
            await scene.time.run_until(5.5)
            del scene.beats.fails["a"]
            await scene.time.run_until(8.5)

    assert [each["event"] for each in logs] == ["heartbeat not written", "heartbeat written again"]


async def test_where_one_gets_no_answer_others_go_on_and_it_is_not_written_twice_at_once() -> None:
    async with _Scene("a", "b") as scene:
        scene.beats.takes_seconds["a"] = 2.5
        await scene.time.run_until(5.9)

    assert scene.beats_in("a") == [0.0, 2.5]
    assert len(scene.beats_in("b")) == 6


async def test_however_many_namespaces_few_are_under_way() -> None:
    names = [f"n{number}" for number in range(100)]
    async with _Scene(*names) as scene:
        scene.beats.takes_seconds = dict.fromkeys(names, 60.0)
        await scene.time.run_until(10.0)

    assert scene.beats.most_under_way == AT_ONCE


async def test_none_is_wanted_and_the_operator_goes_on() -> None:
    async with _Scene() as scene:
        await scene.time.run_until(5.0)

    assert scene.beats.written == []
    assert scene.heart.age() == 0.0


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"heartbeat": True}, ("agentid-system",)),
        ({"heartbeat": True, "watch_namespaces": ["a", "b"]}, ("a", "b")),
        ({}, ()),
    ],
)
def test_it_is_where_decision_points_watch(settings: dict[str, Any], where: tuple[str, ...]) -> None:
    made = Settings.model_validate({"trust_domain": "a.b", "namespace": "agentid-system", **settings})

    assert made.heartbeat_namespaces() == where


def test_it_is_a_task_that_is_over_and_asks_for_nothing() -> None:
    body = heartbeat("ns", OPERATOR)
    spec, flaw = read(AgentTaskSpec, body["spec"])

    assert spec is not None, flaw
    assert spec.state is DesiredState.ENDED
    assert (spec.workload, spec.parent_ref, spec.break_glass, spec.static_secrets) == (None, None, None, [])
    assert is_heartbeat(body)
    # Whoever takes it for a task finds one that is over.
    assert KnownTask.of(body).over == "is ended"


def test_the_operator_never_takes_it_for_a_task() -> None:
    told: list[tuple[str, str]] = []
    world = World(told.append, lambda: _START)
    body = heartbeat("ns", OPERATOR)
    body["metadata"] |= {"uid": "u-1", "resourceVersion": "7"}

    world.take_task(body)

    assert (told, list(world.records())) == ([], [])


class _Server:
    """Answers as it is told to, and keeps what was asked."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path, await request.json()))
        return web.json_response({"kind": "Status"}, status=self.codes.pop(0) if self.codes else 200)


async def test_it_is_made_where_there_is_none_and_then_written_whichever_version_it_is_of(
    tmp_path: Path,
) -> None:
    server = _Server(404)
    async with (
        serving(server.answer, tmp_path) as kubeconfig,
        Connection.open(kubeconfig, lambda: 0.0) as connection,
    ):
        await Heartbeats(connection, lambda: 9.0, OPERATOR).beat("ns", _START)

    tried, made, written = server.requests
    tasks = "/apis/agentid.dev/v1alpha1/namespaces/ns/agenttasks"
    assert made == ("POST", tasks, heartbeat("ns", OPERATOR))
    assert tried == written
    assert written[:2] == ("PATCH", f"{tasks}/{HEARTBEAT}/status")
    assert written[2]["status"] == {"heartbeatTime": "2026-05-31T14:00:00.000Z"}
    assert "metadata" not in written[2]


async def test_without_the_lease_nothing_is_sent(tmp_path: Path) -> None:
    def lost() -> float:
        raise NotLeadingError("the lease is not held")

    server = _Server()
    async with (
        serving(server.answer, tmp_path) as kubeconfig,
        Connection.open(kubeconfig, lambda: 0.0) as connection,
    ):
        with pytest.raises(NotLeadingError):
            await Heartbeats(connection, lost, OPERATOR).beat("ns", _START)

    assert server.requests == []
