"""Templates of paths and of resources: text with names in braces, and nothing that could take long."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote_to_bytes

MAX_PATH_LENGTH: Final = 4096
_ESCAPED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_NAME: Final = re.compile(r"\{([a-z][a-z0-9_.-]{0,62})\}")
_REST: Final = "**"
# What some servers read as a separator, or as the end of a path.
_AMBIGUOUS: Final = re.compile(r"[/\\;%#?\x00-\x1f\x7f]")


def segments(path: str) -> tuple[str, ...] | None:
    """Return the segments of a request's path, decoded; None: servers could read it in different ways.

    A query is cut off. Empty segments, dots, encoded slashes and the like are ambiguous.
    """
    if len(path) > MAX_PATH_LENGTH or not path.startswith("/"):
        return None
    raw = path.partition("?")[0]
    if raw == "/":
        return ()
    found = tuple(_decoded(each) for each in raw[1:].split("/"))
    whole = tuple(each for each in found if each is not None)
    return whole if len(whole) == len(found) else None


def _decoded(segment: str) -> str | None:
    if _ESCAPED.fullmatch(segment) is None:
        return None
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeError:
        return None
    return None if text in {"", ".", ".."} or _AMBIGUOUS.search(text) else text


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path such as /orders/{order}: a name stands for one segment, `**` at the end for all that follow."""

    parts: tuple[str, ...]
    names: tuple[str | None, ...]
    rest: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template that `text` writes.

        Raises:
            ValueError: it is none.
        """
        inner = text.removesuffix(f"/{_REST}")
        rest = inner != text
        parts = segments(inner or "/") if not rest or inner else ()
        if parts is None:
            raise ValueError(
                f"path {text!r} must be one that is sent as it stands, such as /orders/{{order}}"
            )
        names = tuple(found[1] if (found := _NAME.fullmatch(part)) else None for part in parts)
        if any(name is None and set(part) & set("{}*") for name, part in zip(names, parts, strict=True)):
            raise ValueError(f"path {text!r}: a name in braces stands for a whole segment, `**` for the rest")
        given = [name for name in names if name is not None]
        if len(set(given)) < len(given) or any("." in name for name in given):
            raise ValueError(f"path {text!r} has a name twice, or one with a dot")
        return cls(parts, names, rest)

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """Return the named segments of `path`, or None where it does not fit."""
        if len(path) < len(self.parts) or (len(path) > len(self.parts) and not self.rest):
            return None
        found: dict[str, str] = {}
        for part, name, segment in zip(self.parts, self.names, path, strict=False):
            if name is not None:
                found[name] = segment
            elif part != segment:
                return None
        return found


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text such as order/{order}."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template that `text` writes.

        Raises:
            ValueError: a brace in it is not one of a name.
        """
        pieces = _NAME.split(text)
        literals, names = tuple(pieces[::2]), tuple(pieces[1::2])
        if any(set(each) & set("{}") for each in literals):
            raise ValueError(f"{text!r}: a name stands in braces, such as order/{{order}}")
        return cls(literals, names)

    def fill(self, values: Mapping[str, object]) -> str | None:
        """Return the text with the values of its names; None where one is missing, or is true or false."""
        filled = [values.get(name) for name in self.names]
        if any(value is None or isinstance(value, bool) for value in filled):
            return None
        pairs = zip(filled, self.literals[1:], strict=True)
        return self.literals[0] + "".join(f"{value}{after}" for value, after in pairs)
