"""Where one may go on reading a file that another process appends lines to."""

import os
from pathlib import Path
from typing import Final

_CHUNK: Final = 64 * 1024


def end_of_lines(file: Path) -> int:
    """Where the last whole line ends, in bytes: what is just being written comes after it."""
    if not file.exists():
        return 0
    with file.open("rb") as lines:
        end = lines.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _CHUNK)
            lines.seek(begin)
            last = lines.read(end - begin).rfind(b"\n")
            if last >= 0:
                return begin + last + 1
            end = begin
    return 0
