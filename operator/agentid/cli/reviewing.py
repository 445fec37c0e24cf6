"""What exactly is approved, read field by field out of a projection, and what differs from another one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from pydantic import JsonValue

from agentid.cli.telling import Row, duration

Fields = Mapping[str, tuple[str, ...]]
"""Each field of a projection, by its path, with its value, or the values of its list."""

_MAX_DEPTH: Final = 8
_MAX_ROWS: Final = 200
_SECONDS: Final = "Seconds"
_IS_COUNT: Final = re.compile(r"[0-9]{1,9}").fullmatch


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as it was: what is there no more, and what has come."""

    field: str
    gone: tuple[str, ...]
    come: tuple[str, ...]


def fields_of(projection: str) -> Fields:
    """Return what a projection says; whoever wrote it, nothing here raises."""
    try:
        read = orjson.loads(projection)
    except orjson.JSONDecodeError:
        return {"": ("it cannot be read",)}
    return dict(_flat("", read, 0))


def differences(before: str, now: str) -> list[Difference]:
    """Return what differs between two projections, in the order of the later one."""
    old, new = fields_of(before), fields_of(now)
    paths = [*new, *(each for each in old if each not in new)]
    return [
        _difference(each, old.get(each, ()), new.get(each, ()))
        for each in paths
        if old.get(each) != new.get(each)
    ]


def rows(projection: str) -> Iterator[Row]:
    """Yield each field beside its value: what wraps cannot pose as another field."""
    yield from _bounded([(path, _told(path, values)) for path, values in fields_of(projection).items()])


def difference_rows(found: list[Difference]) -> Iterator[Row]:
    """Yield what was there, with `-` before its field, and what is there now, with `+`."""
    told = []
    for each in found:
        told += [(f"- {each.field}", _told(each.field, each.gone))] if each.gone else []
        told += [(f"+ {each.field}", _told(each.field, each.come))] if each.come else []
    yield from _bounded(told)


def _flat(path: str, value: JsonValue, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    if depth == _MAX_DEPTH:
        yield path, ("…",)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{path}.{key}" if path else key, each, depth + 1)
    elif isinstance(value, list):
        yield path, tuple(_element(each) for each in value)
    else:
        yield path, (_scalar(value),)


def _element(value: JsonValue) -> str:
    """Return one of a list; a reference is its name."""
    if isinstance(value, dict) and list(value) == ["name"]:
        value = value["name"]
    if isinstance(value, dict | list):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError:
            return "…"
    return _scalar(value)


def _scalar(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _difference(path: str, old: tuple[str, ...], new: tuple[str, ...]) -> Difference:
    gone = tuple(each for each in old if each not in new)
    come = tuple(each for each in new if each not in old)
    # Only their order, or how often one stands there.
    return Difference(path, gone, come) if gone or come else Difference(path, old, new)


def _told(path: str, values: tuple[str, ...]) -> str:
    if _SECONDS in path and len(values) == 1 and _IS_COUNT(values[0]):
        return f"{values[0]} ({duration(int(values[0]))})"
    return ", ".join(values) if values else "none"


def _bounded(told: list[Row]) -> Iterator[Row]:
    yield from told[:_MAX_ROWS]
    if len(told) > _MAX_ROWS:
        yield "…", f"and {len(told) - _MAX_ROWS} more; -o json has all"
