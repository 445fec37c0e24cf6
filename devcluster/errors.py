"""What can go wrong with a throw-away cluster.

    AgentidError
    └── DevclusterError
        ├── ToolBuildError        a pinned program could not be built
        ├── PackagesMissingError  the machine lacks Debian packages or rights
        ├── StartError            a program of the cluster ended or never got ready
        ├── CommandError          a program that was run to its end said no
        │   └── KubectlError      kubectl did; `reason` is the API server's
        └── ConditionNotMetError  something waited for did not come about in time

Each message says what was found and what to do next.
"""

import re

from agentid.errors import AgentidError


class DevclusterError(AgentidError):
    """The cluster could not do what was asked; the text says why and what to do."""


class ToolBuildError(DevclusterError):
    """A pinned program could not be built."""


class PackagesMissingError(DevclusterError):
    """The machine lacks packages or rights that cannot be had from here."""


class StartError(DevclusterError):
    """A program of the cluster ended at once, or never became ready."""


class ConditionNotMetError(DevclusterError):
    """Something that was waited for did not come about in time."""


class CommandError(DevclusterError):
    """A program that was run to its end returned an error.

    Attributes:
        command: The command line, without its input.
        returncode: Its exit code.
        stderr: All that it wrote to standard error.
    """

    def __init__(self, command: list[str], returncode: int, stderr: str) -> None:
        self.command = command
        self.returncode = returncode
        self.stderr = stderr
        super().__init__(f"`{' '.join(command)}` returned {returncode}: {stderr.strip()}")


class KubectlError(CommandError):
    """kubectl returned an error."""

    @property
    def reason(self) -> str:
        """The API server's reason (`NotFound`, `Forbidden`, `Invalid`, …), or "" if it gave none.

        kubectl writes `Error from server (NotFound): …`, and for what validation refuses
        `The AgentTask "x" is invalid: …`.
        """
        if found := re.search(r"Error from server \((\w+)\)", self.stderr):
            return found.group(1)
        return "Invalid" if re.search(r'^The .+ "[^"]*" is invalid', self.stderr, re.MULTILINE) else ""
