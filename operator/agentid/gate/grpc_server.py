"""ext_authz over gRPC, for enforcement points that show who they are."""

from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from agentid.gate.answer import Answer
from agentid.gate.enforcement_points import EnforcementPoints, unauthenticated
from agentid.gate.errors import UnauthenticatedError, UnservableError
from agentid.gate.ext_authz import METHOD, decide_told, response, told_by_grpc
from agentid.gate.mapping import Mapper
from agentid.gate.peers import Source
from agentid.gate.question import EnforcementPoint, Question
from agentid.gate.tokens import Tokens
from agentid.gate.wire import ext_authz_pb2 as wire
from agentid.process.trace_context import TRACEPARENT
from agentid.process.tracing import incoming, traces_are_on

_log = structlog.get_logger("agentid.gate")

_PEER: Final = "peer_spiffe_id"
"""Where gRPC tells the SPIFFE ID of a verified client certificate, of one with exactly one URI."""
_BEARER: Final = "bearer "
_STOP_SECONDS: Final = 5.0


class GrpcServer:
    """Answers `Check`."""

    def __init__(  # noqa: PLR0913 - what it is asked by, and what it asks
        self,
        decide: Callable[[Question], Answer],
        points: EnforcementPoints,
        tokens: Tokens | None,
        mapper: Mapper,
        sources: tuple[Source, ...],
        *,
        message_bytes: int,
        calls_at_once: int,
    ) -> None:
        self._decide = decide
        self._points = points
        self._tokens = tokens
        self._mapper = mapper
        self._sources = sources
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=calls_at_once,
            options=[
                ("grpc.max_receive_message_length", message_bytes),
                ("grpc.max_connection_idle_ms", 300_000),
                ("grpc.so_reuseport", 0),
            ],
        )
        handler = grpc.unary_unary_rpc_method_handler(
            self._check, wire.CheckRequest.FromString, wire.CheckResponse.SerializeToString
        )
        service, _, method = METHOD.removeprefix("/").partition("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )

    async def start(self, address: str, port: int, tls: grpc.ServerCredentials | None) -> int:
        """Serve on `port`, 0 being any free one, and return it.

        Raises:
            UnservableError: the address or the port cannot be had.
        """
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        try:
            served = (
                self._server.add_insecure_port(where)
                if tls is None
                else self._server.add_secure_port(where, tls)
            )
        except RuntimeError as error:
            raise UnservableError(f"cannot serve decisions on {where}: {error}") from error
        await self._server.start()
        _log.info("serving decisions over gRPC", address=address, port=served, tls=tls is not None)
        return served

    async def stop(self) -> None:
        """Stop serving, once what is under way is answered."""
        await self._server.stop(_STOP_SECONDS)

    async def _check(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:  # noqa: ANN401 - gRPC's own
        try:
            asker = await self._asker(context)
        except UnauthenticatedError as error:
            # It raises, so that nothing is answered but that.
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise
        told = told_by_grpc(request, self._sources)
        # The proxy's own span is nearer than the one that whoever called the proxy told of.
        with incoming(_told_by_proxy(context) if traces_are_on() else None, told.traceparent):
            return response(decide_told(told, asker, self._mapper, self._decide))

    async def _asker(self, context: Any) -> EnforcementPoint:  # noqa: ANN401 - gRPC's own
        peers = context.auth_context().get(_PEER, ())
        if len(peers) == 1:
            return self._points.named(peers[0].decode())
        metadata = dict(context.invocation_metadata() or ())
        header = str(metadata.get("authorization", ""))
        if self._tokens is None or not header.lower().startswith(_BEARER):
            raise unauthenticated()
        return self._points.named(await self._tokens.username(header[len(_BEARER) :].strip()))


def _told_by_proxy(context: Any) -> str:  # noqa: ANN401 - gRPC's own
    """Return what gRPC's metadata says; said twice, it is no `traceparent`."""
    metadata = context.invocation_metadata() or ()
    return ",".join(str(value) for name, value in metadata if name == TRACEPARENT)
