"""Envoy's external authorization, v3: a request as a proxy tells of it, and whether it may pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from agentid.gate.answer import Answer, Denial, Reason
from agentid.gate.mapping import Mapper
from agentid.gate.peers import Peer, Source, peer
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.gate.request import Request
from agentid.gate.wire import ext_authz_pb2 as wire
from agentid.process.trace_context import TRACEPARENT

METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
REASON_HEADER: Final = "x-agentid-reason"
_PARTIAL: Final = "x-envoy-auth-partial-body"
_OK, _PERMISSION_DENIED, _FORBIDDEN = 0, 7, 403

_NO_CALL: Final = Call(action="")
"""Nobody looks at it where a question has a flaw."""
_NOBODY: Final = Denial(
    Reason.NO_IDENTITY,
    "The proxy did not tell who calls. Have it ask for a client certificate and send that (Envoy: "
    "include_peer_certificate), and have the decision point trust what it sends.",
)


@dataclass(frozen=True, slots=True)
class Told:
    """A request and its caller, as a proxy tells of them.

    Attributes:
        request: The request.
        peer: Who calls; None: the proxy did not say, or not so that it counts.
        trace_id: By which the proxy's logs name the request.
        traceparent: The span that the request is part of, as whoever made it says.
    """

    request: Request
    peer: Peer | None
    trace_id: str | None
    traceparent: str | None


def decide_told(
    told: Told, asker: EnforcementPoint, mapper: Mapper, decide: Callable[[Question], Answer]
) -> Answer:
    """Decide whether a request may pass: who calls, which call it is, and whether that may be made."""
    if told.peer is None:
        return decide(Question(asker, "", None, _NO_CALL, told.trace_id, _NOBODY))
    call = mapper.call(told.request)
    known = told.peer.spiffe_id, told.peer.serial
    if isinstance(call, Denial):
        return decide(Question(asker, *known, _NO_CALL, told.trace_id, call))
    return decide(Question(asker, *known, call, told.trace_id))


def told_by_grpc(check: wire.CheckRequest, sources: tuple[Source, ...]) -> Told:
    """Return what Envoy tells in a CheckRequest."""
    source, http = check.attributes.source, check.attributes.request.http
    headers = _headers(http)
    body = http.raw_body or http.body.encode()
    return Told(
        _request(http.method, http.path, http.host, headers, body),
        peer(sources, principal=source.principal, certificate=source.certificate, headers=headers),
        http.id or None,
        headers.get(TRACEPARENT),
    )


def told_by_http(
    method: str, path: str, headers: Mapping[str, str], body: bytes, sources: tuple[Source, ...]
) -> Told:
    """Return what Envoy tells in a request of its HTTP service; there is no more than headers to tell by."""
    return Told(
        _request(method, path, headers.get("host", ""), headers, body),
        peer(sources, principal="", certificate="", headers=headers),
        headers.get("x-request-id"),
        headers.get(TRACEPARENT),
    )


def response(answer: Answer) -> wire.CheckResponse:
    """Return an answer as Envoy takes it: OK, or 403 with the reason for whoever called."""
    if answer.allowed:
        return wire.CheckResponse(status=wire.Status(code=_OK), ok_response=wire.OkHttpResponse())
    header = wire.HeaderValue(key=REASON_HEADER, value=answer.reason)
    kind = wire.HeaderValue(key="content-type", value="application/json")
    return wire.CheckResponse(
        status=wire.Status(code=_PERMISSION_DENIED, message=answer.reason),
        denied_response=wire.DeniedHttpResponse(
            status=wire.HttpStatus(code=_FORBIDDEN),
            headers=[wire.HeaderValueOption(header=each) for each in (header, kind)],
            body=refusal(answer).decode(),
        ),
    )


def refusal(answer: Answer) -> bytes:
    """Return what whoever called is told."""
    return orjson.dumps({"reason": answer.reason, "message": answer.message})


def _request(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes) -> Request:
    return Request(
        method=method,
        path=path,
        host=host,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        session=headers.get("mcp-session-id"),
        body=body,
        is_whole=headers.get(_PARTIAL, "false") == "false",
    )


def _headers(http: wire.HttpRequest) -> Mapping[str, str]:
    """Return the headers, in whichever of two ways they were sent; a name that stands twice is joined."""
    found = dict(http.headers)
    for each in http.header_map.headers:
        value = each.value or each.raw_value.decode(errors="replace")
        key = each.key.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return found
