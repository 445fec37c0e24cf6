"""Prints answers: as JSON, YAML and tables, and text in which each thing said has its name in front."""

import json
from collections.abc import Sequence
from datetime import timedelta

import yaml
from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from agentid.cli.options import ListOutput, Output

_GAP = 3


def printer() -> Console:
    """Return where answers are printed: in colour on a terminal only, and never with NO_COLOR."""
    return Console(highlight=False, emoji=False, soft_wrap=True)


def told(answer: JsonValue, output: Output | ListOutput) -> str:
    """Return an answer as a program reads it: YAML where that is asked for, otherwise JSON."""
    if output in {Output.YAML, ListOutput.YAML}:
        return yaml.safe_dump(answer, sort_keys=False, allow_unicode=True, width=110).rstrip("\n")
    return json.dumps(answer, indent=2, ensure_ascii=False)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below their head, as kubectl prints them."""
    widths = [max(len(each) for each in column) for column in zip(head, *rows, strict=True)]
    lines = (
        "".join(f"{cell:<{width + _GAP}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)


def age(of: timedelta) -> str:
    """Return how long something has been there, as kubectl says it: 90s, 45m, 30h, 12d."""
    seconds = max(int(of.total_seconds()), 0)
    for unit, length, up_to in (("s", 1, 120), ("m", 60, 180 * 60), ("h", 3600, 48 * 3600)):
        if seconds < up_to:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86400}d"


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
