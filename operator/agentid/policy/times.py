"""When a decision has to be taken again although nothing happened: the next time at which a rule may turn.

Between two such times every comparison of a rule with the clock gives the same answer, so the decision does
too. Comparisons that can be solved for the time give exact times; the hour and the day of the week change on
the hour; for anything else that a rule does with the time, the decision holds for a minute at most.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

from cedarpy import pst

from agentid.policy.vocabulary import TIME_ATTRIBUTES

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_UNIT_MS: Final = {"d": _DAY_MS, "h": _HOUR_MS, "m": _MINUTE_MS, "s": 1000, "ms": 1}

_SAFE_MS: Final = 2**61
"""Far beyond all times there will be, and far within the 64 bits that Cedar adds them in."""

_Kind = Literal["now", "fixed", "of day", "since", "until", "duration"]

Path = tuple[str, ...]
"""An attribute that holds a time, such as ("principal", "reviewBy")."""
Moments = Mapping[Path, datetime | None]
"""The times that a question holds; None where the attribute is left out."""


class Recurring(Enum):
    """A bound that is met again and again: on each full hour, each minute."""

    HOURLY = _HOUR_MS
    MINUTELY = _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Daily:
    """Met each day, so many milliseconds after midnight UTC."""

    ms_of_day: int


@dataclass(frozen=True, slots=True)
class Once:
    """Met once: `ms` after the epoch, or after the time that the attribute `path` holds."""

    ms: int
    path: Path | None = None


Bound = Recurring | Daily | Once


@dataclass(frozen=True, slots=True)
class _Linear:
    """A time or duration within a rule, as far as it can be solved for the clock.

    `kind`: a time that moves with the clock, one that stands still, a time of day, the time since or until
    another, a duration.
    """

    kind: _Kind
    ms: int
    path: Path | None = None


_COMPARISONS: Final = frozenset({"eq", "not_eq", "less", "less_eq", "greater", "greater_eq"})


def bounds_of(rule: pst.Template) -> frozenset[Bound]:
    """Return every bound at which a condition of `rule` may turn."""
    return frozenset(bound for clause in rule.clauses for bound in _bounds(clause.expr))


def next_turn(bounds: Iterable[Bound], moments: Moments, now: datetime) -> datetime | None:
    """Return the first time after `now` at which one of `bounds` is met; None: never."""
    now_ms = (now - EPOCH) // MILLISECOND
    times = [ms for bound in bounds for ms in _met(bound, moments, now_ms) if ms > now_ms]
    try:
        return EPOCH + min(times) * MILLISECOND if times else None
    except OverflowError:
        return None


def _met(bound: Bound, moments: Moments, now_ms: int) -> Iterator[int]:
    """Yield when a bound is met next, and a millisecond later: `<` turns at it, `<=` only then."""
    match bound:
        case Recurring():
            yield (now_ms // bound.value + 1) * bound.value
        case Daily(ms_of_day):
            today = now_ms - now_ms % _DAY_MS + ms_of_day
            yield from (today + day + late for day in (0, _DAY_MS) for late in (0, 1))
        case Once(ms, path):
            if path is not None and path not in moments:
                yield now_ms + _MINUTE_MS
            elif (start := EPOCH if path is None else moments[path]) is not None:
                once = (start - EPOCH) // MILLISECOND + ms
                yield from (once, once + 1)


def _bounds(expr: pst.Expr) -> Iterator[Bound]:
    match expr:
        case pst.BinaryOp(op=op, left=left, right=right) if op in _COMPARISONS:
            solved = _solved(_linear(left), _linear(right))
            yield from _within(expr) if solved is None else solved
        case pst.GetAttr(base=pst.Var(name="context"), attr="time"):
            yield Recurring.MINUTELY
        case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
            if attr in TIME_ATTRIBUTES:
                yield Recurring.HOURLY
        case pst.HasAttr(base=pst.Var(name="context")):
            return
        case pst.Var(name="context"):
            yield Recurring.MINUTELY
        case _:
            yield from _within(expr)


def _within(expr: pst.Expr) -> Iterator[Bound]:
    """Yield the bounds of the parts of an expression, whatever it is."""
    for each in fields(expr):
        yield from _of_part(getattr(expr, each.name))


def _of_part(part: object) -> Iterator[Bound]:
    match part:
        case tuple():
            for each in part:
                yield from _of_part(each)
        case Mapping():
            for each in part.values():
                yield from _of_part(each)
        case _ if isinstance(part, pst.Expr):
            yield from _bounds(part)


def _solved(left: _Linear | None, right: _Linear | None) -> tuple[Bound, ...] | None:
    """Return when a comparison of the two may turn; None if that can't be told."""
    if left is None or right is None:
        return None
    turns: tuple[Bound, ...] | None = None
    match left.kind, right.kind:
        case ("now", "now") | ("fixed", "fixed") | ("duration", "duration"):
            turns = ()
        case "now", "fixed":
            turns = (Once(right.ms - left.ms, right.path),)
        case "of day", "duration":
            # It goes back to nothing once a day: at midnight, moved by what was added to the time.
            turns = (Daily((right.ms - left.ms) % _DAY_MS), Daily(-left.ms % _DAY_MS))
        case "since", "duration":
            turns = (Once(right.ms + left.ms, left.path),)
        case "until", "duration":
            turns = (Once(left.ms - right.ms, left.path),)
        case ("fixed", "now") | ("duration", "of day" | "since" | "until"):
            turns = _solved(right, left)
    return turns


def _linear(expr: pst.Expr) -> _Linear | None:
    """Return a time or duration as far as it can be solved for the clock; None if it can't."""
    linear: _Linear | None = None
    match expr:
        case pst.GetAttr(base=pst.Var(name="context"), attr="time"):
            linear = _Linear("now", 0)
        case pst.GetAttr():
            path = _path(expr)
            linear = None if path is None else _Linear("fixed", 0, path)
        case pst.UnaryOp(op="datetime", arg=pst.StringLit(value=text)):
            linear = _checked("fixed", _datetime_ms(text))
        case pst.UnaryOp(op="duration", arg=pst.StringLit(value=text)):
            linear = _checked("duration", _duration_ms(text))
        case pst.UnaryOp(op="to_time", arg=arg):
            time = _linear(arg)
            linear = _Linear("of day", time.ms) if time is not None and time.kind == "now" else None
        case pst.BinaryOp(op="offset" | "duration_since" as op, left=left, right=right):
            first, second = _linear(left), _linear(right)
            if first is not None and second is not None:
                linear = _moved(first, second) if op == "offset" else _between(first, second)
    return linear


def _checked(kind: _Kind, ms: int | None, path: Path | None = None) -> _Linear | None:
    """Return it, unless it is so large that Cedar's arithmetic could fail at one time and not at another."""
    return None if ms is None or abs(ms) > _SAFE_MS else _Linear(kind, ms, path)


def _moved(time: _Linear, by: _Linear) -> _Linear | None:
    if by.kind != "duration" or time.kind not in {"now", "fixed"}:
        return None
    return _checked(time.kind, time.ms + by.ms, time.path)


def _between(later: _Linear, earlier: _Linear) -> _Linear | None:
    match later.kind, earlier.kind:
        case "now", "fixed":
            return _checked("since", earlier.ms - later.ms, earlier.path)
        case "fixed", "now":
            return _checked("until", later.ms - earlier.ms, later.path)
    return None


def _path(expr: pst.Expr) -> Path | None:
    """Return the attribute that is read, from the variable on; None if it is none, or tells the time."""
    match expr:
        case pst.Var(name=name):
            return (name,)
        case pst.GetAttr(base=pst.Var(name="context"), attr=attr) if attr in TIME_ATTRIBUTES:
            return None
        case pst.GetAttr(base=base, attr=attr):
            before = _path(base)
            return None if before is None else (*before, attr)
    return None


def _datetime_ms(text: str) -> int | None:
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(\.\d{3})?(Z|[+-]\d{4}))?", text, flags=re.ASCII
    )
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{fraction or ''}{zone or 'Z'}")
        return (moment - EPOCH) // MILLISECOND
    except (ValueError, OverflowError):
        return None


def _duration_ms(text: str) -> int | None:
    found = re.fullmatch(r"-?(?:\d+(?:d|h|ms|m|s))+", text, flags=re.ASCII)
    if found is None:
        return None
    parts = re.findall(r"(\d+)(d|h|ms|m|s)", text, flags=re.ASCII)
    total = sum(int(count) * _UNIT_MS[unit] for count, unit in parts)
    return -total if text.startswith("-") else total
