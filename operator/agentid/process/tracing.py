"""Spans of what is done, for OpenTelemetry; while that is off, none of it is loaded, and a span is nothing.

A span is under the one that is open where it begins, or else under the caller's that `incoming` was told of.
"""

from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Final, Protocol, Self

from agentid.process.errors import TracesError
from agentid.process.trace_context import Attributes


class Span(Protocol):
    """Something that is done, from `with` to its end; what it raises makes it failed."""

    def __enter__(self) -> Self:
        """Begin what is under it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""

    def keep(self, name: str) -> None:
        """Have a trial sent after all, by this name, with all that is under it."""

    def set(self, attributes: Callable[[], Attributes]) -> None:
        """Say more of it; `attributes` is asked only where the span is recorded."""

    def fail(self, why: BaseException | str) -> None:
        """Say that it failed; of an error that is not one of agentid's own, only its kind is told."""


class Pending(Protocol):
    """A span that ends when it is said to."""

    def end(self) -> None:
        """End it now."""


class Traces(Protocol):
    """What makes spans and sends them."""

    def span(self, name: str, *, is_trial: bool = False, parent: str | None = None) -> Span:
        """Return a span that begins now."""

    def request(self, name: str) -> Span:
        """Return one of a request to somebody else, whom `outgoing` then tells of it."""

    def pending(self, name: str) -> Pending | None:
        """Return one that outlives the one that it is under; None: there is none."""

    def incoming(self, traceparents: tuple[str | None, ...]) -> Span:
        """Return what has spans be under the first of these that is valid."""

    def outgoing(self, headers: MutableMapping[str, str]) -> None:
        """Add to `headers` by which span a request is made."""

    @property
    def lost(self) -> int:
        """Return how many spans were not taken."""

    def close(self) -> None:
        """Send what is left, within a bound of time."""


class _Nothing:
    """A span while traces are off."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def keep(self, name: str) -> None:
        pass

    def set(self, attributes: Callable[[], Attributes]) -> None:
        pass

    def fail(self, why: BaseException | str) -> None:
        pass


_NOTHING: Final = _Nothing()
_traces: Traces | None = None


def configure_traces(service: str) -> None:
    """Send spans from now on, to where OpenTelemetry's own variables (`OTEL_…`) say; `service` names them.

    Raises:
        TracesError: what that needs is not installed, or these variables don't fit.
    """
    try:
        from agentid.process.otlp import OtlpTraces  # noqa: PLC0415 - it is an extra, and loaded only where used
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentid":
            raise
        raise TracesError(
            f"traces are switched on, and {error.name} is not installed; in a checkout of agentid's "
            "repository, `pip install '.[traces]'` brings it, or leave traces off."
        ) from error
    use_traces(OtlpTraces.from_environment(service))


def use_traces(traces: Traces | None) -> None:
    """Have spans made by `traces` from now on; None: no spans."""
    global _traces  # noqa: PLW0603 - like logging, one for the process
    _traces = traces


def close_traces() -> None:
    """Send what is left, within a bound of time, and make no spans any more."""
    if _traces is not None:
        _traces.close()
        use_traces(None)


def traces_are_on() -> bool:
    """Whether spans are made."""
    return _traces is not None


def lost_spans() -> int:
    """Return how many spans nobody took since the start."""
    return _traces.lost if _traces is not None else 0


def span(name: str) -> Span:
    """Return a span of what is done within `with`."""
    return _NOTHING if _traces is None else _traces.span(name)


def trial(parent: str | None) -> Span:
    """Return a span that is sent, with all under it, only if it is kept by its name, or asks somebody else.

    `parent` is the `traceparent` of whoever asked for what is done; one that is not valid is ignored.
    """
    return _NOTHING if _traces is None else _traces.span("agentid.decide", is_trial=True, parent=parent)


def request(name: str) -> Span:
    """Return a span of a request to somebody else; within it, `outgoing` tells them."""
    return _NOTHING if _traces is None else _traces.request(name)


def pending(name: str) -> Pending | None:
    """Return a span under the open one, which it may outlive; None: there is none."""
    return None if _traces is None else _traces.pending(name)


def incoming(*traceparents: str | None) -> Span:
    """Return what has all within `with` be under the caller's span: the first of these that is valid."""
    return _NOTHING if _traces is None else _traces.incoming(traceparents)


def outgoing(headers: MutableMapping[str, str]) -> None:
    """Add to the headers of a request by which span it is made, if by one."""
    if _traces is not None:
        _traces.outgoing(headers)
