"""The command `agentid`: what it can be told."""

from enum import StrEnum
from typing import Annotated

import typer

from agentid.cli import approval_commands, directory_commands, options, policy_commands, task_commands
from agentid.cli.audit import commands as audit_commands
from agentid.cli.options import extra

app = typer.Typer(
    name="agentid",
    help="Gives an AI agent an identity for one task, for as long as that task runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(policy_commands.app, name="policy")


class DoctorOutput(StrEnum):
    """How `agentid doctor` prints."""

    TEXT = "text"
    JSON = "json"


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"agentid {options.version()}")


@app.command()
def operator() -> None:
    """Run the operator; its settings are the environment variables AGENTID_…."""
    with extra("operator", "operator"):
        from agentid.cli.operator import run  # noqa: PLC0415 - other commands work without what it needs
    run()


@app.command()
def gate() -> None:
    """Run the decision point; its settings are the environment variables AGENTID_GATE_…."""
    with extra("gate", "operator"):
        from agentid.cli.gate import run  # noqa: PLC0415 - other commands work without what it needs
    run()


@app.command()
def doctor(  # noqa: PLR0913, PLR0917 - its options
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
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
    with extra("doctor"):
        from agentid.cli.doctor import run  # noqa: PLC0415 - other commands work without what it needs
    run(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        issue=issue,
        within_seconds=timeout,
        as_json=output is DoctorOutput.JSON,
        version=options.version(),
    )


task_commands.add_to(app)
approval_commands.add_to(app)
directory_commands.add_to(app)
audit_commands.add_to(app)
