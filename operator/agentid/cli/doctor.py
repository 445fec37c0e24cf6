"""`agentid doctor`: looks at an installation, or tries one identity, and says what to do."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError, ConfigurationError
from agentid.doctor.examine import examine
from agentid.doctor.finding import NOT_ALL_SEEN, NOTHING_WRONG, PROBLEMS, Finding, Standing, exit_code
from agentid.doctor.look import Look
from agentid.doctor.trial import Trial
from agentid.process.clocks import Clock

_MARKS: Final = {Standing.OK: "✓", Standing.WARNING: "!", Standing.UNSEEN: "?", Standing.PROBLEM: "✗"}
_STYLES: Final = {
    Standing.OK: "green",
    Standing.WARNING: "yellow",
    Standing.UNSEEN: "magenta",
    Standing.PROBLEM: "bold red",
}
_IN_A_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def run(  # noqa: PLR0913 - the options of the command
    *,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    issue: bool,
    within_seconds: float,
    as_json: bool,
    version: str,
) -> None:
    """Look, print what was found, and exit: 0 nothing wrong, 1 problems, 2 not all could be seen."""
    try:
        findings = asyncio.run(_findings(kubeconfig, context, namespace, issue, within_seconds, version))
    except (ConfigurationError, ApiAnswerError) as error:
        if as_json:
            typer.echo(json.dumps({"agentid": version, "error": str(error), "checks": []}))
        else:
            sys.stderr.write(f"agentid doctor: could not look: {error}\n")
        raise typer.Exit(NOT_ALL_SEEN) from error
    if as_json:
        typer.echo(told_as_json(findings, version))
    else:
        show(findings, Console(highlight=False))
    raise typer.Exit(exit_code(findings))


async def _findings(  # noqa: PLR0913, PLR0917 - as above
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    issue: bool,  # noqa: FBT001 - as above
    within_seconds: float,
    version: str,
) -> list[Finding]:
    async with Connection.open(kubeconfig, time.monotonic, context) as connection:
        look = Look(connection)
        if issue:
            where = namespace or _own_namespace()
            return await Trial(look, where, time.monotonic, within_seconds=within_seconds).run()
        return await examine(
            look, namespace=namespace, version=version, now=Clock().wall, elapsed=time.monotonic
        )


def _own_namespace() -> str:
    """Return the namespace of the pod that this runs in; outside of one, `default`."""
    try:
        return _IN_A_POD.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def told_as_json(findings: Sequence[Finding], version: str) -> str:
    """Return the findings as one JSON object."""
    checks = [
        {"check": each.check, "standing": each.standing, "sentence": each.sentence, "remedy": each.remedy}
        for each in findings
    ]
    return json.dumps({"agentid": version, "exitCode": exit_code(findings), "checks": checks}, indent=2)


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings, each with its mark, and what to do below those that ask for something."""
    width = max((len(each.check) for each in findings), default=0)
    for each in findings:
        mark = f"{_MARKS[each.standing]} {each.standing:<8}"
        head = Text(mark, style=_STYLES[each.standing]).append(f" {each.check:<{width}}  ", style="default")
        _print(console, head, each.sentence, indent=len(head))
        if each.remedy:
            _print(console, Text(" " * len(head)), f"→ {each.remedy}", indent=len(head))
    console.print(Text(_summary(findings), style="bold"))


def _print(console: Console, head: Text, text: str, *, indent: int) -> None:
    lines = Text(text).wrap(console, max(console.width - indent, 40))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print((head if number == 0 else Text(" " * indent)) + line, soft_wrap=True)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {standing: sum(each.standing is standing for each in findings) for standing in Standing}
    told = {
        NOTHING_WRONG: "Nothing is wrong.",
        PROBLEMS: "There are problems.",
        NOT_ALL_SEEN: "Nothing that could be seen is wrong; not all could be seen.",
    }[exit_code(findings)]
    return f"{told} " + ", ".join(f"{number} {standing}" for standing, number in counts.items() if number)
