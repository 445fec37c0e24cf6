"""`agentid policy …`: what these commands can be told."""

from pathlib import Path
from typing import Annotated

import typer

from agentid.cli import options
from agentid.cli.options import extra

app = typer.Typer(help="Test policies, and see what they decide.", no_args_is_help=True)


@app.command("test")
def cases(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files of cases (docs/policy.md).")],
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Run the cases that stand beside policies. Exit code 1: one does not hold, or cannot be run."""
    with extra("policy test"):
        from agentid.cli.policy_cases import run  # noqa: PLC0415 - other commands work without what it needs
    run(files, output)


@app.command()
def schema() -> None:
    """Print the Cedar schema that policies are held to."""
    with extra("policy schema"):
        from agentid.policy.schema import schema_text  # noqa: PLC0415 - as above
    typer.echo(schema_text(), nl=False)
