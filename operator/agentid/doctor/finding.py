"""What a check found: how it stands, one sentence, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NOTHING_WRONG: Final = 0
PROBLEMS: Final = 1
NOT_ALL_SEEN: Final = 2


class Standing(StrEnum):
    """How something stands, from good to bad."""

    OK = "OK"
    WARNING = "Warning"
    UNSEEN = "Unseen"
    PROBLEM = "Problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says.

    Attributes:
        check: Its name.
        standing: Good, to be looked at, not to be seen with the rights of who asks, or bad.
        sentence: What was found, in one sentence.
        remedy: What to do; empty where nothing is to be done.
    """

    check: str
    standing: Standing
    sentence: str
    remedy: str = ""


def well(check: str, sentence: str) -> Finding:
    """Return that all is as it should be."""
    return Finding(check, Standing.OK, sentence)


def warning(check: str, sentence: str, remedy: str) -> Finding:
    """Return that somebody should look at this; agentid works."""
    return Finding(check, Standing.WARNING, sentence, remedy)


def unseen(check: str, sentence: str, remedy: str) -> Finding:
    """Return that this could not be looked at, so that nothing is known of it."""
    return Finding(check, Standing.UNSEEN, sentence, remedy)


def problem(check: str, sentence: str, remedy: str) -> Finding:
    """Return that this is wrong."""
    return Finding(check, Standing.PROBLEM, sentence, remedy)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 where there is a problem, else 2 where something could not be seen, else 0."""
    standings = {finding.standing for finding in findings}
    if Standing.PROBLEM in standings:
        return PROBLEMS
    return NOT_ALL_SEEN if Standing.UNSEEN in standings or not standings else NOTHING_WRONG
