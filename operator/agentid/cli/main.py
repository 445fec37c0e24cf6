"""The command `agentid`: what it can be told."""

from enum import StrEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="agentid",
    help="Gives an AI agent an identity for one task, for as long as that task runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class DoctorOutput(StrEnum):
    """How `agentid doctor` prints."""

    TEXT = "text"
    JSON = "json"


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"agentid {installed_version('agentid')}")


@app.command()
def operator() -> None:
    """Run the operator; its settings are the environment variables AGENTID_…."""
    try:
        from agentid.cli.operator import run  # noqa: PLC0415 - other commands work without what it needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentid":
            raise
        typer.echo(f"agentid operator: {error.name} is not installed; install agentid[operator].", err=True)
        raise typer.Exit(2) from error
    run()


@app.command()
def doctor(  # noqa: PLR0913, PLR0917 - its options
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig; left out: in a pod its service account, else as kubectl.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Where the operator runs; with --issue, where to try one."),
    ] = None,
    issue: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--issue", help="Issue one credential, end it, and tell how long both took.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=600, help="With --issue: seconds to wait for each of both.")
    ] = 30,
    output: Annotated[DoctorOutput, typer.Option("--output", "-o", help="How to print.")] = DoctorOutput.TEXT,
) -> None:
    """Say how an installation stands, and what to do. Exit code 1: problems; 2: not all could be seen."""
    try:
        from agentid.cli.doctor import run  # noqa: PLC0415 - other commands work without what it needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentid":
            raise
        typer.echo(f"agentid doctor: {error.name} is not installed; install agentid[cli].", err=True)
        raise typer.Exit(2) from error
    run(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        issue=issue,
        within_seconds=timeout,
        as_json=output is DoctorOutput.JSON,
        version=installed_version("agentid"),
    )
