"""Follows one object with `kubectl get --watch`: each state it passes through, at the cost of one process."""

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

from devcluster.errors import KubectlError

AGAIN_SECONDS = 0.3


def states(
    command: list[str], environment: Mapping[str, str], until: float
) -> Iterator[dict[str, Any] | None]:
    """The object as it is now and each time that it changes; None when it was deleted.

    A watch that breaks, because the API server ended, is begun again.

    Args:
        command: A `kubectl get` of one object by `--field-selector`.
        environment: Its environment.
        until: When to stop, by `time.monotonic`.

    Raises:
        KubectlError: The server knows no such kind, or the user may not watch it.
    """
    watch = [*command, "--watch", "--output-watch-events", "--output=json"]
    while time.monotonic() < until:
        with subprocess.Popen(
            watch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            try:
                for line in _lines(running, until):
                    event = json.loads(line)
                    yield None if event["type"] == "DELETED" else event["object"]
            finally:
                running.kill()
            said = running.stderr.read().decode() if running.stderr else ""
        if is_final(said):
            raise KubectlError(watch, running.returncode, said)
        time.sleep(AGAIN_SECONDS)


def is_final(said: str) -> bool:
    """Is what kubectl wrote to standard error a reason not to try again?"""
    return "doesn't have a resource type" in said or "(Forbidden)" in said


def _lines(running: subprocess.Popen[bytes], until: float) -> Iterator[bytes]:
    """The lines that it writes, until it ends or time is up."""
    if running.stdout is None:
        return
    rest = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([running.stdout], [], [], left)[0]:
            return
        block = os.read(running.stdout.fileno(), 1 << 20)
        if not block:
            return
        *whole, rest = (rest + block).split(b"\n")
        yield from (line for line in whole if line.strip())
