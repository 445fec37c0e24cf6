"""Prints answers: as JSON, YAML and tables, and text in which each thing said has its name in front."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import yaml
from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from agentid.cli.options import ListOutput, Output

_GAP = 3
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def printer(*, aside: bool = False) -> Console:
    """Return where answers are printed: in colour on a terminal only, and never with NO_COLOR.

    `aside`: on standard error, so that what a program reads stays as it is.
    """
    return Console(highlight=False, emoji=False, soft_wrap=True, stderr=aside)


def told(answer: JsonValue, output: Output | ListOutput) -> str:
    """Return an answer as a program reads it: YAML where that is asked for, otherwise JSON.

    Programs print to terminals too: what does not show or moves the cursor is written by its number.
    """
    if output in {Output.YAML, ListOutput.YAML}:
        said = _as_yaml(answer, is_plain=True)
        # Only quoted text can have escapes, and which is quoted is PyYAML's to say.
        is_plain = all(each.isprintable() for each in said.split("\n"))
        return said if is_plain else _as_yaml(answer, is_plain=False)
    said = json.dumps(answer, indent=2, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in said)


def _as_yaml(answer: JsonValue, *, is_plain: bool) -> str:
    return yaml.safe_dump(answer, sort_keys=False, allow_unicode=is_plain, width=110).rstrip("\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below their head, as kubectl prints them."""
    widths = [max(len(each) for each in column) for column in zip(head, *rows, strict=True)]
    lines = (
        "".join(f"{cell:<{width + _GAP}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)


class Columns:
    """A table whose rows come block by block: the first block sets how wide its columns are."""

    def __init__(self, head: Sequence[str]) -> None:
        self._head = head
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return the lines of the next block; above the first one, the head."""
        first = not self._widths
        block = [self._head, *rows] if first else rows
        if first and rows:
            self._widths = [max(map(len, column)) for column in zip(*block, strict=True)]
        return [self._line(each) for each in block] if rows else []

    def _line(self, row: Sequence[str]) -> str:
        cells = zip(row, self._widths, strict=True)
        return "".join(f"{cell:<{width}}{' ' * _GAP}" for cell, width in cells).rstrip()


def span(time: timedelta) -> str:
    """Return how long something is ago, or to come, as kubectl does: 45s, 12m, 3h, 5d; never less than 0s."""
    seconds = max(int(time.total_seconds()), 0)
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= 2 * unit:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


def shown(text: str) -> str:
    """Return what others wrote on one line, without what does not show or moves the cursor."""
    return "".join(each if each.isprintable() else " " for each in text)


def paragraphs(title: str, style: str, rows: Sequence[tuple[str, str]], console: Console) -> None:
    """Print a sentence, and below it each name with what is said of it; a name that repeats stands once."""
    console.print(Text(shown(title), style=style))
    width = max((len(name) for name, _ in rows), default=0)
    before = None
    for name, said in rows:
        margin = "" if name == before else name
        before = name
        room = max(console.width - width - 2 - _GAP, 40)
        for line in Text(shown(said)).wrap(console, room):
            line.rstrip()
            console.print(Text(f"  {margin:<{width}}{' ' * (_GAP - 1)}", style="dim") + line)
            margin = ""
