"""How times, names and lists read in messages, and how long a message may be."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from agentid.api.fields import format_time

MAX_MESSAGE_BYTES: Final = 1000
"""An Event's note may have 1 kB; a condition's message 1024 characters."""

_MAX_SHOWN_NAMES: Final = 5


def at(moment: datetime) -> str:
    """Return `moment` as Kubernetes writes it, in UTC."""
    return format_time(moment)


def clip(message: str, limit: int = MAX_MESSAGE_BYTES) -> str:
    """Return `message` in at most `limit` bytes of UTF-8, cut at a character.

    Its last sentence says what to do: what is left out stands before it, unless it is too long itself.
    """
    raw = message.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    begin = raw.rfind(b". ") + 1
    last = raw[begin:] if begin and len(raw) - begin <= limit // 2 else b""
    return raw[: limit - len(last) - 3].decode(errors="ignore") + "…" + last.decode()


def name(text: str) -> str:
    """Return a name that others chose, on one line, without what does not show."""
    return "".join(each if each.isprintable() else "?" for each in text)


def names(many: Iterable[str]) -> str:
    """Return the first few of `many`, separated by commas, and how many more there are."""
    all_of_them = [name(one) for one in many]
    more = len(all_of_them) - _MAX_SHOWN_NAMES
    shown = ", ".join(all_of_them[:_MAX_SHOWN_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def nth(number: int) -> str:
    """Return `number` as an ordinal: 1st, 2nd, 3rd, 4th, 11th."""
    last_two = number % 100
    if last_two in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
