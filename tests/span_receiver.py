"""A receiver of spans on loopback, which reads OTLP over HTTP as a collector does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    """One span.

    Attributes:
        name: Its name.
        service: Of which service it is.
        trace: The trace that it is part of, in hexadecimal.
        span: Its own ID.
        parent: The ID of the span that it is under; empty: of none.
        attributes: What is said of it.
        error: Why it failed; None: it did not.
    """

    name: str
    service: str
    trace: str
    span: str
    parent: str
    attributes: dict[str, object]
    error: str | None


class SpanReceiver(ThreadingHTTPServer):
    """Takes spans.

    Attributes:
        spans: What it has, in its order.
        headers: Of the last request.
    """

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.spans: list[Received] = []
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where it is, without the path of traces."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def of(self, trace: str) -> list[Received]:
        """What it has of a trace."""
        return [each for each in self.spans if each.trace == trace]


@contextmanager
def receiving() -> Iterator[SpanReceiver]:
    """Have one run within the block."""
    with SpanReceiver() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: SpanReceiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take the spans of one request."""
        asked = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path == "/v1/traces":
            self.server.spans.extend(_received(asked))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(HTTPStatus.OK if self.path == "/v1/traces" else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _received(asked: ExportTraceServiceRequest) -> Iterator[Received]:
    for resource in asked.resource_spans:
        said = {each.key: _value(each.value) for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            yield from (_span(each, str(said["service.name"])) for each in scope.spans)


def _span(span: Span, service: str) -> Received:
    return Received(
        name=span.name,
        service=service,
        trace=span.trace_id.hex(),
        span=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes={each.key: _value(each.value) for each in span.attributes},
        error=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
    )


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind is not None else None
