"""The sinks of an operator: which there are, and where each goes on after a takeover."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.api.names import SINKS_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMaps
from agentid.cluster.connection import Connection
from agentid.controller import record_sinks
from agentid.controller.metrics import Metrics
from agentid.controller.record_sinks import RecordSinks, routes_of
from agentid.controller.settings import Settings
from agentid.sinks.delivery import Route
from agentid.sinks.errors import SinkError
from agentid.sinks.http import HttpSink
from agentid.sinks.segments import SegmentSink
from agentid.sinks.sink import SinkName
from agentid.sinks.stdout import StdoutSink
from tests.unit.config_map_server import HOME, ConfigMapServer, config_map_server

WITHIN_SECONDS = 10.0


class MemorySink:
    """Cannot tell what it has; takes what it is given, unless it is told to refuse."""

    name = SinkName.HTTP

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.refuses = False
        self.closed = False
        self.asked = 0
        self.tells_nothing = asyncio.Event()
        self.tells_nothing.set()

    async def position(self) -> int | None:
        self.asked += 1
        await self.tells_nothing.wait()
        return None

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        assert records
        if self.refuses:
            raise SinkError("status 503")
        self.taken.append(sequence)

    async def close(self) -> None:
        self.closed = True


class Scene:
    """Operators that lead one after the other, and one receiver."""

    def __init__(self, server: ConfigMapServer, connection: Connection) -> None:
        self.server = server
        self.sink = MemorySink()
        self.leads = True
        self.now = 0.0
        self.metrics = Metrics()
        self._connection = connection

    def operator(self, *, required: bool = True) -> RecordSinks:
        async def read(sequence: int) -> Sequence[bytes]:
            return [b'{"sequence":%d}' % sequence]

        self.metrics = Metrics()
        return RecordSinks(
            [Route(self.sink, required)],
            read,
            ConfigMaps(self._connection, HOME, lambda: 5.0),
            self.metrics,
            leads=lambda: self.leads,
            patience_seconds=30.0,
            clock=lambda: self.now,
        )

    def remembered(self) -> dict[str, str]:
        found: dict[str, str] = self.server.kept.get(SINKS_CONFIG_MAP, {}).get("data", {})
        return found

    def sample(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"sink": "http"})

    async def until(self, what: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not what():
            assert time.monotonic() < deadline, f"taken {self.sink.taken}, remembered {self.remembered()}"
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_sinks, "REMEMBER_SECONDS", 0.02)
    monkeypatch.setattr(record_sinks, "_RETRY_SECONDS", 0.02)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        config_map_server(tmp_path) as (server, kubeconfig),
        Connection.open(kubeconfig, time.monotonic) as connection,
    ):
        yield Scene(server, connection)


@asynccontextmanager
async def running(sinks: RecordSinks) -> AsyncIterator[None]:
    task = asyncio.create_task(sinks.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_successor_goes_on_where_it_is_remembered_that_a_sink_was(scene: Scene) -> None:
    first = scene.operator()
    async with running(first):
        first.begin(1, 0)
        for sequence in range(1, 4):
            first.appended(sequence, [b"{}"])
        await scene.until(lambda: first.positions() == {SinkName.HTTP: 3})
        assert scene.remembered() == {"http": "3"}
    assert scene.sink.closed

    second = scene.operator()
    async with running(second):
        second.begin(1, 5)
        await scene.until(lambda: scene.sink.taken == [1, 2, 3, 4, 5])
        await scene.until(lambda: second.positions() == {SinkName.HTTP: 5})


async def test_batch_that_comes_before_it_is_known_where_to_begin_is_not_left_out(scene: Scene) -> None:
    sinks = scene.operator()
    sinks.begin(1, 1)
    assert sinks.positions() == {SinkName.HTTP: 0}
    sinks.appended(2, [b"{}"])
    sinks.appended(3, [b"{}"])
    async with running(sinks):
        await scene.until(lambda: scene.sink.taken == [1, 2, 3])


async def test_who_ends_before_it_is_known_where_a_sink_was_leaves_what_is_remembered_of_it(
    scene: Scene,
) -> None:
    first = scene.operator()
    async with running(first):
        first.begin(1, 3)
        await scene.until(lambda: scene.remembered() == {"http": "3"})

    scene.sink.tells_nothing.clear()
    second = scene.operator()
    async with running(second):
        second.begin(1, 4)
        await scene.until(lambda: scene.sink.asked)
        # More than one round of what is written down.
        await asyncio.sleep(0.1)
        assert scene.remembered() == {"http": "3"}


async def test_who_ends_in_order_leaves_nothing_that_a_successor_repeats(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_sinks, "REMEMBER_SECONDS", 60.0)
    first = scene.operator()
    async with running(first):
        first.begin(1, 0)
        await scene.until(lambda: scene.sink.asked)
        first.appended(1, [b"{}"])
        first.appended(2, [b"{}"])
        await first.drain()
        assert scene.sink.taken == [1, 2]
        assert scene.remembered() == {"http": "2"}


async def test_sink_that_takes_nothing_is_not_waited_for(scene: Scene) -> None:
    scene.sink.refuses = True
    sinks = scene.operator()
    async with running(sinks):
        sinks.begin(1, 1)
        await scene.until(lambda: scene.sink.asked)
        async with asyncio.timeout(WITHIN_SECONDS):
            await sinks.drain()
            assert scene.sample("agentid_sink_failures_total")
            sinks.appended(2, [b"{}"])
            await sinks.drain()
    assert scene.sink.taken == []


async def test_sink_that_hangs_is_waited_for_a_little(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_sinks, "BRING_SECONDS", 0.05)
    scene.sink.tells_nothing.clear()
    sinks = scene.operator()
    async with running(sinks):
        sinks.begin(1, 1)
        await scene.until(lambda: scene.sink.asked)
        async with asyncio.timeout(WITHIN_SECONDS):
            await sinks.drain()


async def test_nothing_may_be_pruned_that_is_not_remembered_as_taken(scene: Scene) -> None:
    sinks = scene.operator()
    async with running(sinks):
        sinks.begin(1, 0)
        await scene.until(lambda: scene.remembered() == {"http": "0"})
        scene.server.status = 503
        sinks.appended(1, [b"{}"])
        with capture_logs() as logs:
            await scene.until(lambda: scene.sink.taken == [1] and logs)
        assert sinks.positions() == {SinkName.HTTP: 0}
        scene.server.status = None
        await scene.until(lambda: sinks.positions() == {SinkName.HTTP: 1})
    assert [each["event"] for each in logs] == ["positions of sinks not read or written"]


async def test_nothing_is_brought_before_it_is_known_where_to_begin(scene: Scene) -> None:
    scene.server.status = 503
    sinks = scene.operator()
    async with running(sinks):
        sinks.begin(1, 3)
        await asyncio.sleep(0.1)
        assert scene.sink.taken == []
        scene.server.status = None
        await scene.until(lambda: scene.sink.taken == [1, 2, 3])


async def test_standby_brings_and_writes_nothing_and_blocks_nothing(scene: Scene) -> None:
    scene.leads = False
    sinks = scene.operator()
    async with running(sinks):
        sinks.begin(1, 3)
        scene.now = 1000.0
        await asyncio.sleep(0.1)
        assert (scene.sink.taken, scene.server.kept, sinks.blocked) == ([], {}, None)


async def test_who_wrote_in_between_is_written_over_with_what_is_known_here(scene: Scene) -> None:
    first, second = scene.operator(), scene.operator()
    async with running(first):
        first.begin(1, 1)
        await scene.until(lambda: scene.remembered() == {"http": "1"})
        async with running(second):
            second.begin(1, 2)
            await scene.until(lambda: scene.remembered() == {"http": "2"})
        for sequence in (2, 3):
            first.appended(sequence, [b"{}"])
        await scene.until(lambda: scene.remembered() == {"http": "3"})


@pytest.mark.parametrize(
    "data", [{"http": "two"}, {"http": "-1"}, {"http": "\u0662"}, {"http": "9" * 40}, {}]
)
async def test_what_is_no_position_counts_as_none(scene: Scene, data: dict[str, str]) -> None:
    first = scene.operator()
    async with running(first):
        first.begin(1, 1)
        await scene.until(lambda: scene.remembered() == {"http": "1"})
    scene.server.kept[SINKS_CONFIG_MAP]["data"] = data

    second = scene.operator()
    async with running(second):
        second.begin(1, 2)
        await scene.until(lambda: scene.sink.taken == [1, 1, 2])


@pytest.mark.parametrize("required", [True, False])
async def test_required_sink_that_is_down_stops_issuing_and_metrics_say_so_of_any(
    scene: Scene,
    required: bool,  # noqa: FBT001 - parametrized
) -> None:
    scene.sink.refuses = True
    sinks = scene.operator(required=required)
    async with running(sinks):
        sinks.begin(1, 0)
        await scene.until(lambda: scene.remembered() == {"http": "0"})
        sinks.appended(1, [b"{}"])
        await scene.until(lambda: scene.sample("agentid_sink_failures_total"))
        assert sinks.blocked is None
        scene.now = 31.0
        assert (sinks.blocked is not None) == required
        scene.leads = False
        assert sinks.blocked is None
        scene.leads = True
        assert scene.sample("agentid_sink_lag_batches") == 1
        assert scene.sample("agentid_sink_lag_seconds") == 31


def test_sinks_are_those_of_the_settings(tmp_path: Path) -> None:
    def routes(**values: Any) -> dict[type, bool]:  # noqa: ANN401 - settings
        settings = Settings(trust_domain="prod.example.com", namespace=HOME, **values)
        found = routes_of(settings, "https://10.96.0.1", lambda: datetime(2026, 5, 31, tzinfo=UTC))
        return {type(each.sink): each.required for each in found}

    assert routes() == {StdoutSink: False}
    assert routes(sink_stdout=False) == {}
    assert routes(
        sink_segments_folder=tmp_path, sink_http_url="https://siem.example.com", sink_http_required=False
    ) == {StdoutSink: False, SegmentSink: True, HttpSink: False}
