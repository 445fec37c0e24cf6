"""The labels of the namespaces that are served: policies may ask for them, and one demands policies."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from agentid.cluster.connection import Body, Connection
from agentid.cluster.paths import NAMESPACES
from agentid.cluster.reflector import Reflector, Scope
from agentid.watched.facts import mapping, text

Labels = Mapping[str, str]


class Namespaces:
    """Watches all namespaces, or those that are served by name; tells `changed` whose labels did."""

    def __init__(
        self,
        connection: Connection,
        served: tuple[str, ...],
        changed: Callable[[str], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._changed = changed
        self._views = {
            name: Reflector(
                connection,
                scope,
                _labels,
                changed=self._seen,
                clock=clock,
                sleep=sleep,
                metadata_only=True,
            )
            for name, scope in _scopes(served).items()
        }

    async def listed(self) -> None:
        """Wait until all that are served have been seen once, if they are there."""
        for view in self._views.values():
            await view.listed.wait()

    def labels(self, namespace: str) -> Labels | None:
        """Return the labels of a namespace; None while it has not been seen, or since it is gone."""
        view = self._view(namespace)
        return None if view is None else view.get(namespace)

    async def look_for(self, namespace: str) -> None:
        """Look at a namespace that no watch has shown yet: its first task may be faster than the watch.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        view = self._view(namespace)
        if view is not None and view.get(namespace) is None:
            await view.look(namespace)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for view in self._views.values():
                group.create_task(view.run())

    def _view(self, namespace: str) -> Reflector[Labels] | None:
        return self._views.get(None) or self._views.get(namespace)

    def _seen(self, name: str) -> None:
        if self.labels(name) is not None:
            self._changed(name)


def watched_namespaces(served: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the watches of namespaces are called: one of all, or one of each that is served."""
    return tuple(scope.path for scope in _scopes(served).values())


def _scopes(served: tuple[str, ...]) -> dict[str | None, Scope]:
    return {name: Scope(NAMESPACES, None, name) for name in served or (None,)}


def _labels(body: Body) -> Labels:
    labels = mapping(mapping(body.get("metadata")).get("labels"))
    return {key: text(value) for key, value in labels.items()}
