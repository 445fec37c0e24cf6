"""Reads JSON that others sent so that nobody can read it otherwise: each key once, no deeper than need be."""

import json
import math
from typing import Final, NoReturn

from pydantic import JsonValue

from agentid.gate.errors import BadRequestError

MAX_DEPTH: Final = 32
"""How deep lists and objects may stand in each other."""


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Return what `body` says.

    Raises:
        BadRequestError: it is not JSON in UTF-8, names a key twice, holds NaN or an infinite or half a
            character, or is deeper than `max_depth`.
    """
    try:
        text = body.decode()
        found: JsonValue = _DECODER.decode(text)
    except BadRequestError:
        raise
    except RecursionError as error:
        raise BadRequestError(f"the body is nested deeper than {max_depth} levels") from error
    except ValueError as error:
        raise BadRequestError("the body is not JSON in UTF-8") from error
    # Few brackets cannot be deep, and most bodies have few.
    if text.count("[") + text.count("{") > max_depth and _is_deeper(found, max_depth):
        raise BadRequestError(f"the body is nested deeper than {max_depth} levels")
    if "\\u" in text and not _is_whole(found):
        raise BadRequestError("the body holds half a character (a lone surrogate)")
    return found


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequestError("the body names a key twice in one object")
    return found


def _no_constant(_: str) -> NoReturn:
    raise BadRequestError("the body holds a number that JSON has not")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadRequestError("the body holds a number that is too large")
    return value


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)


def _is_deeper(found: JsonValue, levels: int) -> bool:
    layer = [found]
    for _ in range(levels):
        layer = [each for value in layer if isinstance(value, list | dict) for each in _within(value)]
    return any(isinstance(each, list | dict) for each in layer)


def _within(value: list[JsonValue] | dict[str, JsonValue]) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else value


def _is_whole(found: JsonValue) -> bool:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
