"""Spans while they last: which are open, what each is under, and which are sent."""

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentid.errors import AgentidError
from agentid.process.trace_context import MAX_TRACEPARENT, TRACEPARENT, Attributes

MAX_VALUE: Final = 256
"""Characters of an attribute."""
_MAX_HELD: Final = 64
"""Spans under a trial that wait for whether it is kept."""

PROPAGATOR: Final = TraceContextTextMapPropagator()


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
        self._token = OPEN.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        del kind, trace
        if self._token is not None:
            OPEN.reset(self._token)
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


class Caller:
    """The span of a caller, which was told by its `traceparent`."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context | None) -> None:
        self._context = context
        self._token: Token[Live | Context | None] | None = None

    def __enter__(self) -> Self:
        self._token = OPEN.set(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._token is not None:
            OPEN.reset(self._token)

    def keep(self, name: str) -> None:
        """Do nothing: it is not ours."""

    def set(self, attributes: Callable[[], Attributes]) -> None:
        """Do nothing: it is not ours."""

    def fail(self, why: BaseException | str) -> None:
        """Do nothing: it is not ours."""


OPEN: ContextVar[Live | Context | None] = ContextVar("agentid-open-span", default=None)


def _end(span: trace.Span, at: int, trial: Live | None) -> None:
    if trial is None or not trial.hold(span, at):
        span.end(at)


def context_of(traceparent: str) -> Context | None:
    """Return the context that a `traceparent` names; None: it is not valid. Nothing else is read of it."""
    if len(traceparent) > MAX_TRACEPARENT:
        return None
    found = PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None
