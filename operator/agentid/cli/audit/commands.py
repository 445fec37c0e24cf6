"""`agentid audit …` and `agentid report`: what these commands can be told."""

from pathlib import Path
from typing import Annotated

import typer

from agentid.cli import options
from agentid.cli.audit import asking
from agentid.cli.completing import record_kinds, task_names
from agentid.cli.options import extra
from agentid.cli.where import Where

app = typer.Typer(help="Verify, read and keep the ledger of what was issued and ended.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands to `agentid`."""
    root.add_typer(app, name="audit")
    root.command()(report)


@app.command()
def verify(  # noqa: PLR0913 - its options
    *,
    key: asking.Keys = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="File that --save-checkpoint wrote earlier, or that a sink did."
        ),
    ] = None,
    save_checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep where the ledger stands, if the chain is whole.")
    ] = None,
    max_lifetime: Annotated[
        int | None, typer.Option(min=1, max=31_536_000, help="Seconds that a credential may live at most.")
    ] = None,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Say whether the ledger is whole, and each task ended in time. Exit code 1: it is not."""
    with extra("audit verify"):
        from datetime import timedelta  # noqa: PLC0415 - beside what it is for

        from agentid.cli.audit.verify import Question, run  # noqa: PLC0415 - others work without what it needs
    source = asking.source(Where.of(kubeconfig, context, None), file, ledger_namespace, cluster=cluster)
    longest = None if max_lifetime is None else timedelta(seconds=max_lifetime)
    run(source, Question(tuple(key or ()), since, save_checkpoint, longest), output)


@app.command()
def show(  # noqa: PLR0913 - its options
    name: Annotated[
        str,
        typer.Argument(metavar="TASK|UID", help="Name or UID of an AgentTask.", autocompletion=task_names),
    ],
    *,
    uid: Annotated[str | None, typer.Option(help="Of the tasks of that name, this one.")] = None,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    namespace: asking.TaskNamespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """Tell the whole story of a task by its records, also when the task is long gone."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    if not all(each is None or each.strip() for each in (name, uid)):
        raise typer.BadParameter("TASK and --uid take a value")
    with extra("audit show"):
        from agentid.cli.audit.show import run  # noqa: PLC0415 - other commands work without what it needs
    run(asking.source(place, file, ledger_namespace, cluster=cluster), name, uid, output)


@app.command()
def query(  # noqa: PLR0913 - its options
    *,
    agent: asking.OfAgent = None,
    delegator: Annotated[str | None, typer.Option(help="For whom tasks were done.")] = None,
    requester: Annotated[str | None, typer.Option(help="Who asked for them.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="What was done: issued, ended, …; repeatable.", autocompletion=record_kinds
        ),
    ] = None,
    since: asking.Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then, said likewise.")] = None,
    serial: Annotated[str | None, typer.Option(help="Of a credential: its making, and its end.")] = None,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    namespace: asking.TaskNamespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.ListPrinted = options.ListOutput.TABLE,
) -> None:
    """List records of the ledger; with -A also those that are about no namespace."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    asking.refuse_empty(agent, delegator, requester, serial)
    with extra("audit query"):
        from agentid.cli.audit.filtering import Filter  # noqa: PLC0415 - others work without what it needs
        from agentid.cli.audit.query import run  # noqa: PLC0415 - as above
        from agentid.cli.audit.times import moment  # noqa: PLC0415 - as above
    source = asking.source(place, file, ledger_namespace, cluster=cluster)
    asked = Filter(
        agent,
        delegator,
        requester,
        asking.kinds(event),
        None if since is None else moment(since, "--since"),
        None if until is None else moment(until, "--until"),
        serial,
    )
    run(source, asked, output)


@app.command()
def export(
    *,
    since: Annotated[int, typer.Option(min=1, metavar="N", help="From batch number N on.")] = 1,
    out: Annotated[Path | None, typer.Option(help="A new file; left out: standard output.")] = None,
    ledger_namespace: asking.LedgerNamespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Write the ledger as it is, one batch a line: what `--file` reads."""
    with extra("audit export"):
        from agentid.cli.audit.export import run  # noqa: PLC0415 - other commands work without what it needs
    run(asking.source(Where.of(kubeconfig, context, None), None, ledger_namespace), since, out)


@app.command()
def prove(  # noqa: PLR0913 - its options
    record: Annotated[
        str, typer.Argument(metavar="RECORD", help="Which one, as -o wide and -o name name it: 42-0.")
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="A new file; left out: standard output.")] = None,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Write what shows others that one record is in the ledger, and nothing of any other record."""
    with extra("audit prove"):
        from agentid.cli.audit.prove import run  # noqa: PLC0415 - other commands work without what it needs
        from agentid.cli.audit.standing import Place  # noqa: PLC0415 - as above
    try:
        place = Place.read(record)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="RECORD") from error
    run(
        asking.source(Where.of(kubeconfig, context, None), file, ledger_namespace, cluster=cluster),
        place,
        out,
    )


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What agentid audit prove wrote.")],
    *,
    key: asking.Keys = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Check such a proof, without a cluster. Exit code 1: it proves nothing to who trusts these keys."""
    with extra("audit check-proof"):
        from agentid.cli.audit.prove import run_check  # noqa: PLC0415 - others work without what it needs
    run_check(file, tuple(key or ()), output)


@app.command("check-log")
def check_log(  # noqa: PLR0913 - its options
    log: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Files of a decision point's log, in their order.")
    ],
    *,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Hold a decision point's own log against what the ledger has of it. Exit code 1: it is not whole."""
    with extra("audit check-log"):
        from agentid.cli.audit.check_log import run  # noqa: PLC0415 - others work without what it needs
    where = Where.of(kubeconfig, context, None)
    run(asking.source(where, file, ledger_namespace, cluster=cluster), log, output)


def report(  # noqa: PLR0913 - its options
    *,
    agent: asking.OfAgent = None,
    since: asking.Since = None,
    file: asking.Files = None,
    cluster: asking.InCluster = False,
    ledger_namespace: asking.LedgerNamespace = None,
    namespace: asking.TaskNamespace = None,
    everywhere: options.Everywhere = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Printed = options.Output.TEXT,
) -> None:
    """Say of each agent what it was given and how its tasks ended: what could be narrowed, what is stable."""
    place = Where.of(kubeconfig, context, namespace, everywhere=everywhere)
    asking.refuse_empty(agent)
    with extra("report"):
        from agentid.cli.audit.report import Question, run  # noqa: PLC0415 - other commands work without what it needs
        from agentid.cli.audit.times import moment  # noqa: PLC0415 - as above
    asked = Question(agent, None if since is None else moment(since, "--since"))
    run(asking.source(place, file, ledger_namespace, cluster=cluster), asked, output)
