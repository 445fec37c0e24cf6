"""The watch of workloads goes on after any answer, pauses longer and longer, and misses nothing meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.cluster.connection import Connection
from agentid.cluster.paths import Resource
from agentid.cluster.watching import PAGE_OBJECTS
from agentid.controller.packed_task import WorkloadKey
from agentid.controller.workloads import Workloads
from agentid.lifecycle.model import WorkloadState
from tests.unit.plain_server import serving

_LIMIT_SECONDS = 10
_JOBS = Resource("batch/v1", "Job", "jobs")
_KEY = WorkloadKey("batch/v1", "Job", "ns", "refund")

BREAKS = [
    "the connection breaks",
    "the answer is no JSON",
    "ERROR 410 within",
    "ERROR 500 within",
    "410",
    "403",
    "500",
]


def _job(name: str, *, complete: bool = False) -> dict[str, Any]:
    conditions = [{"type": "Complete", "status": "True"}] if complete else []
    return {"metadata": {"name": name, "uid": f"u-{name}"}, "status": {"conditions": conditions}}


class Jobs:
    """Serves Jobs: pages of a list, and a watch that breaks as it is told, each time it is told to.

    Attributes:
        jobs: What is there, by name.
        refusals: With which status the next lists are refused.
        breaks: Set to let the watch that is open end in that way; what changed is then never watched.
        limits: How many objects each page was asked to hold.
        watches: How many watches were begun.
    """

    def __init__(self) -> None:
        self.jobs = {"refund": _job("refund")}
        self.refusals: list[int] = []
        self.breaks: asyncio.Queue[str] = asyncio.Queue()
        self.limits: list[int] = []
        self.watches = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        if self.refusals:
            return web.Response(status=self.refusals.pop(0))
        limit, start = int(request.query["limit"]), int(request.query.get("continue", 0))
        self.limits.append(limit)
        rest = list(self.jobs.values())[start:]
        following = {"continue": str(start + limit)} if len(rest) > limit else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **following}, "items": rest[:limit]})

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        self.watches += 1
        assert request.query["resourceVersion"] == "7"
        how = None if self.breaks.empty() else self.breaks.get_nowait()
        if how is not None and how.isdigit():
            return web.Response(status=int(how))
        response = web.StreamResponse()
        await response.prepare(request)
        how = how or await self.breaks.get()
        if how.isdigit():
            # Its next watch is refused; this one ends as watches do.
            self.breaks.put_nowait(how)
        elif how.startswith("ERROR"):
            error = {"type": "ERROR", "object": {"code": int(how.split()[1]), "message": "m"}}
            await response.write(json.dumps(error).encode() + b"\n")
        elif how == "the answer is no JSON":
            await response.write(b"<html>\n")
        if how == "the connection breaks" and request.transport is not None:
            request.transport.abort()
        return response


class Watching:
    """Workloads that watch the Jobs, without pausing; it notes for how long they would have."""

    def __init__(self, connection: Connection) -> None:
        self.pauses: list[float] = []
        self.changed = asyncio.Event()
        self.workloads = Workloads(
            connection,
            (_JOBS,),
            changed=self._change,
            needed=lambda: {_KEY},
            clock=time.monotonic,
            sleep=self._pause,
        )

    async def state(self) -> WorkloadState | None:
        found = await self.workloads.look_up(_KEY, _LIMIT_SECONDS)
        return found.state if found is not None else None

    def _change(self, key: WorkloadKey) -> None:
        assert key.namespace == "ns"
        self.changed.set()

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
async def watching(jobs: Jobs, tmp_path: Path) -> AsyncIterator[Watching]:
    async with (
        serving(jobs.handle, tmp_path) as kubeconfig,
        Connection.open(kubeconfig, time.monotonic) as connection,
    ):
        watching = Watching(connection)
        yield watching
        await watching.workloads._end(list(watching.workloads._watched))  # noqa: SLF001 - without its loop


@pytest.mark.parametrize("how", BREAKS)
async def test_what_changed_while_a_watch_was_broken_is_seen(
    jobs: Jobs, watching: Watching, how: str
) -> None:
    async with asyncio.timeout(_LIMIT_SECONDS):
        assert await watching.state() is WorkloadState.LIVE
        await watching.changed.wait()
        watching.changed.clear()
        jobs.jobs["refund"] = _job("refund", complete=True)
        jobs.breaks.put_nowait(how)
        await watching.changed.wait()
        assert await watching.state() is WorkloadState.SUCCEEDED
        watching.changed.clear()
        del jobs.jobs["refund"]
        jobs.breaks.put_nowait(how)
        await watching.changed.wait()
        assert await watching.state() is WorkloadState.NOT_FOUND
    # Too old a version is no failure: the list follows at once.
    assert bool(watching.pauses) is ("410" not in how)


async def test_pauses_grow_while_lists_are_refused_and_nothing_is_believed_meanwhile(
    jobs: Jobs, watching: Watching
) -> None:
    jobs.refusals = [403, 500, 429, 403, 403, 403, 403]
    async with asyncio.timeout(_LIMIT_SECONDS):
        assert await watching.workloads.look_up(_KEY, 0) is None
        assert await watching.state() is WorkloadState.LIVE
    assert watching.pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_whole_objects_come_in_small_pages(jobs: Jobs, watching: Watching) -> None:
    jobs.jobs = {f"job-{number}": _job(f"job-{number}") for number in range(2 * PAGE_OBJECTS)}
    jobs.jobs["refund"] = _job("refund")
    async with asyncio.timeout(_LIMIT_SECONDS):
        assert await watching.state() is WorkloadState.LIVE
    assert jobs.limits == [PAGE_OBJECTS] * 3
