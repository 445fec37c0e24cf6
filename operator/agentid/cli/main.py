"""The command `agentid`: what it can be told."""

import os
import sys
from importlib.metadata import version as installed_version

import typer

from agentid.errors import AgentidError

app = typer.Typer(
    name="agentid",
    help="Gives an AI agent an identity for one task, for as long as that task runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_FAILED = 1
_WRONG_USAGE = 2


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"agentid {installed_version('agentid')}")


@app.command()
def operator() -> None:
    """Run the operator; its settings are the environment variables AGENTID_…."""
    # Imported here: the other commands work without what the operator needs.
    import uvloop

    from agentid.controller.errors import SettingsError
    from agentid.controller.logs import configure_logs
    from agentid.controller.run import run_operator
    from agentid.controller.settings import read_settings

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"agentid operator: {error}\n")
        raise typer.Exit(_WRONG_USAGE) from error
    configure_logs(settings.log_level, settings.log_format)
    try:
        uvloop.run(run_operator(settings))
    except AgentidError as error:
        sys.stderr.write(f"agentid operator: {error}\n")
        raise typer.Exit(_FAILED) from error
