"""What can keep a command from its answer, and how it ends then.

AgentidError
└── CommandError            told in one sentence, exit code 1
    ├── NotThereError       what was named does not exist
    ├── UnusableFileError   a file that cannot be read as what it was given for
    └── NotSeenError        the caller may not see what the answer takes
"""

import asyncio
import sys
from collections.abc import Coroutine

import typer

from agentid.errors import AgentidError

REFUSED = 1


class CommandError(AgentidError):
    """A command cannot do what it was asked for; the text says why, and what to do."""


class NotThereError(CommandError):
    """What was named does not exist."""


class UnusableFileError(CommandError):
    """A file cannot be read as what it was given for."""


class NotSeenError(CommandError):
    """The caller may not see what the answer takes."""


def finish(command: str, work: Coroutine[None, None, int]) -> None:
    """Do the work of a command and exit with what it returns; an error is one sentence and code 1."""
    try:
        code = asyncio.run(work)
    except AgentidError as error:
        sys.stderr.write(f"agentid {command}: {error}\n")
        code = REFUSED
    except KeyboardInterrupt:
        sys.stderr.write(f"agentid {command}: interrupted\n")
        code = 130
    raise typer.Exit(code)
