"""`agentid breakglass`: the tasks that are or were emergencies, live and over."""

from collections.abc import Sequence
from typing import Final

import typer
from pydantic import JsonValue

from agentid.api.names import GROUP
from agentid.cli.errors import finish
from agentid.cli.options import ListOutput
from agentid.cli.printing import shown, table, told
from agentid.cli.rights import reading
from agentid.cli.selecting import asker, standing, which
from agentid.cli.session import session
from agentid.cli.where import Where
from agentid.cluster.connection import Body
from agentid.cluster.paths import TASKS
from agentid.cluster.watching import list_chunks
from agentid.watched.facts import mapping, sequence, text

_TRIES: Final = 5


def run(where: Where, labels: str | None, output: ListOutput) -> None:
    """List them, the newest first."""
    finish("breakglass", _list(where, labels, output))


async def _list(where: Where, labels: str | None, output: ListOutput) -> int:
    async with session(where) as here:
        pages = list_chunks(here.connection, TASKS, here.scope, label_selector=labels or None, tries=_TRIES)
        with reading(here, f"list agenttasks.{GROUP}"):
            tasks = [each async for bodies, _ in pages for each in bodies if is_emergency(each)]
    found = sorted(tasks, key=_created, reverse=True)
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told({"tasks": [as_json(each) for each in found]}, output))
    elif output is ListOutput.NAME:
        for each in found:
            typer.echo(f"agenttask.{GROUP}/{which(each)[1]}")
    elif found:
        typer.echo(listed(found, everywhere=where.everywhere, wide=output is ListOutput.WIDE))
    else:
        place = "any namespace" if where.everywhere else f"namespace {here.namespace}"
        typer.echo(
            f"no AgentTask in {place} is or was an emergency; those that were deleted are in the record",
            err=True,
        )
    return 0


def is_emergency(task: Body) -> bool:
    """Whether a task as it was sent is or was an emergency."""
    return bool(mapping(mapping(task.get("spec")).get("breakGlass")))


def _created(task: Body) -> tuple[str, str, str]:
    return text(mapping(task.get("metadata")).get("creationTimestamp")), *which(task)


def listed(tasks: Sequence[Body], *, everywhere: bool, wide: bool) -> str:
    """Return emergencies as a table."""
    head = ["NAMESPACE"] if everywhere else []
    head += ["NAME", "STATUS", "REQUESTER", "CREATED", "UNTIL", "JUSTIFICATION"]
    head += ["AGENT", "ON-BEHALF-OF", "ACTIONS", "ALLOWED-BY"] if wide else []
    rows = []
    for each in tasks:
        said = as_json(each)
        kept = ["namespace"] if everywhere else []
        kept += ["name", "status", "requester", "createdAt", "until", "justification"]
        kept += ["agent", "onBehalfOf", "actions", "allowedBy"] if wide else []
        rows.append([_cell(said[key]) for key in kept])
    return table(head, rows)


def _cell(value: JsonValue) -> str:
    return shown(",".join(map(str, value)) if isinstance(value, list) else str(value or ""))


def as_json(task: Body) -> dict[str, JsonValue]:
    """Return an emergency as programs read it."""
    namespace, name = which(task)
    metadata, spec, status = (mapping(task.get(each)) for each in ("metadata", "spec", "status"))
    return {
        "namespace": namespace,
        "name": name,
        "uid": text(metadata.get("uid")),
        "status": standing(task),
        "requester": asker(spec),
        "onBehalfOf": text(spec.get("onBehalfOf")) or None,
        "agent": text(mapping(spec.get("agentRef")).get("name")),
        "actions": [text(each) for each in sequence(mapping(spec.get("intent")).get("actions"))],
        "justification": text(mapping(spec.get("breakGlass")).get("justification")),
        "createdAt": text(metadata.get("creationTimestamp")),
        "startTime": text(status.get("startTime")) or None,
        "until": text(status.get("endTime")) or text(status.get("deadline")) or None,
        "allowedBy": [text(each) for each in sequence(mapping(status.get("decision")).get("policies"))],
    }
