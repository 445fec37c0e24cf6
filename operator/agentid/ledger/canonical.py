"""RFC 8785 (JCS) of what the ledger holds: text, truth values, whole numbers, and lists and objects of them.

Anything else is refused: of these with names in ASCII, sorted JSON without spaces is the canonical form
already, and every reader of JSON keeps them exact.
"""

from typing import Final, TypeAlias

import orjson

from agentid.api.fields import MAX_COUNT
from agentid.ledger.errors import InvalidRecordError

Value: TypeAlias = "str | int | list[Value] | dict[str, Value]"
"""What a field can hold; a truth value is an int in Python."""

MAX_DEPTH: Final = 8
"""How many lists and objects may be inside each other."""


def canonical(value: object) -> bytes:
    """Return the RFC 8785 form of `value`, in which tuples are lists.

    Raises:
        InvalidRecordError: it holds something else than a `Value`; the text names the field.
    """
    _check(value, "", MAX_DEPTH)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        # What is left after the check: half of a surrogate pair.
        raise InvalidRecordError(f"holds text that is no UTF-8: {error}") from error


def decode(raw: bytes) -> dict[str, Value]:
    """Read one object that has to be in its RFC 8785 form, byte for byte.

    So a name that stands twice is refused too: what is read has it once.

    Raises:
        InvalidRecordError: `raw` is no such object.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRecordError(f"is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRecordError("is no JSON object")
    if canonical(value) != raw:
        raise InvalidRecordError(
            "is not in canonical form (RFC 8785): a name twice, a space, or another order or spelling"
        )
    return value


def _check(value: object, name: str, depth: int) -> None:
    if isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if not -MAX_COUNT <= value <= MAX_COUNT:
            raise InvalidRecordError(f"holds a number{_in(name)} that not every reader of JSON keeps exact")
        return
    if not isinstance(value, dict | list | tuple):
        raise InvalidRecordError(f"holds {type(value).__name__}{_in(name)}, which is no value of a record")
    if depth == 0:
        raise InvalidRecordError(f"is nested too deep{_in(name)}: more than {MAX_DEPTH} lists and objects")
    if not isinstance(value, dict):
        for item in value:
            _check(item, name, depth - 1)
        return
    for key, item in value.items():
        # RFC 8785 sorts names by UTF-16, JSON libraries by code points: in ASCII these are the same.
        if type(key) is not str or not key.isascii():
            raise InvalidRecordError(f"has the name {key!a}{_in(name)}; a name is text in ASCII")
        _check(item, key, depth - 1)


def _in(name: str) -> str:
    return f" in {name!a}" if name else ""
