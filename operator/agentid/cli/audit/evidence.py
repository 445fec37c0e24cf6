"""Reads and writes the files that an auditor keeps: keys, checkpoints, proofs and exports."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from agentid.cli.errors import UnusableFileError
from agentid.ledger.errors import InvalidHeadError, InvalidKeyError
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.witnessed import last_head

_MAX_BYTES: Final = 65_536
"""More than a key or a checkpoint has."""
_END_BYTES: Final = 1024 * 1024
"""More than the lines of two batches take, the last of which may be cut in two."""


def contents(file: Path, limit: int = _MAX_BYTES) -> bytes:
    """Return what is in a file, at most `limit` bytes of it.

    Raises:
        UnusableFileError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        raise UnusableFileError(f"cannot read {file}: {error.strerror or error}") from error


def key_of(file: Path) -> LedgerPublicKey:
    """Return the public key in a file.

    Raises:
        UnusableFileError: there is none.
    """
    try:
        return LedgerPublicKey.from_pem(contents(file))
    except InvalidKeyError as error:
        raise UnusableFileError(f"{file}: {error}") from error


def checkpoint_of(file: Path) -> KnownHead:
    """Return the checkpoint in a file, or the last head in one that a sink's receiver has kept.

    Raises:
        UnusableFileError: there is none.
    """
    try:
        return _head_in(file) or KnownHead.from_json(contents(file))
    except InvalidHeadError as error:
        raise UnusableFileError(
            f"{file}: {error}; --save-checkpoint writes one, and sinks get one with each batch"
        ) from error


def _head_in(file: Path) -> KnownHead | None:
    """Return the last head in a file that a sink's receiver has kept; None: it is no such file.

    Raises:
        UnusableFileError: it cannot be read.
        InvalidHeadError: the head does not agree with itself.
    """
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _END_BYTES))
            return last_head(stream.read(_END_BYTES))
    except OSError as error:
        raise UnusableFileError(f"cannot read {file}: {error.strerror or error}") from error


def refuse_unseen(saved: Path, since: Path | None) -> None:
    """See to it that a checkpoint is replaced only by one of a ledger that was compared with it.

    Raises:
        UnusableFileError: it would be by another.
    """
    is_kept_by_a_sink = since is not None and _head_in(since) is not None
    if saved.exists() and (since is None or not saved.samefile(since) or is_kept_by_a_sink):
        raise UnusableFileError(
            f"{saved} is there already; only who compares the ledger with it replaces it: --since {saved}"
        )


def keep(head: KnownHead, file: Path) -> None:
    """Write a checkpoint in the place of the one before it: at no time is there half of one.

    Raises:
        UnusableFileError: it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as made:
            try:
                made.write(head.to_json())
                made.flush()
                os.fsync(made.fileno())
                Path(made.name).replace(file)
            except OSError:
                Path(made.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UnusableFileError(f"cannot write {file}: {error.strerror or error}") from error


@contextmanager
def new_file(out: Path | None) -> Iterator[BinaryIO]:
    """Open a file that is new, or standard output; what did not become whole does not stay.

    Raises:
        UnusableFileError: it is there already, or cannot be written.
    """
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        stream = out.open("xb")
    except FileExistsError as error:
        raise UnusableFileError(f"{out} is there already, and evidence is not written over") from error
    except OSError as error:
        raise UnusableFileError(f"cannot write {out}: {error.strerror or error}") from error
    is_whole = False
    try:
        with stream:
            yield stream
        is_whole = True
    except OSError as error:
        raise UnusableFileError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if not is_whole:
            with suppress(OSError):
                out.unlink()
