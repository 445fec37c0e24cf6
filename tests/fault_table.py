"""The tables of `docs/faults.md`: each fault, what was seen of it, its bound, and the day on which it ran.

A test of a fault says what it saw with `record`; `make faults` has it kept, and writes the page from it. The
rows of the second table are written by hand but for their date: that of the last whole run of the tests that
they name. A run of some tests only leaves the other rows, with their own dates, as they were.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[1]
PAGE: Final = CHECKOUT / "docs" / "faults.md"
KEEP: Final = "AGENTID_FAULTS_TABLE"
"""The variable that names the file in which what was seen is kept; without it, nothing is."""
_BEGIN: Final = "## What was seen\n"
_END: Final = "\n## Made with every change\n"
"""The headings between which the table stands."""
_AFTER: Final = "\n## A key that is written after its task's end\n"
"""The heading at which the second table is over."""
_DAY: Final = "run on"
_HEAD: Final = "| fault | at | came out | bound | seen | run on |\n|---|---|---|---|---|---|\n"


def is_kept() -> bool:
    """Return whether this is a run of `make faults`."""
    return KEEP in os.environ


def record(fault: str, at: str, *, bound: str, seen: str, came_out: str = "as a clean run") -> None:
    """Keep what was seen of a fault; nothing happens outside of `make faults`.

    Args:
        fault: What was done, in a few words.
        at: At which write or moment.
        bound: After what nothing may be readable any more, in words.
        seen: What it took this time.
        came_out: The end state and the counts of creates and deletes.
    """
    _keep({"fault": fault, "at": at, "came out": came_out, "bound": bound, "seen": seen})


def record_whole(tests: str) -> None:
    """Keep that all tests of a module have passed; nothing happens outside of `make faults`."""
    _keep({"test": Path(tests).name})


def _keep(row: Mapping[str, str]) -> None:
    if kept := os.environ.get(KEEP):
        with Path(kept).open("a") as file:
            file.write(json.dumps({**row, _DAY: f"{datetime.now(UTC):%Y-%m-%d}"}) + "\n")


def written(page: str, rows: Iterable[Mapping[str, str]]) -> str:
    """The page with what was kept: rows of the first table, and the days of those of the second.

    A row takes the place of that of the same fault at the same moment.
    """
    rows = list(rows)
    seen = [row for row in rows if "fault" in row]
    days = {row["test"]: row[_DAY] for row in rows if "test" in row}
    return _dated(_told(page, seen), days)


def _told(page: str, rows: Iterable[Mapping[str, str]]) -> str:
    before, _, rest = page.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    known: dict[tuple[str, ...], str] = {}
    for line in old.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "fault":
            known[tuple(cells[:2])] = line
    for row in rows:
        known[row["fault"], row["at"]] = "| " + " | ".join(row.values()) + " |"
    table = _HEAD + "\n".join(known.values())
    return f"{before}{_BEGIN}\n{table}\n{_END}{after}"


def tests_in(text: str) -> list[str]:
    """The modules of tests that a row, or a page, names."""
    return re.findall(r"`(test_\w+\.py)`", text)


def _dated(page: str, days: Mapping[str, str]) -> str:
    before, end, rest = page.partition(_END)
    table, after, last = rest.partition(_AFTER)
    lines = table.split("\n")
    for number, line in enumerate(lines):
        tests = tests_in(line)
        if tests and days.keys() >= set(tests):
            *cells, _ = line.strip("|").split("|")
            lines[number] = "|" + "|".join([*cells, f" {min(days[test] for test in tests)} "]) + "|"
    return before + end + "\n".join(lines) + after + last


def main() -> int:
    """Write the page from the file that is named, and print the tables."""
    lines = Path(sys.argv[1]).read_text().splitlines()
    page = written(PAGE.read_text(encoding="utf-8"), map(json.loads, lines))
    PAGE.write_text(page, encoding="utf-8")
    sys.stdout.write(page.partition(_BEGIN)[2].partition(_AFTER)[0].strip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
