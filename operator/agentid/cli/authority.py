"""Whose word tasks need besides policy's, as the caller may see it: the tasks above them, and approvals."""

from collections.abc import Iterable, Sequence
from typing import Final

from agentid.api.agenttask_status import MAX_DEPTH
from agentid.cli.errors import NotSeenError
from agentid.cli.session import Session
from agentid.cluster.connection import Body
from agentid.cluster.errors import ForbiddenError, NotFoundError
from agentid.cluster.paths import APPROVALS, TASKS
from agentid.cluster.watching import list_chunks
from agentid.controller.approvals import Approvals
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.model import TaskFacts
from agentid.policy.explaining import Path
from agentid.watched.facts import mapping, text

Key = tuple[str, str]
"""Namespace and name."""

CONSENT: Final[frozenset[Path]] = frozenset(
    ("context", each) for each in ("approved", "approvals", "approvers", "approverGroups")
)
"""What policies read of approvals."""


async def look_above(here: Session, tasks: Sequence[Body]) -> dict[Key, TaskFacts]:
    """Return the tasks above these, as far up as a task may have any.

    Raises:
        NotSeenError: the caller may not see one of them.
    """
    known: dict[Key, Body | None] = {_key(each): each for each in tasks}
    found: dict[Key, TaskFacts] = {}
    for task in tasks:
        child: Body | None = task
        for _ in range(MAX_DEPTH + 1):
            above = None if child is None else parent_of(child)
            if above is None:
                break
            if above not in known:
                known[above] = await _get(here, above)
            child = known[above]
            if child is not None:
                found[above] = PackedTask.of(child).facts()
    return found


async def look_for_approvals(here: Session, namespaces: Iterable[str]) -> tuple[Approvals, tuple[str, ...]]:
    """Return the approvals in these namespaces, and those of the namespaces where they cannot be seen."""
    found, unseen = Approvals(lambda _: None), []
    for namespace in namespaces:
        try:
            async for bodies, _ in list_chunks(here.connection, APPROVALS, namespace):
                for body in bodies:
                    found.take(body)
        except ForbiddenError:
            unseen.append(namespace)
    return found, tuple(unseen)


def parent_of(task: Body) -> Key | None:
    """Return which task another names as its parent."""
    name = text(mapping(mapping(task.get("spec")).get("parentRef")).get("name"))
    return (_key(task)[0], name) if name else None


def _key(task: Body) -> Key:
    metadata = mapping(task.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


async def _get(here: Session, key: Key) -> Body | None:
    try:
        return await here.connection.get(TASKS.path(*key))
    except ForbiddenError as error:
        raise NotSeenError(
            f"you may not get AgentTask {key[0]}/{key[1]}, without which policy cannot be asked about those "
            "below it. Ask somebody who may"
        ) from error
    except (NotFoundError, ValueError):
        return None
