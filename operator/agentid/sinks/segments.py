"""The record in files on a volume: on the disk before a batch counts, rotated by size, bounded in number."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

import structlog

from agentid.sinks.errors import SinkError
from agentid.sinks.segment_file import SegmentFile, lines_of, sync_folder, whole_in
from agentid.sinks.sink import SinkName

_log = structlog.get_logger("agentid.sinks")

_NAME: Final = re.compile(r"[0-9]{16}\.jsonl")
"""By the first batch in the file: in the order of their names, files are in that of batches."""

Result = TypeVar("Result")


class SegmentSink:
    """Files of one folder, in which nobody else writes; whoever reads them may take older ones away."""

    def __init__(self, folder: Path, *, max_bytes: int, max_files: int) -> None:
        """Keep at most `max_files` files of about `max_bytes` each: the oldest goes when a new one begins."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._position: int | None = None
        self._file: SegmentFile | None = None
        self._is_torn = False
        # Where nobody waits for it any more, a thread still goes on with what it has begun.
        self._one_at_a_time = Lock()

    @property
    def name(self) -> SinkName:
        """Which sink it is."""
        return SinkName.SEGMENTS

    async def position(self) -> int | None:
        """Return the sequence number of the last batch in the files, 0 where there is none.

        What a crash tore is cut off first, and told.

        Raises:
            SinkError: the files cannot be read.
        """
        return await self._in_a_thread(self._opened)

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        """Append the batch to the newest file; what is there already is not written again.

        Raises:
            SinkError: it is not surely on the disk, as when that is full.
        """
        await self._in_a_thread(lambda: self._append(records, sequence))

    async def close(self) -> None:
        """Close the file."""
        await self._in_a_thread(self._let_go)

    async def _in_a_thread(self, work: Callable[[], Result]) -> Result:
        def locked() -> Result:
            with self._one_at_a_time:
                return work()

        try:
            return await asyncio.to_thread(locked)
        except OSError as error:
            raise SinkError(f"{self._folder}: {error.strerror or error}") from error

    def _opened(self) -> int:
        if self._position is None:
            self._position = self._found()
        return self._position

    def _found(self) -> int:
        """Open the newest file, and return the last batch that is whole in it or an older one."""
        files = self._files()
        if not files:
            return 0
        *older, newest = files
        whole = whole_in(newest)
        file = SegmentFile(newest)
        try:
            # Also where nothing is torn: what a process wrote that was killed is not on the disk for that.
            torn = file.cut(whole.size)
        except OSError:
            file.close()
            raise
        if torn:
            _log.warning("torn record cut off", file=newest.name, bytes=torn)
        self._file = file
        in_order = (whole, *(whole_in(path) for path in reversed(older)))
        return next((each.sequence for each in in_order if each.sequence is not None), 0)

    def _append(self, records: Sequence[bytes], sequence: int) -> None:
        if sequence <= self._opened() or not records:
            return
        if self._file is not None and self._is_torn:
            self._cut_back(self._file)
        content = lines_of(records, sequence)
        file = self._file_for(len(content), sequence)
        try:
            file.append(content)
        except OSError:
            self._is_torn = True
            # What is there of it is cut off now, or where that fails, before anything else is written.
            self._cut_back(file)
            raise
        self._position = sequence

    def _cut_back(self, file: SegmentFile) -> None:
        file.cut(file.size)
        self._is_torn = False

    def _file_for(self, added: int, sequence: int) -> SegmentFile:
        file = self._file
        if file is not None and (not file.size or file.size + added <= self._max_bytes):
            return file
        files = self._files()
        for path in files[: max(0, len(files) - self._max_files + 1)]:
            path.unlink()
            _log.info("segment file removed", file=path.name)
        self._let_go()
        self._file = SegmentFile(self._folder / f"{sequence:016d}.jsonl")
        sync_folder(self._folder)
        return self._file

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
