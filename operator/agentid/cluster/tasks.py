"""Makes a template's AgentTasks, writes their status, as a compare-and-swap, and deletes finished ones."""

from collections.abc import Callable

import orjson

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.names import API_VERSION
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.paths import TASKS


class Tasks:
    """What the operator may do with AgentTasks.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._guard = guard

    async def write_status(  # noqa: PLR0913, PLR0917  what identifies the one version that may be written over
        self, namespace: str, name: str, uid: str, resource_version: str, old: Body, status: AgentTaskStatus
    ) -> Body:
        """Write `status` over `old`, only while the task is that UID in that version; return the task.

        Raises:
            ConflictError: it has changed since.
            NotFoundError: it is gone.
        """
        new: Body = orjson.loads(status.model_dump_json(by_alias=True, exclude_none=True))
        body = {
            "apiVersion": API_VERSION,
            "kind": TASKS.kind,
            "metadata": {"uid": uid, "resourceVersion": resource_version},
            "status": merge_from(old, new),
        }
        path = TASKS.path(namespace, name, "status")
        return await self._connection.merge(path, body, within_seconds=self._guard())

    async def create(self, namespace: str, task: Body) -> Body:
        """Create a task and return it as created.

        Raises:
            AlreadyExistsError: there is one of that name.
        """
        return await self._connection.post(TASKS.path(namespace), task, within_seconds=self._guard())

    async def delete(self, namespace: str, name: str, uid: str, resource_version: str) -> None:
        """Delete the task, if it is still that UID in that version; in the background.

        Raises:
            ConflictError: it is another one, or has changed.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        try:
            path = TASKS.path(namespace, name)
            await self._connection.delete(path, options, within_seconds=self._guard())
        except NotFoundError:
            return


def merge_from(old: Body, new: Body) -> Body:
    """Return what merged into `old` (RFC 7386) leaves exactly `new`, which holds no null.

    A merge leaves alone what it does not name, so that what is no longer there is named, as null.
    """
    merged: Body = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = merge_from(before, value)
        else:
            merged[key] = value
    return merged
