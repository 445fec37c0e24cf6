"""`agentid audit query`: the records that are asked for, as they come, few of them in memory at once."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.audit import doubts
from agentid.cli.audit.filtering import Filter, names, serials, taken_away
from agentid.cli.audit.reading import Reading
from agentid.cli.audit.source import Source, opened
from agentid.cli.audit.standing import Placed
from agentid.cli.errors import finish
from agentid.cli.options import ListOutput
from agentid.cli.printing import Columns, shown, told
from agentid.cli.progress import Progress
from agentid.ledger.record import Record
from agentid.watched.facts import text

_AT_ONCE: Final = 500
_NONE: Final = "<none>"
_HEAD: Final = ("TIME", "EVENT", "NAMESPACE", "TASK", "AGENT", "REQUESTER", "DELEGATOR", "REASON")
_WIDE: Final = ("RECORD", "UID", "SERIAL", "NOT-AFTER", "POLICIES", "APPROVERS", "MESSAGE")


def run(source: Source, asked: Filter, output: ListOutput) -> None:
    """List records."""
    finish("audit query", _query(source, asked, output))


async def _query(source: Source, asked: Filter, output: ListOutput) -> int:
    printer = _Printer(output)
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            wanted = replace(asked, namespace=ledger.tasks_in)
            reading = Reading(ledger.parcels, progress.tell)
            async for part in reading.parts():
                printer.take([each for each in part.records if wanted.fits(each.record)])
    notes = doubts.notes_of(reading)
    printer.finish(notes)
    if not printer.count:
        typer.echo(f"no such record {doubts.until_told(reading)}", err=True)
    return doubts.tell(reading, notes)


class _Printer:
    """Prints records as soon as there are enough to set columns by."""

    def __init__(self, output: ListOutput) -> None:
        self._output = output
        self._columns = Columns(_HEAD + _WIDE if output is ListOutput.WIDE else _HEAD)
        self._waiting: list[Placed] = []
        self.count = 0

    def take(self, found: Sequence[Placed]) -> None:
        """Take the next records."""
        self._waiting += found
        if len(self._waiting) >= _AT_ONCE:
            self._print()

    def finish(self, notes: list[str]) -> None:
        """Print what is left, and to programs the notes too."""
        if self._waiting or not self.count:
            self._print()
        said: list[JsonValue] = list(notes)
        if self._output is ListOutput.JSON:
            typer.echo(f'],\n"notes": {told(said, self._output)}\n}}')
        elif self._output is ListOutput.YAML:
            typer.echo(told({"notes": said}, self._output))

    def _print(self) -> None:
        found, self._waiting = self._waiting, []
        match self._output:
            case ListOutput.NAME:
                lines = [str(each.place) for each in found]
            case ListOutput.JSON:
                lines = list(self._as_json(found))
            case ListOutput.YAML:
                lines = list(self._as_yaml(found))
            case _:
                lines = self._columns.lines([_cells(each, self._output) for each in found])
        self.count += len(found)
        if lines:
            typer.echo("\n".join(lines))

    def _as_json(self, found: Sequence[Placed]) -> Iterator[str]:
        """Yield a document piece by piece: no more of it is in memory than is printed at once."""
        if not self.count:
            yield '{"records": ['
        for number, each in enumerate(found):
            yield ("," if self.count or number else "") + told(as_json(each), ListOutput.JSON)

    def _as_yaml(self, found: Sequence[Placed]) -> Iterator[str]:
        if not self.count:
            yield "records:" if found else "records: []"
        if found:
            yield told([as_json(each) for each in found], ListOutput.YAML)


def as_json(placed: Placed) -> dict[str, JsonValue]:
    """Return a record as programs read it: its fields as they were written, and where it stands."""
    fields: dict[str, JsonValue] = dict(placed.record.fields)  # type: ignore[arg-type]  # a Value is JSON
    return {"record": str(placed.place), **fields}


def _cells(placed: Placed, output: ListOutput) -> list[str]:
    record = placed.record
    about = _text(record, "task") or _text(record, "policy")
    said = [format_time(record.at), record.kind, _text(record, "namespace"), about]
    said += [_text(record, each) for each in ("agent", "requester", "delegator", "reason")]
    if output is ListOutput.WIDE:
        said += _further(placed)
    return [shown(each) or _NONE for each in said]


def _further(placed: Placed) -> list[str]:
    record, fields = placed.record, placed.record.fields
    ends = _text(record, "not_after") or ",".join(until for _, until in taken_away(fields))
    lists = [",".join(names(fields, each)) for each in ("policies", "approvers")]
    return [
        str(placed.place),
        _text(record, "uid"),
        ",".join(serials(fields)),
        ends,
        *lists,
        _text(record, "message"),
    ]


def _text(record: Record, name: str) -> str:
    return text(record.fields.get(name))
