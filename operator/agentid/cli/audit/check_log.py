"""`agentid audit check-log`: whether a decision point's log is whole, and what the ledger has of it."""

import time
from collections.abc import Sequence
from pathlib import Path

import typer
from pydantic import JsonValue

from agentid.cli.audit import doubts
from agentid.cli.audit.reading import Reading
from agentid.cli.audit.source import Source, opened
from agentid.cli.errors import REFUSED, UnusableFileError, finish
from agentid.cli.options import Output
from agentid.cli.printing import shown, told
from agentid.cli.progress import Progress
from agentid.ledger.decisions import Report
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.log_chain import CheckedLog, LogCheck
from agentid.ledger.record import LedgerKind, Record
from agentid.sinks.errors import SinkError
from agentid.sinks.segment_file import records_in


def run(source: Source, files: Sequence[Path], output: Output) -> None:
    """Check the files of a log, in their order."""
    finish("audit check-log", _check(source, files, output))


async def _check(source: Source, files: Sequence[Path], output: Output) -> int:
    reports: list[Report] = []
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            reading = Reading(ledger.parcels, progress.tell)
            async for part in reading.parts():
                for each in part.records:
                    if each.record.kind == LedgerKind.DECISIONS:
                        reports += _read(each.record)
    notes = doubts.notes_of(reading)
    check = _checked(files, reports)
    logs = check.finish()
    findings = [*check.findings, *(said for each in logs for said in each.findings)]
    if output is Output.TEXT:
        _print(logs, findings)
    else:
        said: list[JsonValue] = [_as_json(each) for each in logs]
        others: list[JsonValue] = list(check.findings)
        typer.echo(told({"logs": said, "findings": others, "notes": list(notes)}, output))
    code = doubts.tell(reading, notes)
    return REFUSED if findings else code


def _checked(files: Sequence[Path], reports: Sequence[Report]) -> LogCheck:
    """Return what the files show, read in their order.

    Raises:
        UnusableFileError: one cannot be read.
    """
    check = LogCheck(reports)
    for path in files:
        try:
            for line in records_in(path):
                check.feed(line)
        except (SinkError, OSError) as error:
            raise UnusableFileError(f"cannot read {path}: {error}") from error
    return check


def _print(logs: Sequence[CheckedLog], findings: Sequence[str]) -> None:
    for each in logs:
        typer.echo(shown(_sentence(each)))
    for finding in findings:
        typer.echo(f"wrong: {shown(finding)}")
    if not logs and not findings:
        typer.echo("there is no line of a log in these files", err=True)


def _read(record: Record) -> list[Report]:
    try:
        return [Report.of(record)]
    except InvalidRecordError:
        # Whoever verifies the ledger is told.
        return []


def _sentence(log: CheckedLog) -> str:
    state = "not whole" if log.findings else "whole"
    agreed = (
        f"the ledger has the hashes of {log.agreed} of them" if log.agreed else "the ledger has none of them"
    )
    lost = f"; {log.lost} more there was no room for" if log.lost else ""
    return f"log {log.name} of {log.replica}: lines {log.first} to {log.last}, {state}; {agreed}{lost}"


def _as_json(log: CheckedLog) -> JsonValue:
    findings: list[JsonValue] = list(log.findings)
    return {
        "log": log.name,
        "replica": log.replica,
        "first": log.first,
        "last": log.last,
        "head": log.head,
        "lost": log.lost,
        "inLedger": log.agreed,
        "findings": findings,
    }
