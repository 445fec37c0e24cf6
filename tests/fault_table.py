"""The table of `docs/faults.md`: each fault, what was seen of it, its bound, and the day on which it ran.

A test of a fault says what it saw with `record`; `make faults` has it kept, and writes the page from it. A
run of some tests only leaves the other rows, with their own dates, as they were.
"""

import json
import os
import sys
from collections.abc import Mapping
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
    if (kept := os.environ.get(KEEP)) is None:
        return
    row = {
        "fault": fault,
        "at": at,
        "came out": came_out,
        "bound": bound,
        "seen": seen,
        "run on": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    with Path(kept).open("a") as file:
        file.write(json.dumps(row) + "\n")


def written(page: str, rows: list[Mapping[str, str]]) -> str:
    """The page with these rows in the place of those of the same fault at the same moment."""
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


def main() -> int:
    """Write the page from the file that is named, and print the table."""
    lines = Path(sys.argv[1]).read_text().splitlines()
    page = written(PAGE.read_text(), [json.loads(line) for line in lines])
    PAGE.write_text(page)
    sys.stdout.write(page.partition(_BEGIN)[2].partition(_END)[0].strip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
