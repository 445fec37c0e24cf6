"""One run of a cluster: its folder, its programs, and the promise that both are gone afterwards.

Whoever starts a run holds a lock that the kernel drops at its death. A keeper, a small process in a
session of its own, waits for that death and ends the run, also after a kill -9; should the keeper be
killed too, the next start does it. A detached run has no owner any more: it belongs to a file in the
checkout, and is ended when it is asked for, or by the next start once that file or this boot is gone.
"""

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from devcluster import reaping
from devcluster.errors import StartError
from devcluster.places import CHECKOUT, cache
from devcluster.process import Process

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
DETACH = b"detach"


class Run:
    """A run of which this process is the owner; a context manager that ends it.

    Attributes:
        folder: Where its data, logs, certificates and sockets are, for this user only.
    """

    def __init__(self, folder: Path, lock: IO[str], keeper: subprocess.Popen[bytes] | None) -> None:
        self.folder = folder
        self._lock = lock
        self._keeper = keeper
        self._detached = keeper is None
        self._processes: list[Process] = []

    @classmethod
    def begin(cls) -> Self:
        """Begin a run, after ending what killed runs have left behind."""
        reap_leftovers()
        run_id = secrets.token_hex(4)
        lock = _lock_file(run_id).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = runs_folder() / run_id
        folder.mkdir(mode=0o700)
        (folder / "boot").write_text(BOOT_ID.read_text())
        keeper = subprocess.Popen(
            [sys.executable, "-m", "devcluster.keeper", str(folder)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return cls(folder, lock, keeper)

    @classmethod
    def detached(cls, folder: Path) -> Self:
        """A detached run, to start a program in it once more: it goes on afterwards as before."""
        lock = _lock_file(folder.name).open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(folder, lock, None)

    @property
    def id(self) -> str:
        """The run's name: eight hexadecimal digits."""
        return self.folder.name

    def process(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> Process:
        """A program of this run, not yet started.

        Args:
            name: What to call it, also its log file's name.
            command: Its command line.
            environment: Its environment; this process's own where none is given.
        """
        base = os.environ if environment is None else environment
        process = Process(name, command, {**base, reaping.MARK: self.id}, self.folder / f"{name}.log")
        self._processes.append(process)
        return process

    def detach(self, claim: Path) -> None:
        """Let the run go on after this process.

        Args:
            claim: A file that names this run's folder under the key "folder"; without it the run is ended by
                the next start.
        """
        (self.folder / "claim").write_text(str(claim))
        self._detached = True
        self._dismiss_keeper(DETACH)
        self._lock.close()

    def end(self) -> None:
        """End all programs and remove the folder."""
        for process in self._processes:
            # The kernel shows the environment of one that was just started a moment later than itself.
            process.kill()
        reaping.end(self.folder)
        self._dismiss_keeper(b"")
        _lock_file(self.id).unlink(missing_ok=True)
        self._lock.close()

    def _dismiss_keeper(self, last_word: bytes) -> None:
        """Tell the keeper what to do and wait until it has gone."""
        if self._keeper:
            with suppress(BrokenPipeError):
                self._keeper.communicate(last_word)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._detached:
            self._lock.close()
        else:
            self.end()


def runs_folder() -> Path:
    """Where the folders of all runs are."""
    folder = cache() / "runs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def reap_leftovers() -> list[str]:
    """End each run whose owner is dead and that nobody claims.

    Returns:
        The names of those.
    """
    return [folder.name for folder in runs_folder().iterdir() if folder.is_dir() and end_if_dead(folder)]


def end_if_dead(folder: Path, *, even_if_claimed: bool = False, wait: bool = False) -> bool:
    """End a run unless its owner lives, or it was detached and is still claimed.

    Args:
        folder: The run's folder.
        even_if_claimed: End a detached run also; for who asks for just that.
        wait: The owner is dying right now: wait for its last breath, which drops its lock.

    Returns:
        Whether it was ended.
    """
    lock_file = _lock_file(folder.name)
    with lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not even_if_claimed and _is_claimed(folder):
            return False
        reaping.end(folder)
        lock_file.unlink(missing_ok=True)
        return True


def disk_free_or_raise(needed_gigabytes: float) -> None:
    """Refuse to start on a full disk, where etcd would only hang.

    Raises:
        StartError: There is less free than needed.
    """
    free = shutil.disk_usage(runs_folder()).free / 1e9
    if free < needed_gigabytes:
        raise StartError(
            f"{runs_folder()} has {free:.1f} GB free; a cluster needs {needed_gigabytes} GB there."
        )


def _is_claimed(folder: Path) -> bool:
    """Was it detached in this boot, and does the file that claims it still name it?"""
    try:
        if (folder / "boot").read_text() != BOOT_ID.read_text():
            return False
        claim = Path((folder / "claim").read_text())
        return bool(json.loads(claim.read_text())["folder"] == str(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lock_file(run_id: str) -> Path:
    """Beside the folder, not in it: it is held while the folder is removed."""
    return runs_folder() / f"{run_id}.lock"
