"""Writes the operator's heartbeat: an AgentTask that is no task, whose status says when it last lived."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from agentid.api.names import API_VERSION, HEARTBEAT
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.paths import TASKS

MOST_SECONDS: Final = 2.0
"""One that takes longer says nothing any more that the next one would not say better."""
_PURPOSE: Final = (
    "No task: the operator's sign of life, by which decision points see how old what they know of tasks is."
)


class Heartbeats:
    """The heartbeat of each namespace.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, guard: Callable[[], float], username: str) -> None:
        """Make it; `username` is the operator's, as the API server authenticates it."""
        self._connection = connection
        self._guard = guard
        self._username = username

    async def beat(self, namespace: str, at: datetime) -> None:
        """Write that the operator lives at `at` (milliseconds count); where nothing is there yet, make it.

        Raises:
            ApiAnswerError: it may not have been written.
        """
        try:
            await self._write(namespace, at)
        except NotFoundError:
            made = heartbeat(namespace, self._username)
            await self._connection.post(TASKS.path(namespace), made, within_seconds=self._seconds())
            await self._write(namespace, at)

    async def _write(self, namespace: str, at: datetime) -> None:
        time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # Whichever version it is of: whoever leads is right about when, and nobody decides on what was there.
        body = {"apiVersion": API_VERSION, "kind": TASKS.kind, "status": {"heartbeatTime": time}}
        path = TASKS.path(namespace, HEARTBEAT, "status")
        await self._connection.merge(path, body, within_seconds=self._seconds())

    def _seconds(self) -> float:
        return min(self._guard(), MOST_SECONDS)


def heartbeat(namespace: str, username: str) -> Body:
    """Return the heartbeat as it is made: over from the beginning, and asking for nothing."""
    return {
        "apiVersion": API_VERSION,
        "kind": TASKS.kind,
        "metadata": {"namespace": namespace, "name": HEARTBEAT},
        "spec": {
            "agentRef": {"name": HEARTBEAT},
            "intent": {"purpose": _PURPOSE, "actions": ["agentid:heartbeat"]},
            "state": "Ended",
            # An API server that does not stamp wants it typed; one that does writes over it.
            "requester": {"username": username},
        },
    }
