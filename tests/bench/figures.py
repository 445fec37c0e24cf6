"""Medians, percentiles, and what the goals make of a figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

TIMES: Final = "\N{MULTIPLICATION SIGN}"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many per cent of `values` do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values, no percentile")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of `ours / theirs` over rounds; each round is compared with itself only.

    Raises:
        ValueError: there are no rounds, or in one there is nothing to compare with.
    """
    if not pairs or any(theirs <= 0 for _, theirs in pairs):
        raise ValueError("nothing to compare with")
    return median(ours / theirs for ours, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be: at least `least`, at most `most`."""

    least: float = -math.inf
    most: float = math.inf

    def met(self, figure: float) -> bool:
        """Is it met? What is not a number meets nothing."""
        return self.least <= figure <= self.most

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.least:g}"
        return f"≥ {self.least:g}" if self.most == math.inf else f"≤ {self.most:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: What came out.
        unit: In what.
        goal: What was wanted; None where it is only told.
        detail: What it was made of.
    """

    name: str
    value: float
    unit: str
    goal: Goal | None
    detail: str

    @property
    def verdict(self) -> str:
        """Met, MISSED, or nothing where nothing was wanted."""
        if self.goal is None:
            return ""
        return "met" if self.goal.met(self.value) else "MISSED"

    @property
    def shown(self) -> str:
        """The value as people read it."""
        digits = 0 if self.value == round(self.value) else 2 if abs(self.value) < 100 else 0
        return f"{self.value:.{digits}f}{self.unit}"
