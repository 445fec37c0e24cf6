"""`agentid inventory` and `discover`: what these commands can be told."""

from typing import Annotated

import typer

from agentid.cli import options
from agentid.cli.completing import agent_names
from agentid.cli.options import extra
from agentid.cli.where import Where


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentid`."""
    app.command()(inventory)
    app.command()(discover)


def inventory(  # noqa: PLR0913 - its options
    *,
    by: Annotated[options.By | None, typer.Option(help="Count them, by what.")] = None,
    agent: Annotated[
        str | None, typer.Option(help="Those of this Agent.", autocompletion=agent_names)
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Those of this owner's Agents.")] = None,
    requester: Annotated[str | None, typer.Option(help="Those that this user asked for.")] = None,
    on_behalf_of: Annotated[str | None, typer.Option(help="Those on behalf of this person.")] = None,
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Tasks with these labels.")] = None,
    expiring_within: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Tasks whose credentials all expire by then: 15m.")
    ] = None,
    namespace: options.Namespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """List the tasks that hold live credentials: whose they are, on whose behalf, until when."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    if not all(each is None or each.strip() for each in (agent, owner, requester, on_behalf_of, selector)):
        raise typer.BadParameter("--agent, --owner, --requester, --on-behalf-of and --selector take a value")
    if by is not None and output is options.ListOutput.NAME:
        raise typer.BadParameter("takes no --output name beside it", param_hint="--by")
    within = None if expiring_within is None else options.duration(expiring_within, "--expiring-within")
    with extra("inventory"):
        from agentid.cli.inventory import Question, run  # noqa: PLC0415 - other commands work without it
        from agentid.cli.selecting import Selection  # noqa: PLC0415 - as above
    chosen = Selection(agent=agent, requester=requester, labels=selector)
    run(place, Question(chosen, owner, on_behalf_of, within, by), output)


def discover(  # noqa: PLR0913 - its options
    *,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Leave out what an agent mounts that is younger.")
    ] = "24h",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 where there are findings, or not all was seen.")
    ] = False,
    namespace: options.Namespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """List standing credentials that tasks should replace, by metadata: no contents of a Secret are read."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    least = options.duration(older_than, "--older-than")
    with extra("discover"):
        from agentid.cli.discover import Question, run  # noqa: PLC0415 - other commands work without it
    run(place, Question(least, fails=exit_code), output)
