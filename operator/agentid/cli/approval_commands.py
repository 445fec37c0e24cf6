"""`agentid approvals`, `approve` and `deny`: what these commands can be told."""

from typing import Annotated, Final

import typer

from agentid.cli import options
from agentid.cli.completing import task_names
from agentid.cli.options import extra
from agentid.cli.task_commands import DryRun, Labels, Timeout, Wait
from agentid.cli.where import Where

_ENDS: Final = "Exit code 1: it was refused, counts for nothing, or was not acted on in time."


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentid`."""
    app.command()(approvals)
    app.command(help=f"Say yes to a task as it is shown, and to nothing else. {_ENDS}")(approve)
    app.command(help=f"Say no to a task; that holds whoever says yes, until it is deleted. {_ENDS}")(deny)


def approvals(  # noqa: PLR0913 - its options
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]", help="One task: who may approve what, and who has.", autocompletion=task_names
        ),
    ] = None,
    *,
    selector: Labels = None,
    namespace: options.Namespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """List the tasks that wait for an approval, or show one with what has changed since it had one."""
    if name is not None and (selector is not None or everywhere):
        raise typer.BadParameter("name a task, or say -l or -A; not both")
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    with extra("approvals"):
        from agentid.cli.approvals import run  # noqa: PLC0415 - other commands work without what it needs
    run(place, name, selector, output)


def approve(  # noqa: PLR0913 - its options
    name: options.OneTask,
    *,
    comment: Annotated[str | None, typer.Option(help="Why, for those who ask later.")] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(metavar="8h", help="For how long it counts; left out: as long as the task can last."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when (RFC 3339).")] = None,
    spec_hash: Annotated[
        str | None, typer.Option(metavar="v1:…", help="Only what was looked at before; nothing is asked.")
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = True,
    timeout: Timeout = 60,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """Say yes to a task."""
    place = Where.of(kubeconfig, context, namespace)
    with extra("approve"):
        from agentid.api.agentapproval import Decision  # noqa: PLC0415 - other commands work without these
        from agentid.cli import saying  # noqa: PLC0415 - as above
        from agentid.cli.deciding import run  # noqa: PLC0415 - as above
    said = saying.Saying(
        Decision.APPROVE,
        saying.comment(comment, "--comment"),
        saying.expiry(expires_in, until),
        saying.looked_at(spec_hash),
        dry_run=dry_run,
        within_seconds=timeout if wait else 0,
    )
    run(place, name, said, output)


def deny(  # noqa: PLR0913 - its options
    name: options.OneTask,
    *,
    reason: Annotated[str, typer.Option(help="Why, for people: it stands in the task's status.")],
    dry_run: DryRun = False,
    wait: Wait = True,
    timeout: Timeout = 60,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """Say no to a task."""
    place = Where.of(kubeconfig, context, namespace)
    with extra("deny"):
        from agentid.api.agentapproval import Decision  # noqa: PLC0415 - other commands work without these
        from agentid.cli import saying  # noqa: PLC0415 - as above
        from agentid.cli.deciding import run  # noqa: PLC0415 - as above
    why = saying.comment(reason, "--reason")
    said = saying.Saying(Decision.DENY, why, dry_run=dry_run, within_seconds=timeout if wait else 0)
    run(place, name, said, output)
