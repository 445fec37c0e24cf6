"""How far a sink is behind, and since when."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MARKS: Final = 512
_APART_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a sink is behind: `batches` that it does not surely have, the oldest waiting for `seconds`."""

    batches: int
    seconds: float


class Waiting:
    """Remembers when batches came that a sink does not have yet, in bounded memory.

    A mark is a sequence number and when it came. Where there are too many every second one is dropped: a
    batch then counts as waiting for longer than it has.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: deque[tuple[int, float]] = deque()

    def begin(self, position: int, head: int) -> None:
        """Begin anew: the sink has all up to `position`, there is all up to `head`."""
        self._marks.clear()
        if position < head:
            self._marks.append((position + 1, self._clock()))

    def came(self, sequence: int) -> None:
        """Note that a batch came."""
        now = self._clock()
        if self._marks and now - self._marks[-1][1] < _APART_SECONDS:
            return
        self._marks.append((sequence, now))
        if len(self._marks) > _MARKS:
            self._marks = deque(mark for place, mark in enumerate(self._marks) if place % 2 == 0)

    def reached(self, position: int, head: int) -> None:
        """Note that the sink has all up to `position`."""
        if position >= head:
            self._marks.clear()
            return
        while len(self._marks) > 1 and self._marks[1][0] <= position + 1:
            self._marks.popleft()

    def seconds(self) -> float:
        """Return for how long the oldest batch has waited that the sink does not have; 0 where it has all."""
        return max(0.0, self._clock() - self._marks[0][1]) if self._marks else 0.0
