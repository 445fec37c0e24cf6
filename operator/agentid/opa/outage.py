"""Keeps an OPA that does not answer from holding up everything else: while it is out, few wait for it."""

from collections.abc import Callable
from typing import Final

from agentid.opa.errors import OpaError, Outcome

FAILURES: Final = 8
"""So many questions in a row without an answer make an outage; one slow question of one task makes none."""
PAUSE_SECONDS: Final = 1.0
"""How often it is tried in an outage."""


class Outage:
    """Whether OPA is out. In an outage one question a second tries it; all others have its answer already."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0
        self._last: OpaError | None = None

    def check(self) -> None:
        """Let a question through, or not.

        Raises:
            OpaError: the answer of the last one that was tried.
        """
        if self._last is None or self._failures < FAILURES:
            return
        if self._clock() < self._try_at:
            raise OpaError(self._last.outcome, str(self._last), self._last.detail)
        self._try_at = self._clock() + PAUSE_SECONDS

    def answered(self) -> None:
        """Take in that OPA answered, whatever it said."""
        self._failures, self._last = 0, None

    def failed(self, error: OpaError) -> None:
        """Take in that it did not, or that there is something to mend on this side, which costs no time."""
        if error.outcome not in {Outcome.TIMEOUT, Outcome.UNREACHABLE}:
            self.answered()
            return
        self._failures, self._last = self._failures + 1, error
        self._try_at = self._clock() + PAUSE_SECONDS
