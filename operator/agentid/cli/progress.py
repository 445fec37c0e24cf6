"""Says on a terminal how far a command is, once it takes longer than a moment."""

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.status import Status

_AFTER_SECONDS: Final = 2.0


class Progress:
    """One line on standard error that changes; entered, it is gone at the end of the block.

    `began` is when the command did, by `time.monotonic`.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._status: Status | None = None

    def tell(self, said: str) -> None:
        """Take in how far it is."""
        if time.monotonic() - self._began < _AFTER_SECONDS or not sys.stderr.isatty():
            return
        if self._status is None:
            self._status = Console(stderr=True, highlight=False).status(said)
            self._status.start()
        self._status.update(said)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
