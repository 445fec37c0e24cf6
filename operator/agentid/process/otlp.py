"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP by a thread of its own: nothing waits for a collector."""

import logging
import os
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from opentelemetry.util.re import parse_env_headers

from agentid.process.errors import TracesError
from agentid.process.live_spans import MAX_VALUE, OPEN, PROPAGATOR, Caller, Live, context_of

_MAX_ATTRIBUTES: Final = 32
_QUEUE: Final = 2048
_CLOSE_SECONDS: Final = 3.0
_LOG_SECONDS: Final = 60.0
_PROTOCOL: Final = "http/protobuf"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_EXPORTERS_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_HEADERS_LOG: Final = "opentelemetry.util.re"


class OtlpTraces:
    """What makes spans and has them sent."""

    def __init__(self, exporter: SpanExporter, service: str) -> None:
        """Take to whom spans are sent, and as which service's.

        Raises:
            TracesError: OpenTelemetry's variables for queues and batches don't fit.
        """
        self._counted = _Counted(exporter)
        try:
            self._processor = _Bounded(self._counted, int(os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) or _QUEUE))
            self._provider = TracerProvider(
                resource=_resource(service),
                shutdown_on_exit=False,
                span_limits=SpanLimits(
                    max_span_attributes=_MAX_ATTRIBUTES, max_span_attribute_length=MAX_VALUE
                ),
            )
        except ValueError as error:
            raise TracesError(
                f"traces are switched on, and an OTEL_ variable does not fit: {error}."
            ) from error
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("agentid")

    @classmethod
    def from_environment(cls, service: str) -> Self:
        """Return what sends to where `OTEL_EXPORTER_OTLP_…` says.

        Raises:
            TracesError: these don't fit.
        """
        # It would show what stands in a header, such as a token.
        logging.getLogger(_HEADERS_LOG).setLevel(logging.CRITICAL)
        _check(os.environ)
        # It may say with each attempt that there is no collector.
        logging.getLogger(_EXPORTERS_LOG).addFilter(_Seldom())
        try:
            return cls(OTLPSpanExporter(), service)
        except ValueError as error:
            raise TracesError(
                f"traces are switched on, and an OTEL_ variable does not fit: {error}."
            ) from error

    @property
    def lost(self) -> int:
        """Return how many were not taken: no room while they waited, or the collector did not take them."""
        return self._processor.dropped + self._counted.refused

    def span(self, name: str, *, is_trial: bool = False, parent: str | None = None) -> Live:
        """Return a span that begins now, under `parent` or what is open here."""
        return self._made(name, SpanKind.INTERNAL, is_trial=is_trial, parent=parent)

    def request(self, name: str) -> Live:
        """Return a span of a request; whoever gets it sees what it is under, so that is sent."""
        above = OPEN.get()
        if isinstance(above, Live) and above.trial is not None:
            above.trial.keep()
        return self._made(name, SpanKind.CLIENT)

    def pending(self, name: str) -> Live | None:
        """Return a span under the open one; None: there is none."""
        return self._made(name, SpanKind.INTERNAL) if OPEN.get() is not None else None

    @staticmethod
    def incoming(traceparents: tuple[str | None, ...]) -> Caller:
        """Return what has spans be under the first of these that is valid, or under none."""
        found = (context_of(each) for each in traceparents if each)
        return Caller(next((each for each in found if each is not None), None))

    @staticmethod
    def outgoing(headers: MutableMapping[str, str]) -> None:
        """Add by which span a request is made."""
        above = OPEN.get()
        if above is not None:
            PROPAGATOR.inject(headers, above.context if isinstance(above, Live) else above)

    def close(self) -> None:
        """Send what is left; a collector that does not answer is not waited for."""
        closing = threading.Thread(target=self._provider.shutdown, name="agentid-traces-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _made(self, name: str, kind: SpanKind, *, is_trial: bool = False, parent: str | None = None) -> Live:
        above = OPEN.get()
        context = above.context if isinstance(above, Live) else above
        if context is None and parent is not None:
            context = context_of(parent)
        made = self._tracer.start_span(name, context if context is not None else Context(), kind)
        return Live(made, above.trial if isinstance(above, Live) else None, is_trial=is_trial)


class _Counted(SpanExporter):
    """Counts what an exporter was given, and what of that it could not send."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0
        self.refused = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; it is called by one thread."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self.refused += len(spans)
        return result

    def shutdown(self) -> None:
        """Send nothing any more."""
        self._exporter.shutdown()


class _Bounded(BatchSpanProcessor):
    """Takes a span in without waiting; where too many wait to be sent, it counts it instead.

    The SDK would drop the oldest one, count nothing, and log a line.
    """

    def __init__(self, exporter: _Counted, most: int) -> None:
        super().__init__(exporter, max_queue_size=most)
        self._exported = exporter
        self._most = most
        self._ended = 0
        self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span in; it is called by the thread of the event loop."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._ended - self._exported.taken >= self._most:
            self.dropped += 1
            return
        self._ended += 1
        super().on_end(span)


class _Seldom(logging.Filter):
    """Lets one line a minute through."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is time for another one."""
        if record.created < self._next:
            return False
        self._next = record.created + _LOG_SECONDS
        return True


def _resource(service: str) -> Resource:
    """Return what the spans are of: as the variables say, and `service` where they name none."""
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: service}))
    return found


def _check(environment: Mapping[str, str]) -> None:
    """Refuse what the SDK would only log, or find out about with each batch.

    Raises:
        TracesError: a variable does not fit.
    """
    for name in ("PROTOCOL", "TRACES_PROTOCOL"):
        if (value := environment.get(f"{_PREFIX}{name}")) not in {None, "", _PROTOCOL}:
            raise TracesError(f"{_PREFIX}{name} is {value!r}: traces are sent by {_PROTOCOL} only.")
    for name in ("ENDPOINT", "TRACES_ENDPOINT"):
        value = environment.get(f"{_PREFIX}{name}")
        if value and not value.startswith(("http://", "https://")):
            raise TracesError(f"{_PREFIX}{name} has to begin with http:// or https://.")
    for name in ("HEADERS", "TRACES_HEADERS"):
        given = [each for each in environment.get(f"{_PREFIX}{name}", "").split(",") if each.strip()]
        if any(not parse_env_headers(each, liberal=True) for each in given):
            raise TracesError(
                f"{_PREFIX}{name} has to be name=value,name=value; it may be secret, so it is not shown."
            )
