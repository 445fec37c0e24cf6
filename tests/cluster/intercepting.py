"""A way to the API server that ends the operator, loses or forges answers, holds requests, silences watches.

The operator is given a kubeconfig that names this proxy. It hands everything on as the operator sent it; when
the request comes that a trap is set for, the trap springs before it is handed on or before it is answered.
What a watch brings while watches are silent is lost.
"""

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from devcluster.components import LOOPBACK
from devcluster.controlplane import ControlPlane
from devcluster.ports import free_ports

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}

_LONGEST_HOLD_SECONDS = 120
_LOOK_SECONDS = 0.05
_ADDED = {"Accept", "Accept-Encoding", "Content-Type", "User-Agent"}


def nothing() -> None:
    """Do nothing besides what a trap does by itself."""


def any_body(_body: Mapping[str, Any]) -> bool:
    """Whatever is sent."""
    return True


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered in place of the API server: a `Status` of this kind."""

    code: int
    reason: str
    message: str
    retry_after_seconds: int | None = None

    def response(self) -> web.Response:
        """The answer as it is sent."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
        }
        pause = self.retry_after_seconds
        headers = {} if pause is None else {"Retry-After": str(pause)}
        return web.json_response(status, status=self.code, headers=headers)


@dataclass(slots=True)
class Trap:
    """What happens at the first request that fits.

    Attributes:
        method: Its HTTP method.
        path: A pattern for its whole path.
        query: A pattern for its whole query, where it matters.
        answered: Whether it is handed on before the trap is sprung; its own answer is lost in any case.
        spring: What is done then.
        let_go: Where there is one, the request is held until this is set, and then handed on and answered
            like any other.
        is_it: Looks at what is sent, where method and path do not tell.
        answer: What is answered; None: the connection is cut.
        sprung: Set once it was done.
        came_at: When such requests came, in seconds of the monotonic clock: this one and those after it.
        answered_late: The code that a held request was answered with, once it was.
    """

    method: str
    path: str
    answered: bool
    spring: Callable[[], None] = nothing
    let_go: threading.Event | None = None
    is_it: Callable[[Mapping[str, Any]], bool] = any_body
    query: str = ".*"
    answer: Answer | None = None
    sprung: threading.Event = field(default_factory=threading.Event)
    came_at: list[float] = field(default_factory=list)
    answered_late: int | None = None

    def fits(self, request: web.BaseRequest, body: bytes = b"") -> bool:
        """Is that the request?"""
        if request.method != self.method or "dryRun" in request.query:
            return False
        if re.fullmatch(self.path, request.path) is None:
            return False
        if re.fullmatch(self.query, request.query_string) is None:
            return False
        if self.is_it is not any_body and not self.is_it(json.loads(body or b"{}")):
            return False
        self.came_at.append(time.monotonic())
        return not self.sprung.is_set()

    def wait(self, within: timedelta = timedelta(seconds=60)) -> None:
        """Wait until it was sprung."""
        assert self.sprung.wait(within.total_seconds()), f"no {self.method} {self.path} came"


class Interceptor:
    """The proxy, in a thread of its own.

    Attributes:
        environment: The settings with which an operator goes through it.
        silent: While it is set, nothing of what watches bring is handed on; it never will be.
        lost: The lines that watches brought meanwhile.
        lag_seconds: By how much what watches bring comes later; with it, it comes in the order it came.
    """

    def __init__(self, cluster: ControlPlane, operators_kubeconfig: Path) -> None:
        components = cluster.components
        self._upstream = components.server
        self._trust = ssl.create_default_context(cafile=str(components.authority.files.certificate))
        pair = components.authority.server("interceptor", [LOOPBACK])
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pair.certificate, pair.key)
        (self._port,) = free_ports(1)
        self._traps: tuple[Trap, ...] = ()
        self.silent = threading.Event()
        self.lost: list[bytes] = []
        self.lag_seconds = 0.0
        kubeconfig = operators_kubeconfig.with_name("intercepted.kubeconfig")
        document = yaml.safe_load(operators_kubeconfig.read_text())
        for each in document["clusters"]:
            each["cluster"]["server"] = f"https://{LOOPBACK}:{self._port}"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(yaml.safe_dump(document))
        self.environment = {"AGENTID_KUBECONFIG": str(kubeconfig)}

    def set(self, *traps: Trap) -> None:
        """Set traps, each for one request; earlier ones are taken away."""
        self._traps = traps

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve within the block."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        done = asyncio.Event()

        def serve() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve(ready, done))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ready.wait(30), "the interceptor did not start"
        try:
            yield
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join(30)
            assert not thread.is_alive(), "the interceptor did not end"

    async def _serve(self, ready: threading.Event, done: asyncio.Event) -> None:
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout) as out:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await self._handle(out, request)

            runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, self._port, ssl_context=self._tls).start()
            ready.set()
            await done.wait()
            await runner.cleanup()
            await _end_what_still_streams()

    async def _handle(self, out: aiohttp.ClientSession, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        caught = next((trap for trap in self._traps if trap.fits(request, body)), None)
        held = None
        if caught is not None and caught.let_go is not None:
            caught.spring()
            caught.sprung.set()
            await _is_set(caught.let_go)
            held, caught = caught, None
        if caught is not None and not caught.answered:
            return self._spring(caught, request)
        sent = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}{request.raw_path}"
        async with out.request(
            request.method, url, data=body or None, headers=sent, skip_auto_headers=_ADDED
        ) as answer:
            if caught is not None:
                await answer.read()
                return self._spring(caught, request)
            if held is not None:
                held.answered_late = answer.status
                if request.transport is None:  # who asked has given it up
                    return web.Response(status=answer.status)
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP}
            if "Content-Encoding" in answer.headers:
                kept["Content-Encoding"] = answer.headers["Content-Encoding"]
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in self._let_through(request, answer.content):
                await response.write(chunk)
            await response.write_eof()
            return response

    async def _let_through(
        self, request: web.BaseRequest, content: aiohttp.StreamReader
    ) -> AsyncIterator[bytes]:
        """Hand on what comes; of a watch only whole lines, and none that comes while watches are silent."""
        if request.query.get("watch") != "true":
            async for chunk in content.iter_any():
                yield chunk
            return
        rest = b""
        async for chunk in content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            await asyncio.sleep(self.lag_seconds)
            if self.silent.is_set():
                self.lost += lines
            elif lines:
                yield b"".join(line + b"\n" for line in lines)

    def _spring(self, trap: Trap, request: web.BaseRequest) -> web.StreamResponse:
        """Do what the trap is for, and answer what it says, or leave the request without an answer."""
        trap.spring()
        trap.sprung.set()
        if trap.answer is not None:
            return trap.answer.response()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


async def _is_set(event: threading.Event) -> None:
    """Wait until an event is set, without a thread for each that waits; not for ever."""
    end = time.monotonic() + _LONGEST_HOLD_SECONDS
    while not event.is_set() and time.monotonic() < end:  # noqa: ASYNC110 - set in another thread
        await asyncio.sleep(_LOOK_SECONDS)


async def _end_what_still_streams() -> None:
    """End the watches of operators that are gone: the server no longer knows their connections."""
    streaming = asyncio.all_tasks() - {asyncio.current_task()}
    for each in streaming:
        each.cancel()
    await asyncio.gather(*streaming, return_exceptions=True)
