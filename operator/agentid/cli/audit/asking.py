"""What the commands over the ledger can be told alike: where it is, of what time, whose records."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentid.cli.completing import agent_names
from agentid.cli.where import Where

if TYPE_CHECKING:
    from agentid.cli.audit.source import Source

Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", help="Read this file instead of the cluster, - is standard input; repeatable."
    ),
]
InCluster = Annotated[bool, typer.Option("--cluster", help="Read the cluster's ledger, as without --file.")]
LedgerNamespace = Annotated[
    str | None,
    typer.Option("--ledger-namespace", help="Where the operator keeps it; left out: where it runs."),
]
TaskNamespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace of tasks; left out: the context's, of a file all."),
]
Keys = Annotated[
    list[Path] | None, typer.Option("--key", help="PEM of a public key that you trust; repeatable.")
]
OfAgent = Annotated[str | None, typer.Option("--agent", help="Of this Agent.", autocompletion=agent_names)]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From then on: RFC 3339, a day such as 2026-11-23, or 8h ago."),
]
_NAMES: Final = "--agent, --delegator, --requester and --serial take a value"


def source(
    place: Where, files: list[Path] | None, namespace: str | None, *, cluster: bool = False
) -> "Source":
    """Return which ledger is meant.

    Raises:
        BadParameter: two are.
    """
    from agentid.cli.audit.source import Source  # noqa: PLC0415 - as for each command

    if files and (
        cluster or namespace is not None or place.context is not None or place.kubeconfig is not None
    ):
        said = "takes no --cluster, --ledger-namespace, --context or --kubeconfig beside it"
        raise typer.BadParameter(said, param_hint="--file")
    if namespace is not None:
        Where.of(None, None, namespace)
    return Source(place, namespace, tuple(files or ()))


def kinds(given: list[str] | None) -> tuple[str, ...]:
    """Return the kinds of records that are meant.

    Raises:
        BadParameter: one is no kind that this version of agentid knows.
    """
    from agentid.cli.audit.filtering import KINDS  # noqa: PLC0415 - as for each command

    if (wrong := next((each for each in given or () if each not in KINDS), None)) is not None:
        said = f"{wrong!r} is no kind of record; there are {', '.join(KINDS)}"
        raise typer.BadParameter(said, param_hint="--event")
    return tuple(given or ())


def refuse_empty(*given: str | None) -> None:
    """Refuse values that are empty.

    Raises:
        BadParameter: one is.
    """
    if not all(each is None or each.strip() for each in given):
        # Such as a variable of a script that is not set: no filter would mean all.
        raise typer.BadParameter(_NAMES)
