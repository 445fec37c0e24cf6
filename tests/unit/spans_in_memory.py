"""Spans that stay in this process, for whoever looks at them."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from agentid.process.otlp import OtlpTraces
from agentid.process.tracing import use_traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
NOT_VALID = (
    "",
    "x",
    f"00-{TRACE}-{CALLER}",
    f"00-{TRACE}-{CALLER}-01-more",
    f"ff-{TRACE}-{CALLER}-01",
    f"00-{TRACE.upper()}-{CALLER}-01",
    f"00-{'0' * 32}-{CALLER}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{CALLER}-01,00-{TRACE}-{CALLER}-01",
    f"cc-{TRACE}-{CALLER}-01-{'x' * 200}",
    "\x00" * 55,
    "é" * 55,
)


class Spans:
    """Those that have ended and are sent."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.traces = OtlpTraces(self.exporter, "test")

    def sent(self) -> list[ReadableSpan]:
        """Return them by the time at which they began; no more are made after this."""
        self.traces.close()
        return sorted(self.exporter.get_finished_spans(), key=lambda each: each.start_time or 0)

    def told(self) -> list[tuple[str, str]]:
        """Return the name of each, and that of what it is under: a span, or a caller by its ID."""
        spans = self.sent()
        names = {span_id(each): each.name for each in spans}
        return [(each.name, names.get(parent_id(each), parent_id(each))) for each in spans]


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_span_id(span.context.span_id)


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_trace_id(span.context.trace_id)


def parent_id(span: ReadableSpan) -> str:
    return format_span_id(span.parent.span_id) if span.parent is not None else ""


@contextmanager
def spans_in_memory() -> Iterator[Spans]:
    """Have spans made within the block."""
    made = Spans()
    use_traces(made.traces)
    try:
        yield made
    finally:
        use_traces(None)
        made.traces.close()
