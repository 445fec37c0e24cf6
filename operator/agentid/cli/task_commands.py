"""`agentid why`, `tree`, `breakglass`, `suspend`, `resume` and `end`: what these commands can be told."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from agentid.cli import options
from agentid.cli.completing import agent_names
from agentid.cli.options import extra
from agentid.cli.where import Where

Reason = Annotated[str, typer.Option(help="Why, for people: it stands in the task and in what tells of it.")]
OfAgent = Annotated[
    str | None, typer.Option("--agent", help="All live tasks of this Agent.", autocompletion=agent_names)
]
OfRequester = Annotated[str | None, typer.Option("--requester", help="All that this user asked for.")]
OfDelegator = Annotated[str | None, typer.Option("--on-behalf-of", help="All on behalf of this person.")]
Labels = Annotated[str | None, typer.Option("--selector", "-l", help="All with these labels.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Have the API server check it, and change nothing.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the operator has acted on it.")]
Timeout = Annotated[float, typer.Option(min=1, max=3600, help="Seconds to wait while nothing happens.")]

_HELP: Final[Mapping[str, str]] = {
    "suspend": "Take the credential of tasks away until they are resumed; their deadlines run on.",
    "resume": "Let suspended tasks go on, if policy allows them still; another's takes the verb resume.",
    "end": "End tasks for good, now: those that are named, or all live ones of an agent or a person.",
}
_STATES: Final[Mapping[str, str]] = {"suspend": "Suspended", "resume": "Active", "end": "Ended"}


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentid`."""
    app.command()(why)
    app.command()(tree)
    app.command()(breakglass)
    for name in _STATES:
        _add(app, name)


def why(  # noqa: PLR0913 - its options
    name: options.OneTask,
    *,
    trust_domain: options.TrustDomain = None,
    cluster_label: options.ClusterLabels = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Say why a task has an identity or has none: what was decided, on which facts, what would change it."""
    place = Where.of(kubeconfig, context, namespace)
    labels = options.pairs(cluster_label, "--cluster-label")
    with extra("why"):
        from agentid.cli.surroundings import Assumed  # noqa: PLC0415 - other commands work without it
        from agentid.cli.why import run  # noqa: PLC0415 - as above
    run(place, name, Assumed(trust_domain, labels), output)


def tree(
    name: options.OneTask,
    *,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """Show the tasks above one, up to the uppermost, and everything below that."""
    place = Where.of(kubeconfig, context, namespace)
    with extra("tree"):
        from agentid.cli.tree import run  # noqa: PLC0415 - other commands work without what it needs
    run(place, name, output)


def breakglass(  # noqa: PLR0913 - its options
    *,
    selector: Labels = None,
    namespace: options.Namespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """List the emergencies, live and over, the newest first: whose, why, and until when."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    with extra("breakglass"):
        from agentid.cli.emergencies import run  # noqa: PLC0415 - other commands work without what it needs
    run(place, selector, output)


def _add(app: typer.Typer, command: str) -> None:
    said = f"{_HELP[command]} Exit code 1: one was refused, not found, or not acted on in time."

    @app.command(command, help=said)
    def change(  # noqa: PLR0913 - its options
        names: options.Tasks = None,
        *,
        reason: Reason,
        agent: OfAgent = None,
        requester: OfRequester = None,
        on_behalf_of: OfDelegator = None,
        selector: Labels = None,
        dry_run: DryRun = False,
        wait: Wait = True,
        timeout: Timeout = 60,
        namespace: options.Namespace = None,
        everywhere: options.Everywhere = False,
        kubeconfig: options.Kubeconfig = None,
        context: options.Context = None,
        output: options.ListPrinted = options.ListOutput.TABLE,
    ) -> None:
        filters = (agent, requester, on_behalf_of, selector)
        _check(names, filters, everywhere=everywhere)
        place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
        with extra(command):
            from agentid.cli.changing import order, run  # noqa: PLC0415 - other commands work without them
            from agentid.cli.selecting import Selection  # noqa: PLC0415 - as above
        wanted = order(
            _STATES[command], reason, dry_run=dry_run, within_seconds=timeout if wait and not dry_run else 0
        )
        run(place, Selection(tuple(names or ()), *filters), wanted, output)


def _check(names: list[str] | None, filters: tuple[str | None, ...], *, everywhere: bool) -> None:
    """Refuse what names no task, or two ways at once.

    Raises:
        UsageError: it does.
    """
    given = [each for each in filters if each is not None]
    if not all(each.strip() for each in given):
        # Such as a variable of a script that is not set: no filter would mean every task.
        raise typer.BadParameter("--agent, --requester, --on-behalf-of and --selector take a value, not ''")
    if not names and not given:
        raise typer.BadParameter("name a task, or say --agent, --requester, --on-behalf-of or --selector")
    if names and given:
        raise typer.BadParameter("name tasks, or say whose all are meant; not both")
    if names and everywhere:
        raise typer.BadParameter("a name stands for a task of one namespace; say which with --namespace")
