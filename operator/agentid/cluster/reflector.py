"""Keeps what is made of the objects of one kind up to date: lists them, and follows what changes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import GoneError
from agentid.cluster.paths import Resource
from agentid.cluster.watch_activity import watch_name
from agentid.cluster.watching import list_chunks, watch

_log = structlog.get_logger("agentid.watches")

FREE_TRIES: Final = 3
"""The API server ends watches now and then: so often in a row one that ended at once begins anew at once."""
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """A kind in a namespace or in all of them (None), or the one object of that name.

    With `label_selector`, those objects only that it selects.
    """

    resource: Resource
    namespace: str | None
    name: str | None = None
    label_selector: str | None = None

    @property
    def path(self) -> str:
        """The name under which its watch is noted."""
        return watch_name(self.resource.path(self.namespace), self.name)


class Reflector(Generic[T]):
    """What `made` makes of each object in a scope, by name; tells `changed` of which it is another now.

    Where it is a kind that has namespaces, in all of them, an object's name is `<namespace>/<name>` here.

    Attributes:
        listed: Whether all have been seen since the last failure. What was seen before stays known.
    """

    def __init__(  # noqa: PLR0913 - what is followed, what is made of it, and its time
        self,
        connection: Connection,
        scope: Scope,
        made: Callable[[Body], T],
        *,
        changed: Callable[[str], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        metadata_only: bool = False,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._made = made
        self._changed = changed
        self._clock = clock
        self._sleep = sleep
        self._metadata_only = metadata_only
        self._known: dict[str, tuple[int, T]] = {}
        self.listed = asyncio.Event()

    def get(self, name: str) -> T | None:
        """Return what was made of the object of that name; None where there is none, as far as is known."""
        found = self._known.get(name)
        return None if found is None else found[1]

    def items(self) -> Iterator[tuple[str, T]]:
        """Return each name with what was made of its object, as they are now."""
        return iter([(name, item) for name, (_, item) in self._known.items()])

    def take(self, body: Body) -> None:
        """Take in an object as it was read; an older state than the known one is ignored."""
        self._put(self._name(body), _version(body), self._made(body))

    async def look(self, name: str) -> None:
        """Take in the object of that name as it is now, whatever the watch has shown yet.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        resource, namespace = self._scope.resource, self._scope.namespace
        pages = list_chunks(
            self._connection, resource, namespace, name=name, metadata_only=self._metadata_only
        )
        async for bodies, version in pages:
            for body in bodies:
                self.take(body)
            if not bodies:
                self._drop(name, _number(version))

    async def run(self) -> None:
        """List and follow until cancelled; what fails or ends at once again and again is paced."""
        version: str | None = None
        tries = 0
        while True:
            began, problem = self._clock(), ""
            try:
                version = await self._follow(version or await self._list())
            except GoneError:
                version = None
            except Exception as error:  # noqa: BLE001 - whatever comes, a watch that ended unseen would hide changes
                version, problem = None, f"{type(error).__name__}: {error}"
                self.listed.clear()
            lasted = self._clock() - began
            if lasted > (_LONGEST_PAUSE_SECONDS if problem else _PAUSE_SECONDS):
                tries = 0
            tries += 1
            if problem or tries > FREE_TRIES:
                pause = _pause(tries if problem else tries - FREE_TRIES)
                self._tell(problem or "it ended at once", pause)
                await self._sleep(pause)

    def _tell(self, problem: str, pause: float) -> None:
        _log.warning(
            "watch failed",
            kind=self._scope.resource.kind,
            namespace=self._scope.namespace,
            name=self._scope.name,
            error=problem,
            retry_seconds=pause,
        )

    async def _list(self) -> str:
        """Take in all that there is; return the version from which on changes are followed."""
        found: dict[str, tuple[int, T]] = {}
        version = ""
        resource, namespace, name = self._scope.resource, self._scope.namespace, self._scope.name
        pages = list_chunks(
            self._connection,
            resource,
            namespace,
            name=name,
            label_selector=self._scope.label_selector,
            metadata_only=self._metadata_only,
        )
        async for bodies, version in pages:  # noqa: B007 - the last counts
            for body in bodies:
                found[self._name(body)] = _version(body), self._made(body)
        self.listed.set()
        for gone in self._known.keys() - found.keys():
            self._drop(gone, _number(version))
        for each, (number, item) in found.items():
            self._put(each, number, item)
        return version

    async def _follow(self, version: str) -> str:
        """Take in changes until the watch ends; return the version from which on it is to begin anew.

        Raises:
            GoneError: the version is too old.
        """
        resource, namespace, name = self._scope.resource, self._scope.namespace, self._scope.name
        changes = watch(
            self._connection,
            resource,
            namespace,
            version,
            name=name,
            label_selector=self._scope.label_selector,
        )
        async for change in changes:
            version = _text(_metadata(change.object).get("resourceVersion")) or version
            if change.type == "DELETED":
                self._drop(self._name(change.object), _version(change.object))
            elif change.type != "BOOKMARK":
                self.take(change.object)
        return version

    def _name(self, body: Body) -> str:
        metadata = _metadata(body)
        name, namespace = _text(metadata.get("name")), _text(metadata.get("namespace"))
        return f"{namespace}/{name}" if namespace and self._scope.namespace is None else name

    def _put(self, name: str, version: int, item: T) -> None:
        old = self._known.get(name)
        if old is not None and old[0] > version:
            return
        self._known[name] = version, item
        if old is None or old[1] != item:
            self._changed(name)

    def _drop(self, name: str, version: int) -> None:
        old = self._known.get(name)
        # One that was read since is another one of that name.
        if old is not None and old[0] <= version:
            del self._known[name]
            self._changed(name)


def _pause(failures: int) -> float:
    return min(_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE_SECONDS)


def _metadata(body: Body) -> dict[str, Any]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _version(body: Body) -> int:
    return _number(_text(_metadata(body).get("resourceVersion")))


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
