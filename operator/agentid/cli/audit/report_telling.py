"""How a report on agents is told: to people in rows, to programs as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.audit.advice import Ceiling, narrower, stable, usual
from agentid.cli.audit.story_telling import NO_USE, NOT_ASKED
from agentid.cli.audit.tally import Key, Tally
from agentid.cli.telling import Row


@dataclass(frozen=True, slots=True)
class Told:
    """An agent, what is recorded of it, and what it may have at most; None: that is not known.

    `is_watched` says whether any decision point reports to this ledger.
    """

    key: Key
    tally: Tally
    ceiling: Ceiling | None
    is_watched: bool = False


def title_of(told: Told) -> tuple[str, str]:
    """Return which agent it is and how much it did, and the colour of that."""
    tally = told.tally
    return (
        f"{told.key[0]}/{told.key[1]}: {_number(tally.tasks, 'task')}, {tally.running} without an end.",
        "bold",
    )


def rows(told: Told) -> Iterator[Row]:
    """Yield what is recorded, and what follows from it."""
    tally = told.tally
    yield "credentials", str(tally.credentials)
    for action, number in sorted(tally.actions.items()):
        yield "granted", f"{action} to {_number(number, 'task')}"
    for action, number in sorted(tally.handed_on.items()):
        yield "handed on", f"{action} to children, {number} times"
    yield from _used(told)
    if tally.waited or tally.approved:
        denied = f", {tally.denied_by_people} times denied" if tally.denied_by_people else ""
        yield (
            "approvals",
            f"{tally.waited} waited for one, {tally.approved} were given something on one{denied}",
        )
    yield from (("refused", each) for each in _counted(tally.refusals))
    yield from (("ended", each) for each in _counted(tally.ends))
    yield from (("never begun", each) for each in _counted(tally.unbegun))
    if tally.suspended:
        yield "suspended", f"{tally.suspended} times"
    if tally.emergencies:
        yield "emergencies", str(tally.emergencies)
    for name, seconds in (("allowed for", tally.asked), ("took", tally.lasted)):
        if said := usual(seconds):
            yield name, said
    yield from (("to narrow", each) for each in narrower(tally, told.ceiling))
    yield from (("stable", each) for each in stable(tally))


def _used(told: Told) -> Iterator[Row]:
    tally = told.tally
    for action, number in sorted(tally.used.items()):
        yield "used", f"{action}, {number} times"
    if not tally.used:
        yield "used", NOT_ASKED if told.is_watched else NO_USE
    yield from (("use refused", each) for each in _counted(tally.refused_uses))


def as_json(
    found: Sequence[Told], since: datetime | None, until: datetime | None, notes: Sequence[str]
) -> JsonValue:
    """Return a report as programs read it."""
    said: list[JsonValue] = list(notes)
    return {
        "since": format_time(since) if since is not None else None,
        "until": format_time(until) if until is not None else None,
        "agents": [_as_json(each) for each in found],
        "notes": said,
    }


def _as_json(told: Told) -> JsonValue:
    tally = told.tally
    to_narrow: list[JsonValue] = list(narrower(tally, told.ceiling))
    is_stable: list[JsonValue] = list(stable(tally))
    return {
        "namespace": told.key[0],
        "agent": told.key[1],
        "tasks": tally.tasks,
        "withoutEnd": tally.running,
        "credentials": tally.credentials,
        "granted": dict(tally.actions),
        "used": dict(tally.used) if told.is_watched else None,
        **({} if told.is_watched else {"usedUnknown": NO_USE}),
        "usesRefused": dict(tally.refused_uses),
        "grantable": dict(tally.grantable),
        "handedOn": dict(tally.handed_on),
        "sensitivities": dict(tally.sensitivities),
        "waitedForApproval": tally.waited,
        "approved": tally.approved,
        "refusals": dict(tally.refusals),
        "ends": dict(tally.ends),
        "neverBegun": dict(tally.unbegun),
        "suspended": tally.suspended,
        "emergencies": tally.emergencies,
        "allowedSeconds": _spread(tally.asked),
        "tookSeconds": _spread(tally.lasted),
        "toNarrow": to_narrow,
        "stable": is_stable,
    }


def _spread(seconds: Sequence[float]) -> JsonValue:
    if not len(seconds):
        return None
    return {"median": median(seconds), "longest": max(seconds), "of": len(seconds)}


def _counted(reasons: Counter[str]) -> Iterator[str]:
    return (f"{reason or 'for no recorded reason'}: {number}" for reason, number in reasons.most_common())


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'' if count == 1 else 's'}"
