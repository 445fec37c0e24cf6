"""`kubectl_complete-agentid`: how kubectl completes `kubectl agentid …`, by the completion for bash."""

import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from typing import Final

from agentid.cli.main import app

_FILES_TOO: Final = 0
"""As cobra's ShellCompDirectiveDefault: where nothing is offered, the shell offers files."""
_THESE_ONLY: Final = 4
"""As cobra's ShellCompDirectiveNoFileComp."""


def answer(words: Sequence[str]) -> str:
    """Return what may come next, one a line, and last what the shell makes of it, as cobra says it.

    Args:
        words: What stands behind `kubectl agentid`; the last one is to be completed, and may be empty.
    """
    line = ["agentid", *words]
    asked = {
        "_AGENTID_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(line),
        "COMP_CWORD": str(max(len(line) - 1, 1)),
    }
    os.environ.update(asked)
    offered = io.StringIO()
    with redirect_stdout(offered), suppress(SystemExit):
        app(prog_name="agentid")
    completions = [each for each in offered.getvalue().splitlines() if each]
    return "\n".join([*completions, f":{_THESE_ONLY if completions else _FILES_TOO}"])


def run() -> None:
    """Answer kubectl about its arguments."""
    sys.stdout.write(f"{answer(sys.argv[1:])}\n")
