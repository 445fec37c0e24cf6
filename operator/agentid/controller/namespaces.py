"""The labels of the namespaces that are served: policies may ask for them, and one demands policies."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.errors import GoneError
from agentid.cluster.paths import NAMESPACES
from agentid.cluster.watching import list_chunks, watch
from agentid.controller.facts import mapping, text

_log = structlog.get_logger("agentid.namespaces")

_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

Labels = Mapping[str, str]


class Namespaces:
    """Watches all namespaces, or those that are served by name; tells `changed` whose labels did."""

    def __init__(
        self,
        connection: Connection,
        served: tuple[str, ...],
        changed: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._served = served
        self._changed = changed
        self._sleep = sleep
        self._labels: dict[str, Labels] = {}
        self._unlisted: set[str | None] = set(served or (None,))
        self._listed = asyncio.Event()

    async def listed(self) -> None:
        """Wait until all that are served have been seen once, if they are there."""
        await self._listed.wait()

    def labels(self, namespace: str) -> Labels | None:
        """Return the labels of a namespace; None while it has not been seen, or since it is gone."""
        return self._labels.get(namespace)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._served or (None,):
                group.create_task(self._keep_watching(name))

    async def _keep_watching(self, name: str | None) -> None:
        pause = _PAUSE_SECONDS
        while True:
            try:
                version = await self._list(name)
                pause = _PAUSE_SECONDS
                await self._follow(name, version)
            except Exception as error:  # noqa: BLE001 - a watch that ended unseen would hide that policies are demanded
                _log.warning(
                    "watch of namespaces failed",
                    error=f"{type(error).__name__}: {error}",
                    retry_seconds=pause,
                )
                await self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _list(self, only: str | None) -> str:
        found: dict[str, Labels] = {}
        version = ""
        pages = list_chunks(self._connection, NAMESPACES, None, name=only, metadata_only=True)
        async for bodies, version in pages:  # noqa: B007 - the last counts
            found |= dict(map(_seen, bodies))
        gone = {only} if only is not None else set(self._labels)
        for name in gone - found.keys():
            self._forget(name)
        for name, labels in found.items():
            self._take(name, labels)
        self._unlisted.discard(only)
        if not self._unlisted:
            self._listed.set()
        return version

    async def _follow(self, only: str | None, version: str) -> None:
        """Take in changes until the version is too old; a watch that ends is begun again where it ended."""
        while True:
            try:
                async for change in watch(self._connection, NAMESPACES, None, version, name=only):
                    version = text(mapping(change.object.get("metadata")).get("resourceVersion")) or version
                    if change.type == "BOOKMARK":
                        continue
                    name, labels = _seen(change.object)
                    if change.type == "DELETED":
                        self._forget(name)
                    else:
                        self._take(name, labels)
            except GoneError:
                return

    def _take(self, name: str, labels: Labels) -> None:
        if self._labels.get(name) != labels:
            self._labels[name] = labels
            self._changed(name)

    def _forget(self, name: str) -> None:
        self._labels.pop(name, None)


def _seen(body: Mapping[str, Any]) -> tuple[str, Labels]:
    metadata = mapping(body.get("metadata"))
    labels = mapping(metadata.get("labels"))
    return text(metadata.get("name")), {key: text(value) for key, value in labels.items()}
