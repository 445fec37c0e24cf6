"""Runs the real `agentid` as somebody, and returns what it printed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from devcluster.errors import CommandError

_COLUMNS: Final = 110
"""How wide it writes: the demo indents it, and READMEs have to hold it."""


def agentid(kubeconfig: Path, *arguments: str) -> str:
    """Run one command with the rights of a kubeconfig.

    Returns:
        Its standard output.

    Raises:
        CommandError: It was refused; the text is its standard error.
    """
    done = _run(*arguments, "--kubeconfig", str(kubeconfig))
    if done.returncode != 0:
        raise CommandError(done.args, done.returncode, done.stderr or done.stdout)
    return done.stdout


def verdict(*arguments: str) -> tuple[bool, str]:
    """Run a command that judges files, without a cluster.

    Returns:
        Whether it says yes, and what it printed.

    Raises:
        CommandError: It could not judge them.
    """
    done = _run(*arguments)
    if done.returncode not in {0, 1}:
        raise CommandError(done.args, done.returncode, done.stderr or done.stdout)
    return done.returncode == 0, done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentid", *arguments]
    return subprocess.run(
        command,
        env=os.environ | {"COLUMNS": str(_COLUMNS)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
