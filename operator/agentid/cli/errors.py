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
from typing import TypeVar

import typer

from agentid.errors import AgentidError

REFUSED = 1
_Answer = TypeVar("_Answer")


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
    raise typer.Exit(done(command, work))


def done(command: str, work: Coroutine[None, None, _Answer]) -> _Answer:
    """Do a part of the work of a command and return what it returns; an error is one sentence and code 1."""
    try:
        return asyncio.run(work)
    except AgentidError as error:
        sys.stderr.write(f"agentid {command}: {error}\n")
        raise typer.Exit(REFUSED) from error
    except KeyboardInterrupt as error:
        sys.stderr.write(f"agentid {command}: interrupted\n")
        raise typer.Exit(130) from error
