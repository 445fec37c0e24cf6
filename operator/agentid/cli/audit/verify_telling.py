"""How a verdict over a ledger is told: each finding as it comes, to programs all at the end."""

from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic import JsonValue
from rich.text import Text

from agentid.api.fields import format_time
from agentid.cli.audit.verdict import Verdict
from agentid.cli.options import Output
from agentid.cli.printing import paragraphs, printer, shown, told
from agentid.cli.telling import Row
from agentid.ledger.audit_finding import AuditFinding
from agentid.ledger.finding import Finding


class Teller:
    """Prints what is found and what it comes to."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._console = printer()
        self._found: list[JsonValue] = []

    def tell(self, found: Finding | AuditFinding, *, is_told: bool) -> None:
        """Tell a finding, if it is one of those that are told."""
        if not is_told:
            return
        if self._output is not Output.TEXT:
            self._found.append(_as_json(found))
            return
        style = "yellow" if _is_notice(found) else "red"
        head = Text(f"batch {found.sequence}: {found.kind}: ", style=style)
        self._console.print(head + Text(shown(found.message)))

    def finish(self, verdict: Verdict, wanted: Path | None) -> None:
        """Tell what all of it comes to; `wanted` is where a checkpoint was to be kept."""
        if self._output is not Output.TEXT:
            typer.echo(told(_answer(verdict, self._found), self._output))
        else:
            paragraphs(*_title(verdict), list(_rows(verdict)), self._console)
        if wanted is not None and verdict.saved is None:
            typer.echo(f"no checkpoint was written to {shown(str(wanted))}: the chain is not whole", err=True)


def _title(verdict: Verdict) -> tuple[str, str]:
    if verdict.is_right:
        whose = "The ledger is whole." if verdict.summary.vouched else "The ledger agrees with itself."
        return whose, "bold green" if verdict.summary.vouched else "bold yellow"
    if verdict.is_sinks and not verdict.missed:
        return "What a sink wrote cannot be verified.", "bold yellow"
    parts = [f"{verdict.wrong} wrong with the chain"] if verdict.wrong else ["the chain is whole"]
    parts += [f"{verdict.missed} that should not have been, by its records"] if verdict.missed else []
    return f"The ledger is not right: {', '.join(parts)}.", "bold red"


def _rows(verdict: Verdict) -> Iterator[Row]:
    summary = verdict.summary
    if verdict.more:
        yield "not told", f"{verdict.more} further findings"
    last = f" to {summary.last.head.sequence}" if summary.last is not None else ""
    reach = f", {summary.first}{last}" if summary.first else ""
    yield "batches", f"{summary.batches}{reach}"
    yield "records", str(summary.records)
    if verdict.begins is not None and verdict.ends is not None:
        yield "written", f"from {format_time(verdict.begins)} to {format_time(verdict.ends)}"
    for each in verdict.keys:
        yield "keys", each
    if summary.first and not verdict.is_sinks:
        yield "vouched by", "a key or checkpoint of yours" if summary.vouched else "nobody but itself"
    if summary.last is not None:
        yield "head", f"batch {summary.last.head.sequence}, {summary.last.head.hash}"
    if verdict.saved is not None:
        yield "checkpoint", f"written to {verdict.saved}"


def _is_notice(found: Finding | AuditFinding) -> bool:
    return isinstance(found, Finding) and found.kind.is_notice


def _as_json(found: Finding | AuditFinding) -> JsonValue:
    said: dict[str, JsonValue] = {
        "batch": found.sequence,
        "kind": found.kind.value,
        "about": "records" if isinstance(found, AuditFinding) else "chain",
        "notice": _is_notice(found),
        "message": found.message,
    }
    return {**said, "uid": found.uid} if isinstance(found, AuditFinding) and found.uid else said


def _answer(verdict: Verdict, found: list[JsonValue]) -> JsonValue:
    summary = verdict.summary
    head: JsonValue = None
    if summary.last is not None:
        last = summary.last
        head = {"sequence": last.head.sequence, "hash": last.head.hash, "keyID": last.key_id}
    keys: list[JsonValue] = list(verdict.keys)
    return {
        "right": verdict.is_right,
        "vouched": summary.vouched,
        "findings": found,
        "furtherFindings": verdict.more,
        "batches": summary.batches,
        "first": summary.first,
        "records": summary.records,
        "from": format_time(verdict.begins) if verdict.begins is not None else None,
        "to": format_time(verdict.ends) if verdict.ends is not None else None,
        "keys": keys,
        "head": head,
        "checkpoint": str(verdict.saved) if verdict.saved is not None else None,
    }
