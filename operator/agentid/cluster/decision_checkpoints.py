"""DecisionCheckpoints of the operator's namespace: a decision point writes one, and the operator takes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agentid.api.names import FIELD_MANAGER
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import AlreadyExistsError, ConflictError, NotFoundError
from agentid.cluster.paths import DECISION_CHECKPOINTS

MOST_AT_ONCE: Final = 64
"""How many are read at once; of more, the others come next time."""

_HOW: Final = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}


@dataclass(frozen=True, slots=True)
class Found:
    """One that was there.

    Attributes:
        name: Its name.
        uid: Its UID.
        spec: What it says, not looked at yet.
    """

    name: str
    uid: str
    spec: Any


class CheckpointWrites:
    """What a decision point does with them: it writes one where none of that name is."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    async def write(self, name: str, spec: Body) -> bool:
        """Write one; return whether it is there, as an earlier write may have left it.

        Raises:
            ApiAnswerError: it was not written, or that is not known.
        """
        body = {
            "apiVersion": DECISION_CHECKPOINTS.api_version,
            "kind": DECISION_CHECKPOINTS.kind,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "spec": spec,
        }
        try:
            await self._connection.post(DECISION_CHECKPOINTS.path(self._namespace), body, _HOW)
        except AlreadyExistsError:
            there = await self._connection.get(DECISION_CHECKPOINTS.path(self._namespace, name))
            return bool(there.get("spec") == spec)
        return True


class CheckpointReads:
    """What the operator does with them: it reads some, and deletes each that it has taken.

    `guard` is called before each deletion: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, namespace: str, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._namespace = namespace
        self._guard = guard

    async def some(self) -> list[Found]:
        """Return some of those that are there.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        page = await self._connection.get(
            DECISION_CHECKPOINTS.path(self._namespace), {"limit": str(MOST_AT_ONCE)}
        )
        return [
            Found(each["metadata"]["name"], each["metadata"]["uid"], each.get("spec"))
            for each in page.get("items") or ()
        ]

    async def delete(self, found: Found) -> None:
        """Delete one; one that is not there any more, or another by now, is as good as deleted.

        Raises:
            ApiAnswerError: it is there, or that is not known.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": found.uid},
            "propagationPolicy": "Background",
        }
        path = DECISION_CHECKPOINTS.path(self._namespace, found.name)
        try:
            await self._connection.delete(path, options, within_seconds=self._guard())
        except (NotFoundError, ConflictError):
            return
