"""Reads a ledger out of files, line by line: what `agentid audit export` or a sink of segments wrote."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from agentid.cli.audit.parcels import BatchObject, Parcel, SinkLine
from agentid.cli.errors import UnusableFileError
from agentid.watched.facts import mapping

STDIN: Final = "-"
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Longer than any batch: its records have 192 KiB, in which each character may take six."""

_BEGINS: Final = b'{"'
_is_sink_line: Final = re.compile(
    rb'\{"sequence":([1-9][0-9]{0,15}),"index":([0-9]{1,9}),"count":([1-9][0-9]{0,8}),"record":(\{.*\})\}'
).fullmatch


def parcels_in(files: Sequence[Path]) -> Iterator[Parcel]:
    """Yield what is in the files, in the order in which they are named; `-` is standard input.

    A line that is neither a batch nor a record comes as a batch with a `problem`: it is evidence too.

    Raises:
        UnusableFileError: a file cannot be read, or it is no such file at all.
    """
    for file in files:
        yield from _parcels(file)


def _parcels(file: Path) -> Iterator[Parcel]:
    for number, line in _lines(file):
        if number == 1 and not line.startswith(_BEGINS):
            raise UnusableFileError(
                f"{file} holds no ledger: --file takes what agentid audit export writes, one LedgerBatch "
                "a line, or the segments that a sink writes"
            )
        yield _parcel(line, f"line {number} of {file}")


def _parcel(line: bytes, where: str) -> Parcel:
    if found := _is_sink_line(line):
        sequence, index, count, record = found.groups()
        return SinkLine(int(sequence), int(index), int(count), record)
    if len(line) > MAX_LINE_BYTES:
        return BatchObject("", None, f"{where} is longer than any batch")
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BatchObject("", None, f"{where} is no JSON: {error}")
    name = mapping(mapping(read).get("metadata")).get("name")
    if not isinstance(name, str) or "spec" not in read:
        return BatchObject("", None, f"{where} is no LedgerBatch with metadata.name and spec")
    return BatchObject(name, read["spec"])


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, without its end; of one that is too long, its beginning."""
    try:
        with _opened(file) as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if line.strip():
                    yield number, line.rstrip(b"\r\n") if line.endswith(b"\n") else line
                while not line.endswith(b"\n") and (line := stream.readline(MAX_LINE_BYTES)):
                    pass
    except OSError as error:
        raise UnusableFileError(f"cannot read {file}: {error.strerror or error}") from error


def _opened(file: Path) -> "nullcontext[BinaryIO] | BinaryIO":
    return nullcontext(sys.stdin.buffer) if str(file) == STDIN else file.open("rb")
