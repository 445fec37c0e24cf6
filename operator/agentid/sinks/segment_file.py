"""One segment file: lines of records, and what of them is whole after a crash."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentid.sinks.errors import SinkError

_LINE: Final = re.compile(
    rb'\{"sequence":([0-9]{1,16}),"index":([0-9]{1,9}),"count":([0-9]{1,9}),"record":(\{.*\})\}'
)
_MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Longer than any batch of the ledger."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What is whole in a file.

    Attributes:
        sequence: Of the last batch whose every record is there; None: there is none.
        size: Where that ends, in bytes; what follows is torn.
    """

    sequence: int | None
    size: int


def lines_of(records: Sequence[bytes], sequence: int) -> bytes:
    """Return a batch as it is written: one JSON object a line, which says how many lines the batch has."""
    return b"".join(
        b'{"sequence":%d,"index":%d,"count":%d,"record":%b}\n'
        % (sequence, index, len(records), record.rstrip(b"\n"))
        for index, record in enumerate(records)
    )


def whole_in(path: Path) -> Whole:
    """Return what is whole in the file.

    What a crash can leave is a batch that is not finished, at the end. Anything else is not cut off.

    Raises:
        SinkError: there is a line, before the end, that was never written as it is.
        OSError: it cannot be read.
    """
    whole, offset, begun = Whole(None, 0), 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), start=1):
            if not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
                break
            offset += len(line)
            found = _LINE.fullmatch(line, 0, len(line) - 1)
            sequence, index, count = map(int, found.groups()[:3]) if found else (0, 0, 0)
            if found is None or index != begun or index >= count:
                raise SinkError(
                    f"{path.name} has no record in line {number}: move it away, and find out who wrote there"
                )
            begun = 0 if index == count - 1 else index + 1
            if not begun:
                whole = Whole(sequence, offset)
    return whole


def records_in(path: Path) -> Iterator[bytes]:
    """Yield the records in the file; what a crash tore at its end is left out.

    Raises:
        SinkError: there is a line, before the end, that was never written as it is.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), start=1):
            if not line.endswith(b"\n"):
                return
            found = _LINE.fullmatch(line, 0, len(line) - 1)
            if found is None:
                raise SinkError(f"{path.name} has no record in line {number}")
            yield line[found.start(4) : -2]


class SegmentFile:
    """A file that is appended to, open for writing; `size` is that of what is whole in it."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it; only the operator may read it.

        Raises:
            OSError: that cannot be done.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._descriptor).st_size

    def cut(self, size: int) -> int:
        """Cut it to what is whole, and return how many bytes that were more, when the rest is on the disk.

        Raises:
            OSError: that cannot be done.
        """
        torn = os.fstat(self._descriptor).st_size - size
        if torn:
            os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self.size = size
        return torn

    def append(self, content: bytes) -> None:
        """Append, and return when it is on the disk.

        Raises:
            OSError: it may be there in part.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)
        self.size += len(content)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def sync_folder(folder: Path) -> None:
    """Return when the names of the files in `folder` are on the disk.

    Raises:
        OSError: that cannot be done.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
