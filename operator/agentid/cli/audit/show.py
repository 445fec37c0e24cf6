"""`agentid audit show`: the whole story of a task, by the records alone."""

import time

import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.cli.audit import doubts
from agentid.cli.audit.query import as_json
from agentid.cli.audit.reading import Reading
from agentid.cli.audit.source import Source, opened
from agentid.cli.audit.story import Sought, Stories, Story
from agentid.cli.audit.story_telling import NO_USE, rows, title_of
from agentid.cli.audit.uses import Used
from agentid.cli.errors import NotThereError, finish
from agentid.cli.options import ListOutput
from agentid.cli.printing import paragraphs, printer, told
from agentid.cli.progress import Progress


def run(source: Source, name: str, uid: str | None, output: ListOutput) -> None:
    """Tell the story of a task; of several that had the name, of all."""
    finish("audit show", _show(source, name, uid, output))


async def _show(source: Source, name: str, uid: str | None, output: ListOutput) -> int:
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            sought = Sought(name, ledger.tasks_in, uid)
            stories, reading = Stories(sought), Reading(ledger.parcels, progress.tell)
            async for part in reading.parts():
                stories.take(part.records)
    notes = doubts.notes_of(reading)
    notes += stories.notes()
    found = stories.told()
    if not found:
        doubts.tell(reading, notes)
        raise NotThereError(_nothing(sought, reading))
    if output in {ListOutput.JSON, ListOutput.YAML}:
        said: list[JsonValue] = list(notes)
        tasks: list[JsonValue] = [_as_json(each) for each in found]
        typer.echo(told({"tasks": tasks, "notes": said}, output))
    elif output is ListOutput.NAME:
        for story in found:
            typer.echo("\n".join(str(each.place) for each in story.records))
    else:
        _print(found, wide=output is ListOutput.WIDE)
    return doubts.tell(reading, notes)


def _print(found: list[Story], *, wide: bool) -> None:
    console = printer()
    for number, story in enumerate(found):
        if number:
            typer.echo()
        title, style = title_of(story)
        paragraphs(title, style, list(rows(story, wide=wide)), console)


def _nothing(sought: Sought, reading: Reading) -> str:
    where = f" in namespace {sought.namespace}" if sought.namespace is not None else ""
    which = f" with UID {sought.uid}" if sought.uid is not None else ""
    return (
        f"{doubts.until_told(reading)} no record tells of a task {sought.name}{which}{where}; "
        "agentid audit query lists what there is"
    )


def _as_json(story: Story) -> JsonValue:
    records: list[JsonValue] = [as_json(each) for each in story.records]
    return {
        "namespace": story.namespace,
        "name": story.task,
        "uid": story.uid,
        "title": title_of(story)[0],
        "records": records,
        "uses": [_use(each) for each in story.uses.told()] if story.is_watched else None,
        **({} if story.is_watched else {"usesUnknown": NO_USE}),
    }


def _use(used: Used) -> JsonValue:
    said: dict[str, JsonValue] = {"allowed": not used.reason, "count": used.count}
    said |= {"first": format_time(used.first), "last": format_time(used.last)}
    named = (("action", used.action), ("reason", used.reason), ("step", used.step))
    return {**said, **{name: value for name, value in named if value}}
