"""The record in files: nothing counts before it is on the disk, and a crash leaves no half of it."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agentid.sinks import segment_file
from agentid.sinks.errors import SinkError
from agentid.sinks.segment_file import lines_of, whole_in
from agentid.sinks.segments import SegmentSink

RECORDS = [b'{"kind":"issued"}\n', b'{"kind":"ended","revoked":[]}']


def sink(folder: Path, max_bytes: int = 2**20, max_files: int = 4) -> SegmentSink:
    return SegmentSink(folder, max_bytes=max_bytes, max_files=max_files)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        orjson.loads(line) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_each_record_is_a_line_with_its_batch_and_its_place_there(tmp_path: Path) -> None:
    made = sink(tmp_path)
    assert await made.position() == 0
    await made.deliver(RECORDS, 7)
    await made.deliver(RECORDS[:1], 8)

    assert names(tmp_path) == ["0000000000000007.jsonl"]
    assert lines(tmp_path) == [
        {"sequence": 7, "index": 0, "count": 2, "record": {"kind": "issued"}},
        {"sequence": 7, "index": 1, "count": 2, "record": {"kind": "ended", "revoked": []}},
        {"sequence": 8, "index": 0, "count": 1, "record": {"kind": "issued"}},
    ]
    assert await made.position() == 8
    assert (tmp_path / names(tmp_path)[0]).stat().st_mode & 0o777 == 0o600
    await made.close()


async def test_position_is_found_from_the_files_and_what_is_there_is_not_written_again(
    tmp_path: Path,
) -> None:
    first = sink(tmp_path)
    await first.deliver(RECORDS, 1)
    await first.deliver(RECORDS, 2)
    await first.close()

    second = sink(tmp_path)
    assert await second.position() == 2
    await second.deliver(RECORDS, 2)
    await second.deliver(RECORDS, 3)
    assert [each["sequence"] for each in lines(tmp_path)] == [1, 1, 2, 2, 3, 3]
    await second.close()


async def test_files_are_rotated_by_size_named_by_their_first_batch_and_bounded_in_number(
    tmp_path: Path,
) -> None:
    made = sink(tmp_path, max_bytes=200, max_files=3)
    with capture_logs() as logs:
        for sequence in range(1, 11):
            await made.deliver(RECORDS, sequence)

    assert names(tmp_path) == [f"{sequence:016d}.jsonl" for sequence in (8, 9, 10)]
    assert [each["file"] for each in logs if each["event"] == "segment file removed"] == [
        f"{sequence:016d}.jsonl" for sequence in range(1, 8)
    ]
    again = sink(tmp_path, max_bytes=200, max_files=3)
    assert await again.position() == 10
    await made.close()
    await again.close()


WHOLE = lines_of(RECORDS, 1) + lines_of(RECORDS, 2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(min_value=0, max_value=len(WHOLE)), st.sampled_from([b"", b"\0\0\0", b'{"sequence"']))
def test_torn_batch_is_cut_off_and_told_wherever_the_crash_was(
    tmp_path: Path, written: int, noise: bytes
) -> None:
    path = tmp_path / "0000000000000001.jsonl"
    path.write_bytes(WHOLE[:written] + noise)
    one = len(WHOLE) // 2
    whole = written // one

    async def look() -> int | None:
        made = sink(tmp_path)
        try:
            position = await made.position()
            await made.deliver(RECORDS, whole + 1)
            return position
        finally:
            await made.close()

    with capture_logs() as logs:
        assert asyncio.run(look()) == whole
    assert path.read_bytes() == WHOLE[: whole * one] + lines_of(RECORDS, whole + 1)
    told = [each["bytes"] for each in logs if each["event"] == "torn record cut off"]
    torn = written - whole * one + len(noise)
    assert told == ([torn] if torn else [])


async def test_file_that_has_nothing_whole_does_not_hide_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "0000000000000001.jsonl").write_bytes(WHOLE)
    (tmp_path / "0000000000000003.jsonl").write_bytes(lines_of(RECORDS, 3)[:-1])

    made = sink(tmp_path)
    assert await made.position() == 2
    await made.deliver(RECORDS, 3)
    assert (tmp_path / "0000000000000003.jsonl").read_bytes() == lines_of(RECORDS, 3)
    await made.close()


@pytest.mark.parametrize(
    "foreign",
    [b"hello\n", b'{"sequence":1}\n', WHOLE.splitlines(keepends=True)[1], b"\0\0\0\n"],
)
async def test_line_that_was_never_written_so_is_not_cut_off_but_told(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "0000000000000001.jsonl"
    content = WHOLE + foreign + WHOLE
    path.write_bytes(content)

    made = sink(tmp_path)
    with pytest.raises(SinkError, match="no record in line 5"):
        await made.position()
    with pytest.raises(SinkError, match="no record in line 5"):
        await made.deliver(RECORDS, 3)
    assert path.read_bytes() == content


async def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    others = ["lost+found.txt", "1.jsonl", "0000000000000001.jsonl.gz", "x0000000000000001.jsonl"]
    for name in others:
        (tmp_path / name).write_text("other")
    made = sink(tmp_path, max_bytes=1, max_files=2)
    for sequence in range(1, 5):
        await made.deliver(RECORDS, sequence)
    assert set(others) < set(names(tmp_path))
    await made.close()


async def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="No such file"):
        await sink(tmp_path / "gone").deliver(RECORDS, 1)


# ---- A full disk ------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of that size."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "agentid-test", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        # Lazily: a test that fails leaves a file open there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount a small file system")
async def test_full_disk_is_told_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    large = [b'{"kind":"issued","message":"%b"}' % (b"x" * 30_000)]
    with small_disk(tmp_path, 128) as folder:
        made = sink(folder)
        (folder / "other").write_bytes(b"x" * 80_000)
        await made.deliver(large, 1)
        for _ in range(3):
            with pytest.raises(SinkError, match="No space left on device"):
                await made.deliver(large, 2)
        assert await made.position() == 1
        # Nothing of it is left behind, which would take the room that there is.
        assert (folder / "0000000000000001.jsonl").read_bytes() == lines_of(large, 1)

        (folder / "other").unlink()
        await made.deliver(large, 2)
        assert [each["sequence"] for each in lines(folder)] == [1, 2]
        await made.close()


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


async def test_batch_that_was_written_in_part_is_cut_off_before_it_is_written_again(tmp_path: Path) -> None:
    made = sink(tmp_path)
    await made.deliver(RECORDS, 1)
    with longest_file(len(lines_of(RECORDS, 1)) + 10), pytest.raises(SinkError, match="File too large"):
        await made.deliver(RECORDS, 2)
    assert (tmp_path / "0000000000000001.jsonl").read_bytes() == lines_of(RECORDS, 1)
    await made.deliver(RECORDS, 2)
    assert (tmp_path / "0000000000000001.jsonl").read_bytes() == WHOLE
    await made.close()


@pytest.mark.parametrize("nothing_works", [False, True])
async def test_batch_does_not_count_whose_fsync_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_works: bool,  # noqa: FBT001 - parametrized
) -> None:
    made = sink(tmp_path)
    await made.deliver(RECORDS, 1)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(segment_file.os, "fsync", fails)
    if nothing_works:
        monkeypatch.setattr(segment_file.os, "ftruncate", lambda descriptor, _: fails(descriptor))
    for _ in range(2):
        with pytest.raises(SinkError, match="Input/output error"):
            await made.deliver(RECORDS, 2)
    assert await made.position() == 1
    monkeypatch.undo()
    await made.deliver(RECORDS, 2)
    assert (tmp_path / "0000000000000001.jsonl").read_bytes() == WHOLE
    await made.close()


# ---- A process that is killed -----------------------------------------------------------------------------

KILLED = textwrap.dedent(
    """
    import asyncio, os, sys
    from pathlib import Path
    from agentid.sinks import segment_file
    from agentid.sinks.segments import SegmentSink

    RECORDS = [b'{"kind":"issued"}', b'{"kind":"ended"}']

    async def main(folder, where):
        sink = SegmentSink(Path(folder), max_bytes=2**20, max_files=4)
        await sink.deliver(RECORDS, 1)
        write, kill = os.write, lambda *_: os.kill(os.getpid(), 9)
        if where == "before fsync":
            segment_file.os.fsync = kill
        else:
            segment_file.os.write = lambda to, what: (write(to, bytes(what)[:40]), kill())
        await sink.deliver(RECORDS, 2)

    asyncio.run(main(*sys.argv[1:]))
    """
)


@pytest.mark.parametrize(("where", "there"), [("before fsync", 2), ("in the middle", 1)])
async def test_sink_goes_on_after_its_process_was_killed(tmp_path: Path, where: str, there: int) -> None:
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", KILLED, str(tmp_path), where],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    synced: list[int] = []
    made, fsync = sink(tmp_path), os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_file.os, "fsync", lambda descriptor: (synced.append(1), fsync(descriptor)))
        # What is there counts only once it is on the disk, which a killed process did not see to.
        assert await made.position() == there
    assert synced
    await made.deliver(RECORDS, 3)
    assert {each["sequence"] for each in lines(tmp_path)} == set(range(1, there + 1)) | {3}
    await made.close()


@given(st.binary(max_size=300))
def test_whatever_is_in_a_file_it_has_whole_batches_or_is_told(content: bytes) -> None:
    path = Path(f"/dev/shm/agentid-test-{os.getpid()}.jsonl")  # noqa: S108 - a file of this process
    path.write_bytes(WHOLE + content)
    try:
        whole = whole_in(path)
    except SinkError:
        return
    finally:
        path.unlink()
    assert whole.size >= len(WHOLE)
