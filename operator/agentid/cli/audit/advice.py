"""What an agent's record suggests: what it could do without, and what has proved stable enough to widen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any, Final

from agentid.api.agent import Sensitivity
from agentid.api.reasons import EndReason
from agentid.cli.audit.tally import Tally
from agentid.cli.telling import duration
from agentid.lifecycle.patterns import covers
from agentid.watched.facts import mapping, sequence, text

ENOUGH: Final = 5
"""Of fewer tasks that ended by themselves nothing is said of how long they take."""
MANY: Final = 20
"""Of fewer tasks it is not said that they are stable."""
_MOST_NAMED: Final = 5
_RANKS: Final = {each.value: rank for rank, each in enumerate(Sensitivity)}


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What an Agent may have at most, as its record in the directory says now."""

    actions: tuple[str, ...]
    sensitivity: str

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Ceiling":
        """Return what the spec of an Agent says; of what it does not say, nothing is said."""
        listed = tuple(each for each in sequence(mapping(spec).get("actions")) if isinstance(each, str))
        return cls(listed, text(spec.get("maxSensitivity")))


def narrower(tally: Tally, ceiling: Ceiling | None) -> Iterator[str]:
    """Yield what could be taken away without a task having missed it."""
    if not tally.tasks:
        return
    if ceiling is not None:
        yield from _unneeded(tally, ceiling)
    # Where nothing was used as far as decision points know, they may simply not be asked.
    unused = sorted(tally.actions.keys() - tally.used.keys())
    if tally.used and tally.ended >= ENOUGH and unused:
        yield (
            f"tasks were given {', '.join(unused)}, and no decision point was asked to allow that: unused, "
            "or used where none is asked"
        )
    if kept := [each for each in tally.grantable if not tally.handed_on[each]]:
        yield f"its tasks may grant {', '.join(sorted(kept))}, and no child was given that"
    if len(tally.by_itself) >= ENOUGH and len(tally.asked):
        longest, asked = max(tally.by_itself), max(tally.asked)
        wanted = max(ceil(2 * longest / 60) * 60, 60)
        if wanted <= asked / 2:
            yield (
                f"tasks may run for up to {duration(int(asked))}, and of {len(tally.by_itself)} that came to "
                f"their end the longest took {duration(ceil(longest))}: {duration(wanted)} would leave room"
            )


def stable(tally: Tally) -> Iterator[str]:
    """Yield what went well often enough to think of allowing more, or of asking less."""
    trouble = tally.refusals.total() + tally.suspended + tally.emergencies + tally.unbegun.total()
    if tally.ended >= MANY and tally.ends[EndReason.COMPLETED] == tally.ended and not trouble:
        yield f"{tally.ended} tasks, all completed; none was refused, suspended, taken back or an emergency"
    if tally.approved >= MANY and not tally.denied_by_people:
        yield (
            f"{tally.approved} tasks were approved, and none was denied by who may approve: policy might let "
            "such tasks pass without"
        )


def usual(seconds: Sequence[float]) -> str:
    """Return the median and the longest of times; empty: there are none."""
    if not len(seconds):
        return ""
    return f"{duration(round(median(seconds)))} in the median, {duration(round(max(seconds)))} at most"


def _unneeded(tally: Tally, ceiling: Ceiling) -> Iterator[str]:
    given = sorted({*tally.actions, *tally.handed_on})
    for pattern in ceiling.actions:
        found = [each for each in given if covers(pattern, each)]
        if not found:
            yield f"the Agent lists {pattern}, and no task was given that"
        elif pattern.endswith(":*") and len(found) <= _MOST_NAMED:
            yield f"the Agent lists {pattern}, and tasks were given {', '.join(found)} only"
    used = max((_RANKS.get(each, len(_RANKS)) for each in tally.sensitivities), default=None)
    if used is not None and used < _RANKS.get(ceiling.sensitivity, 0):
        least = next(each for each, rank in _RANKS.items() if rank == used)
        yield f"the Agent may touch {ceiling.sensitivity} data, and no task asked for more than {least}"
