"""The command `agentid`: what it can be told."""

from importlib.metadata import version as installed_version

import typer

app = typer.Typer(
    name="agentid",
    help="Gives an AI agent an identity for one task, for as long as that task runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
