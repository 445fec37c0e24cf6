"""Follows a pod's controlling owners, so that a pod of a Deployment or CronJob is known as such."""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.paths import Resource
from agentid.cluster.reads import Reads
from agentid.watched.facts import OwnerReference, controller_of, mapping, text

_log = structlog.get_logger("agentid.owners")

_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""The API server lets an owner reference have any name; an object that can be read has such a one."""
_MAX_DEPTH: Final = 4
_MAX_REMEMBERED: Final = 10_000


class OwnerChains:
    """UIDs of owners, nearest first; only kinds that may be read are followed, each object read once."""

    def __init__(self, reads: Reads, resource: Callable[[str, str], Resource | None]) -> None:
        self._reads = reads
        self._resource = resource
        self._owners: OrderedDict[str, OwnerReference | None] = OrderedDict()

    async def chain(self, namespace: str, owner: OwnerReference | None) -> tuple[str, ...]:
        """Return the UIDs from `owner` upwards, as far as they can be followed.

        An owner of a kind that may not be read does not count: admission lets anybody name it, with any
        object's UID. One that cannot be read is not followed: whoever wrote the reference must not be able to
        keep a task from its end.
        """
        uids: list[str] = []
        while owner is not None and len(uids) < _MAX_DEPTH:
            resource = self._resource(owner.api_version, owner.kind)
            if resource is None:
                break
            uids.append(owner.uid)
            owner = await self._owner_of(namespace, owner, resource)
        return tuple(uids)

    async def _owner_of(
        self, namespace: str, owned: OwnerReference, resource: Resource
    ) -> OwnerReference | None:
        if owned.uid in self._owners:
            self._owners.move_to_end(owned.uid)
            return self._owners[owned.uid]
        if _OBJECT_NAME.fullmatch(owned.name) is None:
            return None
        try:
            body = await self._reads.get(resource, namespace, owned.name)
        except ApiAnswerError as error:
            _log.warning("owner not read", namespace=namespace, kind=owned.kind, error=str(error))
            return None
        if body is None or text(mapping(body.get("metadata")).get("uid")) != owned.uid:
            return None
        owner = self._owners[owned.uid] = controller_of(body)
        if len(self._owners) > _MAX_REMEMBERED:
            self._owners.popitem(last=False)
        return owner
