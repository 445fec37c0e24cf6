"""AuthZEN and ext_authz over HTTP, for enforcement points that show who they are."""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson
import structlog
from aiohttp import web

from agentid.gate import authzen
from agentid.gate.answer import Answer
from agentid.gate.enforcement_points import EnforcementPoints, unauthenticated
from agentid.gate.errors import BadRequestError, UnauthenticatedError, UnservableError
from agentid.gate.ext_authz import REASON_HEADER, decide_told, refusal, told_by_http
from agentid.gate.mapping import Mapper
from agentid.gate.peers import Source
from agentid.gate.question import EnforcementPoint, Question
from agentid.gate.serving_documents import NONE, Documents, add_documents
from agentid.gate.tokens import Tokens
from agentid.process.trace_context import TRACEPARENT
from agentid.process.tracing import incoming, traces_are_on

_log = structlog.get_logger("agentid.gate")

EXT_AUTHZ: Final = "/ext-authz"
"""What Envoy's `path_prefix` has to be."""
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_ECHOED: Final = "X-Request-ID"
_BEARER: Final = "bearer "
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Caps:
    """What one enforcement point, and all together, may take.

    Attributes:
        body_bytes: Of one request.
        read_seconds: In which a request has to be there.
        connections: At once.
    """

    body_bytes: int = 65_536
    read_seconds: float = 5.0
    connections: int = 1024


_Evaluate = Callable[[bytes, EnforcementPoint, Callable[[Question], Answer], str | None], authzen.Json]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves both on one port."""

    def __init__(  # noqa: PLR0913 - what it is asked by, and what it asks
        self,
        decide: Callable[[Question], Answer],
        points: EnforcementPoints,
        tokens: Tokens | None,
        mapper: Mapper,
        sources: tuple[Source, ...],
        *,
        base_url: str,
        caps: Caps = Caps(),
        documents: Documents = NONE,
    ) -> None:
        self._decide = decide
        self._points = points
        self._tokens = tokens
        self._mapper = mapper
        self._sources = sources
        self._caps = caps
        self._metadata = orjson.dumps(authzen.metadata(base_url))
        self._documents = documents
        self._socket: socket.socket | None = None
        self._site: web.SockSite | None = None
        self._runner = web.AppRunner(
            self._application(), access_log=None, keepalive_timeout=75, lingering_time=1
        )

    async def start(self, address: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Serve on `port`, 0 being any free one, and return it.

        Raises:
            UnservableError: the address or the port cannot be had.
        """
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._socket = socket.create_server((address, port), family=family)
        except OSError as error:
            await self._runner.cleanup()
            why = error.strerror or error
            raise UnservableError(f"cannot serve decisions on {address} port {port}: {why}") from error
        # Whether it blocks is the same for all that listen to it, and a copy is made as this one is.
        self._socket.setblocking(False)
        await self._serve(self._socket, tls)
        served: int = self._socket.getsockname()[1]
        _log.info("serving decisions over HTTP", address=address, port=served, tls=tls is not None)
        return served

    async def serve_anew(self, tls: ssl.SSLContext) -> None:
        """Serve new connections with `tls`; whoever is connected stays so, and nobody is turned away."""
        if self._socket is not None:
            await self._serve(self._socket, tls)
            _log.info("certificate or client CA read anew")

    async def _serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        # Trust can be taken out of no context, and both listen to one socket until the former one is gone.
        site = web.SockSite(self._runner, listening.dup(), ssl_context=tls)
        await site.start()
        former, self._site = self._site, site
        if former is not None:
            await former.stop()

    async def stop(self) -> None:
        """Stop serving, once what is under way is answered."""
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=self._caps.body_bytes, middlewares=[self._guarded])
        application.router.add_post(authzen.EVALUATION, self._evaluation)
        application.router.add_post(authzen.EVALUATIONS, self._evaluations)
        application.router.add_get(authzen.METADATA, self._tell_metadata)
        add_documents(application, self._documents)
        application.router.add_route("*", f"{EXT_AUTHZ}{{path:/.*}}", self._ext_authz)
        return application

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer what is wrong with a request, and say in each answer which request it is of."""
        try:
            response = await self._answered(request, handler)
        except UnauthenticatedError as error:
            response = _said(401, str(error))
            response.headers["WWW-Authenticate"] = "Bearer"
        except (BadRequestError, web.HTTPRequestEntityTooLarge) as error:
            too_large = f"the body has more than {self._caps.body_bytes} bytes"
            response = _said(400, str(error) if isinstance(error, BadRequestError) else too_large)
        except TimeoutError:
            response = _said(408, f"the request was not there within {self._caps.read_seconds} s")
            response.force_close()
        except web.HTTPException as error:
            response = _said(error.status, error.reason)
        identifier = request.headers.get(_ECHOED, "")
        if _REQUEST_ID.fullmatch(identifier):
            response.headers[_ECHOED] = identifier
        return response

    async def _answered(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        server = self._runner.server
        if server is not None and len(server.connections) > self._caps.connections:
            response = _said(503, f"there are more than {self._caps.connections} connections")
            response.force_close()
            return response
        return await handler(request)

    async def _tell_metadata(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metadata, content_type=_JSON)

    async def _evaluation(self, request: web.Request) -> web.Response:
        return await self._authzen(request, authzen.evaluate)

    async def _evaluations(self, request: web.Request) -> web.Response:
        return await self._authzen(request, authzen.evaluate_all)

    async def _authzen(
        self,
        request: web.Request,
        evaluate: _Evaluate,
    ) -> web.Response:
        with incoming(_traceparent(request) if traces_are_on() else None):
            return await self._evaluated(request, evaluate)

    async def _evaluated(self, request: web.Request, evaluate: _Evaluate) -> web.Response:
        asker = await self._asker(request)
        if request.content_type != _JSON:
            raise BadRequestError("the body is not application/json")
        body = await self._body(request)
        found = evaluate(body, asker, self._decide, request.headers.get(_ECHOED))
        return web.Response(body=orjson.dumps(found), content_type=_JSON)

    async def _ext_authz(self, request: web.Request) -> web.Response:
        # The Authorization header is the one of whoever calls the server behind the proxy.
        asker = self._certified(request)
        if asker is None:
            raise unauthenticated()
        headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
        path = request.raw_path.removeprefix(EXT_AUTHZ)
        told = told_by_http(request.method, path, headers, await self._body(request), self._sources)
        with incoming(told.traceparent):
            answer = decide_told(told, asker, self._mapper, self._decide)
        if answer.allowed:
            return web.Response()
        return web.Response(
            status=403, body=refusal(answer), content_type=_JSON, headers={REASON_HEADER: answer.reason}
        )

    async def _body(self, request: web.Request) -> bytes:
        async with asyncio.timeout(self._caps.read_seconds):
            return await request.read()

    async def _asker(self, request: web.Request) -> EnforcementPoint:
        if (certified := self._certified(request)) is not None:
            return certified
        header = request.headers.get("Authorization", "")
        if self._tokens is None or not header.lower().startswith(_BEARER):
            raise unauthenticated()
        return self._points.named(await self._tokens.username(header[len(_BEARER) :].strip()))

    def _certified(self, request: web.Request) -> EnforcementPoint | None:
        transport = request.transport
        return self._points.certified(transport.get_extra_info("peercert") if transport else None)


def _said(status: int, message: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"message": message}), content_type=_JSON)


def _traceparent(request: web.Request) -> str:
    """Return what the header says; said twice, it is no `traceparent`."""
    return ",".join(request.headers.getall(TRACEPARENT, ()))
