"""`agentid tree`: the uppermost task above one, and everything below it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import typer
from pydantic import JsonValue

from agentid.api.agenttask_status import MAX_DEPTH
from agentid.api.fields import format_time
from agentid.api.names import GROUP
from agentid.api.reasons import ConditionType
from agentid.cli.errors import finish
from agentid.cli.options import ListOutput
from agentid.cli.printing import shown, span, table, told
from agentid.cli.rights import reading
from agentid.cli.selecting import named
from agentid.cli.session import Session, session
from agentid.cli.where import Where
from agentid.cluster.paths import TASKS
from agentid.cluster.watching import list_chunks
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.lineage import delegator, follow, title
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.lifecycle.record import condition, is_step

MOST_SHOWN: Final = 500
"""How many tasks of a family are shown; ended ones stay until they are deleted."""
_TRIES: Final = 5
_ASKED: Final = " ←"

_Children = Mapping[tuple[str, str], list[PackedTask]]  # by the parent's name and UID as they name it


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a family.

    Attributes:
        task: The task.
        branch: What is drawn before its name.
        parent: The task that it is below; None: it is the uppermost one.
        lineage: The tasks above it.
    """

    task: TaskFacts
    branch: str
    parent: TaskFacts | None
    lineage: Lineage

    @property
    def grants(self) -> bool:
        """Whether it is a step that lets its parent do more now."""
        return self.parent is not None and any(
            each.uid == self.task.uid for each in self.parent.status.grants
        )


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks that belong together.

    Attributes:
        asked: The one that was asked for.
        members: All of them, each before those below it.
        notes: What could not be followed or shown, and why.
    """

    asked: TaskFacts
    members: tuple[Member, ...]
    notes: tuple[str, ...]


def run(where: Where, name: str, output: ListOutput) -> None:
    """Show the family of a task."""
    finish("tree", _tree(where, name, output))


async def _tree(where: Where, name: str, output: ListOutput) -> int:
    async with session(where) as here:
        now = await here.connection.server_date()
        with reading(here, f"get agenttasks.{GROUP}"):
            asked = PackedTask.of(await named(here, name))
        family = family_of(asked.facts(), await _all(here))
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(_answer(family), output))
    elif output is ListOutput.NAME:
        for each in family.members:
            typer.echo(f"agenttask.{GROUP}/{each.task.name}")
    else:
        typer.echo(drawn(family, now, wide=output is ListOutput.WIDE))
    for note in family.notes:
        typer.echo(shown(note), err=True)
    return 0


async def _all(here: Session) -> list[PackedTask]:
    pages = list_chunks(here.connection, TASKS, here.namespace, tries=_TRIES)
    with reading(here, f"list agenttasks.{GROUP}"):
        return [PackedTask.of(each) async for bodies, _ in pages for each in bodies]


def family_of(asked: TaskFacts, tasks: list[PackedTask]) -> Family:
    """Return the tasks above and below one, from the uppermost that can be found.

    Args:
        asked: The task.
        tasks: All tasks of its namespace.
    """
    by_name = {each.name: each for each in tasks}
    lineage = follow(asked, lambda name: by_name[name].facts() if name in by_name else None)
    top = lineage.ancestors[-1] if lineage.ancestors else asked
    children: dict[tuple[str, str], list[PackedTask]] = {}
    for each in tasks:
        if each.parent is not None:
            children.setdefault(each.parent, []).append(each)
    drawer = _Drawer(children, _shown(top, {each.uid for each in (asked, *lineage.ancestors)}, children))
    members = tuple(drawer.drawn(top, None, Lineage()))
    notes = [] if lineage.flaw is None else [f"{title(asked)}: {lineage.flaw}"]
    if drawer.left_out:
        notes.append(f"{drawer.left_out} more are below them, more or deeper than is shown")
    return Family(asked, members, tuple(notes))


def _shown(top: TaskFacts, path: set[str], children: _Children) -> set[str]:
    """Return the UIDs of those that are shown: the way to the one that was asked for, then the upper ones.

    Whoever may create tasks can name any parent: those that only do must not crowd out the others.
    """
    shown, row = set(path), [top]
    for _ in range(MAX_DEPTH + 1):
        found = [child.facts() for each in row for child in children.get((each.name, each.uid), [])]
        row = []
        for each in sorted(found, key=_rank):
            if each.uid in shown or len(shown) < MOST_SHOWN:
                shown.add(each.uid)
                row.append(each)
    return shown


def _rank(task: TaskFacts) -> tuple[bool, datetime, str]:
    """Return what puts those first that were found to be children indeed, then the older ones."""
    return task.status.delegation is None, *_age(task)


class _Drawer:
    """Walks down a family once: no task twice, and only those that are shown."""

    def __init__(self, children: _Children, shown: set[str]) -> None:
        self._children = children
        self._shown = shown
        self._seen: set[str] = set()
        self.left_out = 0

    def drawn(
        self, task: TaskFacts, parent: TaskFacts | None, lineage: Lineage, branch: str = "", below: str = ""
    ) -> Iterator[Member]:
        """Yield a task and all below it, each with what is drawn before its name."""
        self._seen.add(task.uid)
        yield Member(task, branch, parent, lineage)
        below_it = self._children.get((task.name, task.uid), ())
        found = [each for each in below_it if each.uid not in self._seen]
        new = sorted((each.facts() for each in found if each.uid in self._shown), key=_age)
        self.left_out += len(found) - len(new)
        above = Lineage((task, *lineage.ancestors))
        for number, each in enumerate(new, start=1):
            is_last = number == len(new)
            yield from self.drawn(
                each,
                task,
                above,
                below + ("└─ " if is_last else "├─ "),
                below + ("   " if is_last else "│  "),
            )


def _age(task: TaskFacts) -> tuple[datetime, str]:
    return task.created, task.name


def drawn(family: Family, now: datetime, *, wide: bool) -> str:
    """Return a family as a tree, with how each task stands."""
    head = ["NAME", "STATUS", "AGENT", "EXPIRES", "MAY-DO"]
    head += ["REQUESTER", "ON-BEHALF-OF", "SENSITIVITY", "AGE"] if wide else []
    return table(head, [_cells(each, family.asked.uid, now, wide=wide) for each in family.members])


def _cells(of: Member, asked: str, now: datetime, *, wide: bool) -> list[str]:
    task, spec = of.task, of.task.spec
    deadline = task.status.deadline
    expires = span(deadline - now) if deadline is not None and not _is_over(task) else ""
    agent = spec.agent_ref.name if spec is not None else ""
    name = f"{of.branch}{task.name}{_ASKED if task.uid == asked else ''}"
    cells = [name, _standing(task), agent, expires, _may_do(of)]
    if wide:
        asker = spec.asker.username if spec is not None and spec.asker is not None else ""
        sensitivity = spec.intent.sensitivity.value if spec is not None else ""
        cells += [asker, delegator(task, of.lineage) or "", sensitivity, span(now - task.created)]
    return [shown(each) for each in cells]


def _may_do(of: Member) -> str:
    spec = of.task.spec
    if spec is None:
        return ""
    said = ", ".join(spec.intent.actions)
    said += f" on {', '.join(spec.intent.resources)}" if spec.intent.resources else ""
    if is_step(of.task):
        return f"{'grants' if of.grants else 'step for'} {said}"
    return said + (f"; may grant {', '.join(spec.intent.grantable)}" if spec.intent.grantable else "")


def _standing(task: TaskFacts) -> str:
    finished = condition(task.status, ConditionType.FINISHED)
    return finished.reason if finished is not None else ""


def _is_over(task: TaskFacts) -> bool:
    finished = condition(task.status, ConditionType.FINISHED)
    return finished is not None and finished.status == "True"


def _answer(family: Family) -> JsonValue:
    return {
        "asked": family.asked.name,
        "tasks": [_as_json(each) for each in family.members],
        "notes": list(family.notes),
    }


def _as_json(of: Member) -> JsonValue:
    task, spec = of.task, of.task.spec
    deadline = task.status.deadline
    return {
        "namespace": task.namespace,
        "name": task.name,
        "uid": task.uid,
        "parent": of.parent.name if of.parent is not None else None,
        "depth": len(of.lineage.ancestors),
        "status": _standing(task),
        "agent": spec.agent_ref.name if spec is not None else None,
        "requester": spec.asker.username if spec is not None and spec.asker is not None else None,
        "onBehalfOf": delegator(task, of.lineage),
        "intent": spec.intent.model_dump(mode="json", by_alias=True) if spec is not None else None,
        "isStep": is_step(task),
        "isGranted": of.grants,
        "grants": [each.model_dump(mode="json", by_alias=True) for each in task.status.grants],
        "deadline": format_time(deadline) if deadline is not None else None,
    }
