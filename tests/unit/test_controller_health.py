"""/healthz over HTTP: red while a watch is silent for too long or the queue is stuck, and green after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from agentid.cluster.connection import Connection
from agentid.cluster.paths import PODS
from agentid.cluster.watch_activity import DEAD_SECONDS
from agentid.cluster.watching import watch
from agentid.controller.issuing import Issuing
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.probes import STUCK_SECONDS, Probes
from agentid.controller.queue import WorkQueue
from agentid.process.health import HealthServer
from agentid.watched.facts import Key
from devcluster.ports import free_ports
from tests.unit.plain_server import serving

_LIMIT_SECONDS = 10
_LOOPBACK = "127.0.0.1"
_BOOKMARK = b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}\n'


@dataclass
class Election:
    """Whether it is known who leads."""

    decided: bool = True


class Served:
    """What the probes say over HTTP, at a time that the test sets, beside a watch that it feeds.

    Attributes:
        now: The time, in seconds.
        bookmarks: What the watch brings next.
        brought: What has come of it.
        queue: The operator's queue.
        probes: What it asks.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.bookmarks: asyncio.Queue[bytes] = asyncio.Queue()
        self.brought: asyncio.Queue[str] = asyncio.Queue()
        self.queue = WorkQueue(self.clock, lambda _: None)
        self.probes: Probes
        (self._port,) = free_ports(1)

    def clock(self) -> float:
        return self.now

    async def answer(self, path: str = "/healthz") -> tuple[int, str]:
        """The status and the text of an answer."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{_LOOPBACK}:{self._port}{path}") as response,
        ):
            return response.status, await response.text()

    async def bring_a_bookmark(self) -> None:
        """Have the watch bring a bookmark, and wait until it has come."""
        self.bookmarks.put_nowait(_BOOKMARK)
        async with asyncio.timeout(_LIMIT_SECONDS):
            await self.brought.get()

    async def watch_as_told(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve a watch that brings what the test puts into `bookmarks`."""
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(await self.bookmarks.get())

    @asynccontextmanager
    async def serving(self, kubeconfig: Path) -> AsyncIterator[None]:
        """Serve the probes and watch pods within the block."""
        async with Connection.open(kubeconfig, self.clock) as connection:
            self.probes = Probes(
                activity=connection.activity,
                paths=(PODS.path(None),),
                queue=self.queue,
                leader=cast("Leader", Election()),
                issuing=Issuing((), lambda: None),
            )
            server = HealthServer(Metrics().text, self.probes.unhealthy, self.probes.unready)
            await server.start(_LOOPBACK, self._port)
            watching = asyncio.create_task(self._follow(connection))
            async with asyncio.timeout(_LIMIT_SECONDS):
                await connection.activity.heard_from_all([PODS.path(None)])
            yield
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await server.stop()

    async def _follow(self, connection: Connection) -> None:
        async for change in watch(connection, PODS, None, "7"):
            self.brought.put_nowait(change.type)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served()
    async with serving(served.watch_as_told, tmp_path) as kubeconfig, served.serving(kubeconfig):
        yield served


async def test_a_watch_that_falls_silent_turns_it_red_until_a_bookmark_comes(served: Served) -> None:
    served.now += DEAD_SECONDS
    assert await served.answer() == (200, "ok\n")

    served.now += 1
    assert await served.answer() == (
        503,
        f"the watch of {PODS.path(None)} has been silent for {DEAD_SECONDS + 1:.0f} s\n",
    )
    await served.bring_a_bookmark()
    assert await served.answer() == (200, "ok\n")


async def test_bookmarks_alone_keep_it_green(served: Served) -> None:
    for _ in range(5):
        served.now += DEAD_SECONDS
        assert await served.answer() == (200, "ok\n")
        await served.bring_a_bookmark()


async def test_a_stuck_queue_turns_it_red_until_a_pass_ends(served: Served) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def look_at(_: Key) -> None:
        begun.set()
        await go_on.wait()

    working = asyncio.create_task(served.queue.run(look_at, 1))
    served.queue.add(("ns", "stuck"))
    served.queue.add(("ns", "waits behind it"))
    async with asyncio.timeout(_LIMIT_SECONDS):
        await begun.wait()
    served.now += STUCK_SECONDS
    assert await served.answer() == (200, "ok\n")

    served.now += 1
    status, says = await served.answer()
    assert status == 503
    assert f"the queue is stuck: there is work, but no pass has ended for {STUCK_SECONDS + 1:.0f} s" in says
    go_on.set()
    async with asyncio.timeout(_LIMIT_SECONDS):
        await served.queue.wait_idle()
    assert await served.answer() == (200, "ok\n")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_an_idle_queue_is_not_a_stuck_one(served: Served) -> None:
    working = asyncio.create_task(served.queue.run(_at_once, 1))
    served.queue.add(("ns", "a"))
    async with asyncio.timeout(_LIMIT_SECONDS):
        await served.queue.wait_idle()

    served.now += STUCK_SECONDS + 1

    assert await served.answer() == (200, "ok\n")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_readiness_is_another_question(served: Served) -> None:
    assert await served.answer("/readyz") == (503, "not everything has been listed yet\n")
    served.probes.synced = True
    assert await served.answer("/readyz") == (200, "ok\n")
    assert (await served.answer("/metrics"))[0] == 200


async def _at_once(_: Key) -> None:
    return
