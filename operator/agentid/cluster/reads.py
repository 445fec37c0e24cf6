"""Reads single objects: a pod that seems gone, and the owners that lead from a pod to its task's workload."""

from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.paths import Resource


class Reads:
    """GETs that tell "not there" from everything else."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """Return the object, or None where there is none of that name.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        try:
            return await self._connection.get(resource.path(namespace, name))
        except NotFoundError:
            return None
