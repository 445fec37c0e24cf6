"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP by a thread of its own: nothing waits for a collector."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from agentid.errors import AgentidError
from agentid.process.errors import TracesError
from agentid.process.tracing import MAX_TRACEPARENT, TRACEPARENT, Attributes

MAX_VALUE: Final = 256
"""Characters of an attribute."""
_MAX_ATTRIBUTES: Final = 32
_MAX_HELD: Final = 64
"""Spans under a trial that wait for whether it is kept."""
_QUEUE: Final = 2048
_CLOSE_SECONDS: Final = 3.0
_LOG_SECONDS: Final = 60.0
_PROTOCOL: Final = "http/protobuf"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_EXPORTERS_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_HEADERS_LOG: Final = "opentelemetry.util.re"

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Live:
    """A span, from when it is made to the end of its `with`."""

    __slots__ = ("_context", "_held", "_kept", "_span", "_token", "_trial")

    def __init__(self, span: trace.Span, trial: "Live | None", *, is_trial: bool) -> None:
        """`trial` is the one that decides whether this is sent; None: nothing does."""
        self._span = span
        self._trial = trial
        self._kept = not is_trial
        self._held: list[tuple[trace.Span, int]] = []
        self._context: Context | None = None
        self._token: Token[Live | Context | None] | None = None

    @property
    def context(self) -> Context:
        """What spans under it begin with."""
        if self._context is None:
            self._context = trace.set_span_in_context(self._span, Context())
        return self._context

    @property
    def trial(self) -> "Live | None":
        """Return what decides on whatever is under it."""
        return self._trial if self._kept else self

    def __enter__(self) -> Self:
        """Have what follows be under it."""
        self._token = _OPEN.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        del kind, trace
        if self._token is not None:
            _OPEN.reset(self._token)
        if error is not None:
            self.fail(error)
        self.end()

    def end(self) -> None:
        """End it now: it is sent, unless that is not decided yet, or is decided against."""
        if self._kept:
            _end(self._span, time.time_ns(), self._trial)

    def keep(self, name: str | None = None) -> None:
        """Have it sent after all, and all that is under it."""
        if name is not None:
            self._span.update_name(name)
        self._kept = True
        while self._held:
            _end(*self._held.pop(0), self._trial)

    def hold(self, span: trace.Span, at: int) -> bool:
        """Keep back one that is under it and ended at `at`; False: nothing is to be kept back any more."""
        if not self._kept and len(self._held) < _MAX_HELD:
            self._held.append((span, at))
        return not self._kept

    def set(self, attributes: Callable[[], Attributes]) -> None:
        """Say more of it."""
        if self._span.is_recording():
            self._span.set_attributes(
                {name: value for name, value in attributes().items() if value is not None}
            )

    def fail(self, why: BaseException | str) -> None:
        """Say that it failed."""
        said = why if isinstance(why, str) else type(why).__name__
        if isinstance(why, AgentidError):
            said = f"{said}: {why}"
        self._span.set_status(Status(StatusCode.ERROR, said[:MAX_VALUE]))


class _Caller:
    """The span of a caller, which was told by its `traceparent`."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context | None) -> None:
        self._context = context
        self._token: Token[Live | Context | None] | None = None

    def __enter__(self) -> Self:
        self._token = _OPEN.set(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._token is not None:
            _OPEN.reset(self._token)

    def keep(self, name: str) -> None:
        """Do nothing: it is not ours."""

    def set(self, attributes: Callable[[], Attributes]) -> None:
        """Do nothing: it is not ours."""

    def fail(self, why: BaseException | str) -> None:
        """Do nothing: it is not ours."""


_OPEN: ContextVar[Live | Context | None] = ContextVar("agentid-open-span", default=None)


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
        above = _OPEN.get()
        if isinstance(above, Live) and above.trial is not None:
            above.trial.keep()
        return self._made(name, SpanKind.CLIENT)

    def pending(self, name: str) -> Live | None:
        """Return a span under the open one; None: there is none."""
        return self._made(name, SpanKind.INTERNAL) if _OPEN.get() is not None else None

    @staticmethod
    def incoming(traceparents: tuple[str | None, ...]) -> _Caller:
        """Return what has spans be under the first of these that is valid, or under none."""
        found = (_context_of(each) for each in traceparents if each)
        return _Caller(next((each for each in found if each is not None), None))

    @staticmethod
    def outgoing(headers: MutableMapping[str, str]) -> None:
        """Add by which span a request is made."""
        above = _OPEN.get()
        if above is not None:
            _PROPAGATOR.inject(headers, above.context if isinstance(above, Live) else above)

    def close(self) -> None:
        """Send what is left; a collector that does not answer is not waited for."""
        closing = threading.Thread(target=self._provider.shutdown, name="agentid-traces-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _made(self, name: str, kind: SpanKind, *, is_trial: bool = False, parent: str | None = None) -> Live:
        above = _OPEN.get()
        context = above.context if isinstance(above, Live) else above
        if context is None and parent is not None:
            context = _context_of(parent)
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


def _end(span: trace.Span, at: int, trial: Live | None) -> None:
    if trial is None or not trial.hold(span, at):
        span.end(at)


def _context_of(traceparent: str) -> Context | None:
    """Return the context that a `traceparent` names; None: it is not valid. Nothing else is read of it."""
    if len(traceparent) > MAX_TRACEPARENT:
        return None
    found = _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


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
