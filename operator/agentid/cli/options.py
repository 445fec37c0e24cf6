"""What commands can be told alike: the options of kubectl, and in which form to print."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Final

import typer

from agentid.cli.completing import namespace_names, task_names

WRONG_USAGE = 2
_DURATION: Final = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,9})s)?")


class Output(StrEnum):
    """How an answer is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class ListOutput(StrEnum):
    """How several objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class By(StrEnum):
    """By what live credentials are counted."""

    AGENT = "agent"
    OWNER = "owner"
    DELEGATOR = "delegator"


Kubeconfig = Annotated[
    Path | None, typer.Option(help="Kubeconfig; left out: in a pod its service account, else as kubectl.")
]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace; left out: that of the context.",
        autocompletion=namespace_names,
    ),
]
OneTask = Annotated[
    str, typer.Argument(metavar="TASK", help="Name of an AgentTask.", autocompletion=task_names)
]
Tasks = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TASK]…", help="Names of AgentTasks.", autocompletion=task_names),
]

Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
ListPrinted = Annotated[ListOutput, typer.Option("--output", "-o", help="How to print.")]
TrustDomain = Annotated[
    str | None,
    typer.Option(
        help="Trust domain, where it cannot be seen; left out: as the operator's pods or tasks say."
    ),
]
ClusterLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster-label",
        metavar="KEY=VALUE",
        help="Label of the cluster; left out: as the operator's pods say.",
    ),
]


def version() -> str:
    """Return the version of this program."""
    return installed_version("agentid")


def pairs(given: list[str] | None, option: str) -> dict[str, str] | None:
    """Return what was given as KEY=VALUE, None where nothing was.

    Raises:
        BadParameter: one has no '='.
    """
    if given is None:
        return None
    split = [each.partition("=") for each in given]
    if (
        wrong := next((each for each, parts in zip(given, split, strict=True) if not parts[1]), None)
    ) is not None:
        raise typer.BadParameter(f"{wrong!r} is not KEY=VALUE", param_hint=option)
    return {key: value for key, _, value in split}


def duration(given: str, option: str) -> timedelta:
    """Return what was given as 90s, 15m, 8h, 1h30m or 30d.

    Raises:
        BadParameter: it is none.
    """
    parts = _DURATION.fullmatch(given)
    if not given or parts is None:
        raise typer.BadParameter(
            f"{given!r} is not a duration such as 90s, 15m, 1h30m or 30d", param_hint=option
        )
    days, hours, minutes, seconds = (int(each or 0) for each in parts.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@contextmanager
def extra(command: str, name: str = "cli") -> Iterator[None]:
    """Import what a command takes within the block; where it is not installed, say which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentid":
            raise
        typer.echo(
            f"agentid {command}: {error.name} is not installed; in a checkout of agentid's repository, "
            f"`pip install '.[{name}]'` brings it. (The agentid on PyPI is another project.)",
            err=True,
        )
        raise typer.Exit(WRONG_USAGE) from error
