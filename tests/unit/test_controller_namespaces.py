"""The labels of namespaces are known as they are, after any break of a watch, and nothing else is listed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.api.names import REQUIRE_POLICY_LABEL
from agentid.cluster.connection import Connection
from agentid.cluster.paths import NAMESPACES
from agentid.cluster.reflector import FREE_TRIES
from agentid.watched.namespaces import Namespaces, watched_namespaces

_LIMIT_SECONDS = 10
_REQUIRES = {REQUIRE_POLICY_LABEL: "true"}
BREAKS = ["ends", "the connection breaks", "the answer is no JSON", "ERROR 410", "ERROR 500", "410", "403"]


class Server:
    """Serves namespaces: lists of their metadata, and watches that tell and break as they are told.

    Attributes:
        labels: What is there, by name; changed directly, no watch shows it.
        refusals: With which status the next lists are refused.
        hidden: The namespace of which no list is answered.
        asked: Of which namespace each list and each watch was, None for all.
        ends_at_once: How many of the next watches end without a word.
        version: The resourceVersion of the last change.
    """

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {"support": {"env": "test"}, "sales": {}}
        self.refusals: list[int] = []
        self.hidden: str | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.ends_at_once = 0
        self.version = 7
        self._watches: list[tuple[str | None, asyncio.Queue[str]]] = []
        self._began = asyncio.Event()
        self._refused: list[int] = []

    def change(self, kind: str, name: str, labels: dict[str, str]) -> None:
        """Change a namespace so that the watches that are open show it."""
        self.version += 1
        if kind == "DELETED":
            del self.labels[name]
        else:
            self.labels[name] = labels
        for only, lines in self._watches:
            if only in {None, name}:
                body = self._body(name, labels)
                lines.put_nowait(json.dumps({"type": kind, "object": body}))

    def bookmark(self) -> None:
        self.version += 1
        for _, lines in self._watches:
            metadata = {"resourceVersion": str(self.version), "name": ""}
            lines.put_nowait(json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}}))

    def interrupt(self, how: str) -> None:
        """Let the watches that are open end like this."""
        if how.isdigit():
            self._refused.append(int(how))
        for _, lines in self._watches:
            lines.put_nowait(how)
        self._watches.clear()
        self._began.clear()

    async def watched(self) -> None:
        """Wait until a watch is open."""
        await self._began.wait()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.path == NAMESPACES.path(None)
        selector = request.query.get("fieldSelector")
        only = selector.removeprefix("metadata.name=") if selector else None
        is_watch = request.query.get("watch") == "true"
        self.asked.append(("watch" if is_watch else "list", only))
        if is_watch:
            return await self._watch(request, only)
        assert "PartialObjectMetadataList" in request.headers["Accept"]
        if self.refusals:
            return web.Response(status=self.refusals.pop(0))
        if only is not None and only == self.hidden:
            return web.Response(status=403)
        items = [self._body(name, its) for name, its in self.labels.items() if only in {None, name}]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, request: web.BaseRequest, only: str | None) -> web.StreamResponse:
        assert int(request.query["resourceVersion"]) <= self.version
        if self._refused:
            return web.Response(status=self._refused.pop(0))
        response = web.StreamResponse()
        await response.prepare(request)
        if self.ends_at_once:
            self.ends_at_once -= 1
            return response
        lines: asyncio.Queue[str] = asyncio.Queue()
        self._watches.append((only, lines))
        self._began.set()
        while (line := await lines.get()).startswith("{"):
            await response.write(line.encode() + b"\n")
        if line.startswith("ERROR"):
            error = {"type": "ERROR", "object": {"code": int(line.split()[1]), "message": "m"}}
            await response.write(json.dumps(error).encode() + b"\n")
        elif line == "the answer is no JSON":
            await response.write(b"<html>\n")
        elif line == "the connection breaks" and request.transport is not None:
            request.transport.abort()
        return response

    def _body(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": labels, "resourceVersion": str(self.version)}}


class Watching:
    """Namespaces that are watched, without pausing; it notes for how long they would have."""

    def __init__(self, connection: Connection, *served: str) -> None:
        self.pauses: list[float] = []
        self.changed: list[str] = []
        self.namespaces = Namespaces(
            connection, served, self.changed.append, clock=time.monotonic, sleep=self._pause
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`."""
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
                    await asyncio.sleep(0.001)
        except TimeoutError:
            pytest.fail(f"last seen: {self.changed}, {self.pauses}")

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def connection(server: Server, tmp_path: Path) -> AsyncIterator[Connection]:
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        f" clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}]}"
    )
    async with Connection.open(kubeconfig, time.monotonic) as connection:
        yield connection
    await runner.cleanup()


@asynccontextmanager
async def watching(connection: Connection, *served: str) -> AsyncIterator[Watching]:
    """Watch until the end of the block."""
    watching = Watching(connection, *served)
    running = asyncio.create_task(watching.namespaces.run())
    try:
        yield watching
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_labels_are_known_once_all_are_listed(connection: Connection) -> None:
    async with watching(connection) as seen:
        assert seen.namespaces.labels("support") is None
        async with asyncio.timeout(_LIMIT_SECONDS):
            await seen.namespaces.listed()
        assert seen.namespaces.labels("support") == {"env": "test"}
        assert seen.namespaces.labels("sales") == {}
        assert seen.namespaces.labels("other") is None
        assert sorted(seen.changed) == ["sales", "support"]


async def test_change_is_told_and_what_is_as_it_was_is_not(server: Server, connection: Connection) -> None:
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        seen.changed.clear()
        server.bookmark()
        server.change("MODIFIED", "support", {"env": "test"})
        server.change("MODIFIED", "support", _REQUIRES)
        server.change("ADDED", "new", {})
        await seen.until(lambda: seen.namespaces.labels("new") is not None)
        assert seen.changed == ["support", "new"]
        assert seen.namespaces.labels("support") == _REQUIRES
        server.change("DELETED", "new", {})
        await seen.until(lambda: seen.namespaces.labels("new") is None)
        assert seen.namespaces.labels("") is None


@pytest.mark.parametrize("how", BREAKS)
async def test_what_changed_while_a_watch_was_broken_is_seen(
    server: Server, connection: Connection, how: str
) -> None:
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        seen.changed.clear()
        if how == "ends":
            # It goes on where it ended, without a list.
            server.interrupt(how)
            await server.watched()
            server.change("MODIFIED", "support", _REQUIRES)
            server.change("DELETED", "sales", {})
        else:
            server.labels["support"] = _REQUIRES
            del server.labels["sales"]
            server.interrupt(how)
        await seen.until(lambda: seen.namespaces.labels("support") == _REQUIRES)
        await seen.until(lambda: seen.namespaces.labels("sales") is None)
        assert seen.changed == ["support"]
        await server.watched()
    assert [kind for kind, _ in server.asked].count("list") == (1 if how == "ends" else 2)
    # Too old a version and an end as watches have it are no failures.
    assert bool(seen.pauses) is ("410" not in how and how != "ends")


async def test_pauses_grow_while_lists_are_refused_and_nothing_is_known_before(
    server: Server, connection: Connection
) -> None:
    server.refusals = [403, 500, 429, 403, 403, 403, 403]
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        assert seen.namespaces.labels("support") is None
        await seen.namespaces.listed()
        await server.watched()
    assert seen.pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_watch_that_ends_at_once_again_and_again_is_begun_anew_ever_more_slowly(
    server: Server, connection: Connection
) -> None:
    server.ends_at_once = FREE_TRIES + 4
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        assert seen.pauses == [1, 2, 4, 8]
        assert [kind for kind, _ in server.asked].count("list") == 1
        server.change("MODIFIED", "support", _REQUIRES)
        await seen.until(lambda: seen.namespaces.labels("support") == _REQUIRES)


async def test_namespace_that_no_watch_has_shown_yet_is_looked_for(
    server: Server, connection: Connection
) -> None:
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        asked = len(server.asked)
        await seen.namespaces.look_for("support")
        assert len(server.asked) == asked, "its labels are known"
        server.labels["new"] = _REQUIRES
        await seen.namespaces.look_for("new")
        assert seen.namespaces.labels("new") == _REQUIRES
        assert server.asked[asked:] == [("list", "new")]
        await seen.namespaces.look_for("missing")
        assert seen.namespaces.labels("missing") is None


async def test_what_a_look_has_shown_is_not_undone_by_what_the_watch_brings_later(
    server: Server, connection: Connection
) -> None:
    async with watching(connection) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        server.labels["new"] = _REQUIRES
        server.version += 5
        await seen.namespaces.look_for("new")
        server.version -= 4
        server.change("ADDED", "new", {})
        server.change("MODIFIED", "support", {"env": "prod"})
        await seen.until(lambda: seen.namespaces.labels("support") == {"env": "prod"})
        assert seen.namespaces.labels("new") == _REQUIRES


async def test_only_those_that_are_served_are_asked_for_each_by_its_name(
    server: Server, connection: Connection
) -> None:
    async with watching(connection, "support", "missing") as seen, asyncio.timeout(_LIMIT_SECONDS):
        await seen.namespaces.listed()
        assert seen.namespaces.labels("support") == {"env": "test"}
        assert seen.namespaces.labels("sales") is None
        assert seen.namespaces.labels("missing") is None
        await seen.until(lambda: len(server.asked) == 4)
        server.change("ADDED", "missing", _REQUIRES)
        server.change("MODIFIED", "sales", _REQUIRES)
        await seen.until(lambda: seen.namespaces.labels("missing") == _REQUIRES)
    assert set(server.asked) == {
        (kind, name) for kind in ("list", "watch") for name in ("support", "missing")
    }
    assert seen.changed == ["support", "missing"]


async def test_who_is_not_listed_yet_is_waited_for(server: Server, connection: Connection) -> None:
    server.hidden = "sales"
    async with watching(connection, "support", "sales") as seen:
        waiting = asyncio.create_task(seen.namespaces.listed())
        await seen.until(lambda: seen.namespaces.labels("support") is not None and len(seen.pauses) > 5)
        assert not waiting.done()
        server.hidden = None
        async with asyncio.timeout(_LIMIT_SECONDS):
            await waiting
        assert seen.namespaces.labels("sales") == {}


async def test_silence_of_the_watch_is_noted_with_those_of_the_others(
    server: Server, connection: Connection
) -> None:
    async with watching(connection), asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        await connection.activity.heard_from_all([NAMESPACES.path(None)])


async def test_each_watch_of_one_namespace_is_noted_by_itself(server: Server, connection: Connection) -> None:
    served = ("support", "sales")
    server.hidden = "sales"
    async with watching(connection, *served) as seen, asyncio.timeout(_LIMIT_SECONDS):
        await server.watched()
        await seen.until(lambda: len(seen.pauses) > 2)
        assert connection.activity.ages().keys() == {"/api/v1/namespaces/support"}
        server.hidden = None
        await connection.activity.heard_from_all(watched_namespaces(served))
