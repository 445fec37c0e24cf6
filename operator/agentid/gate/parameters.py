"""The arguments of a call as policy reads them: by name, each a text, a whole number, or true or false."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from agentid.gate.errors import BadRequestError
from agentid.gate.question import Parameter

MAX_PARAMETERS: Final = 64
"""Of one call; what has more is refused, as a rule could look for any of them."""
_LEAST, _MOST = -(2**63), 2**63 - 1


def parameters(arguments: Mapping[str, JsonValue]) -> dict[str, Parameter]:
    """Return `arguments` by name; those within others by the names that lead there: `items.0.sku`.

    What policy has no type for is its text: a number with a fraction or beyond 64 bits. null is left out.

    Raises:
        BadRequestError: there are more than `MAX_PARAMETERS`, or two of one name.
    """
    found: dict[str, Parameter] = {}
    for name, value in _named("", arguments):
        if name in found:
            raise BadRequestError("two arguments are one to policy: their names are the same with dots")
        if len(found) == MAX_PARAMETERS:
            raise BadRequestError(f"there are more than {MAX_PARAMETERS} arguments")
        found[name] = value
    return found


def _named(before: str, value: JsonValue | Mapping[str, JsonValue]) -> Iterator[tuple[str, Parameter]]:
    match value:
        case None:
            return
        case Mapping():
            for name, each in value.items():
                yield from _named(f"{before}.{name}" if before else name, each)
        case list():
            for position, each in enumerate(value):
                yield from _named(f"{before}.{position}" if before else str(position), each)
        case bool() | str():
            yield before, value
        case int() | float():
            whole = int(value) if value == int(value) else None
            yield before, whole if whole is not None and _LEAST <= whole <= _MOST else str(value)
