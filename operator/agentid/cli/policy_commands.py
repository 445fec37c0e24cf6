"""`agentid policy …`: what these commands can be told."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentid.cli import options
from agentid.cli.options import extra
from agentid.cli.where import Where

At = Annotated[str | None, typer.Option(metavar="TIME", help="As if it were then (RFC 3339).")]


class Asked(StrEnum):
    """What policy is asked about a task."""

    ISSUE = "issue"
    RENEW = "renew"
    RESUME = "resume"


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


@app.command()
def simulate(  # noqa: PLR0913 - its options
    *,
    task: Annotated[Path, typer.Option(help="File of the AgentTask, perhaps with its Agent; - reads input.")],
    policies: Annotated[
        str,
        typer.Option(metavar="live|PATH|live+PATH", help="In force, drafts, or drafts over these."),
    ] = "live",
    at: At = None,
    requester: Annotated[
        str | None, typer.Option("--as", help="Who asks; left out: spec.requester, or you.")
    ] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--as-group", help="A group of who asks; may be repeated.")
    ] = None,
    action: Annotated[Asked, typer.Option(help="What is asked.")] = Asked.ISSUE,
    local: Annotated[
        bool, typer.Option("--local", help="Ask no cluster: all there is to know is in the files.")
    ] = False,
    trust_domain: options.TrustDomain = None,
    cluster_label: options.ClusterLabels = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Say what would be decided about a task, and why. Exit code 1: it would not be allowed."""
    place = Where.of(kubeconfig, context, namespace)
    labels = options.pairs(cluster_label, "--cluster-label")
    if groups and requester is None:
        raise typer.BadParameter("takes --as beside it", param_hint="--as-group")
    with extra("policy simulate"):
        from agentid.cli.policy_simulate import Simulation, moment, run  # noqa: PLC0415 - as above
        from agentid.cli.sources import Source  # noqa: PLC0415 - as above
        from agentid.cli.surroundings import Assumed  # noqa: PLC0415 - as above
        from agentid.lifecycle.model import PolicyAction  # noqa: PLC0415 - as above
    source = Source.read(policies)
    if local and source.live:
        raise typer.BadParameter("takes --policies with a file or folder", param_hint="--local")
    asked = Simulation(
        task=task,
        policies=source,
        action=PolicyAction(action.value),
        at=moment(at),
        username=requester,
        groups=tuple(groups or ()),
        local=local,
        assumed=Assumed(trust_domain, labels),
    )
    run(place, asked, output)


@app.command()
def diff(  # noqa: PLR0913 - its options
    old: Annotated[str, typer.Argument(metavar="OLD", help="live, a file or folder, or live+PATH.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same.")],
    *,
    at: At = None,
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Tasks with these labels.")] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 where there is a difference.")
    ] = False,
    trust_domain: options.TrustDomain = None,
    cluster_label: options.ClusterLabels = None,
    namespace: options.Namespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Say which live tasks NEW would permit that OLD does not, and which it would no longer permit."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    labels = options.pairs(cluster_label, "--cluster-label")
    with extra("policy diff"):
        from agentid.cli.policy_diff import Comparison, run  # noqa: PLC0415 - as above
        from agentid.cli.policy_simulate import moment  # noqa: PLC0415 - as above
        from agentid.cli.sources import Source  # noqa: PLC0415 - as above
        from agentid.cli.surroundings import Assumed  # noqa: PLC0415 - as above
    asked = Comparison(
        old=Source.read(old),
        new=Source.read(new),
        labels=selector,
        at=moment(at),
        assumed=Assumed(trust_domain, labels),
        fails=exit_code,
    )
    run(place, asked, output)
