"""Writes the status of a policy: which text is in force."""

from collections.abc import Callable

import orjson

from agentid.api.agentpolicy import PolicyStatus
from agentid.api.names import API_VERSION
from agentid.cluster.connection import Connection
from agentid.cluster.paths import Resource


class PolicyWrites:
    """What the operator may do with policies.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._guard = guard

    async def write_status(  # noqa: PLR0913, PLR0917 - what identifies the one version that may be written over
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        uid: str,
        version: int,
        status: PolicyStatus,
    ) -> None:
        """Write `status`, only while the policy is that UID in that version.

        Raises:
            ConflictError: it has changed since.
            NotFoundError: it is gone.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": resource.kind,
            "metadata": {"uid": uid, "resourceVersion": str(version)},
            "status": orjson.loads(status.model_dump_json(by_alias=True, exclude_none=True)),
        }
        path = resource.path(namespace, name, "status")
        await self._connection.merge(path, body, within_seconds=self._guard())
