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
    command = [sys.executable, "-m", "agentid", *arguments, "--kubeconfig", str(kubeconfig)]
    done = subprocess.run(
        command,
        env=os.environ | {"COLUMNS": str(_COLUMNS)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr or done.stdout)
    return done.stdout
