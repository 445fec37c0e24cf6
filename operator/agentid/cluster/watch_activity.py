"""Notes when a watch last brought anything, bookmarks included, so that a silent one shows.

kopf drops bookmarks before any handler and reconnects on its own, so the time is taken where the bytes
arrive: in the responses of the shared session.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

STALE_SECONDS: Final = 120.0
"""A view that was silent for longer is stale: nothing is issued on it.

Bookmarks come once a minute, so that one of them may be missed. The watches begin again by themselves soon
after, which makes the view fresh again.
"""
DEAD_SECONDS: Final = 240.0
"""A watch that was silent for longer is dead: /healthz says so, and the process begins anew.

That is much later, because beginning anew costs more than to connect again, which is tried before.
"""
_OK: Final = 200
_OF_ONE: Final = "metadata.name="


def name_selector(name: str) -> str:
    """Return the field selector of one object; RBAC takes it for that name."""
    return f"{_OF_ONE}{name}"


def watch_name(path: str, name: str | None = None) -> str:
    """Return what the watch of a list's path is called here, or that of its one object of a name."""
    return path if name is None else f"{path}/{name}"


def _called(url: URL) -> str:
    only = url.query.get("fieldSelector", "")
    return watch_name(url.path, only.removeprefix(_OF_ONE) if only.startswith(_OF_ONE) else None)


@dataclass(slots=True)
class WatchActivity:
    """When each watch last brought bytes, in the seconds of `clock`; each by its `watch_name`."""

    clock: Callable[[], float]
    last_heard: dict[str, float] = field(default_factory=dict)
    _new: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, path: str) -> None:
        """Note that the watch of `path` has brought something now."""
        is_new = path not in self.last_heard
        self.last_heard[path] = self.clock()
        if is_new:
            self._new.set()

    async def heard_from_all(self, paths: Collection[str]) -> None:
        """Wait until each watch of `paths` has been heard: it has begun to stream, then."""
        while not self.last_heard.keys() >= set(paths):
            self._new.clear()
            await self._new.wait()

    def forget(self, path: str) -> None:
        """Forget a watch that was ended on purpose."""
        self.last_heard.pop(path, None)

    def ages(self) -> dict[str, float]:
        """Return for each watch how many seconds ago it was last heard."""
        now = self.clock()
        return {path: now - heard for path, heard in self.last_heard.items()}

    def response_class(self) -> type[aiohttp.ClientResponse]:
        """Return the class of responses that note here what a watch brings."""
        activity = self

        class NotingResponse(aiohttp.ClientResponse):
            async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - aiohttp's own
                await super().start(connection)
                if self.url.query.get("watch") == "true" and self.status == _OK:
                    called = _called(self.url)
                    activity.note(called)
                    self.content = _NotingReader(self.content, activity, called)  # type: ignore[assignment]
                return self

        return NotingResponse


class _NotingReader:
    """A response's content that notes each arrival; everything else is the reader's own."""

    def __init__(self, reader: aiohttp.StreamReader, activity: WatchActivity, path: str) -> None:
        self._reader = reader
        self._activity = activity
        self._path = path

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the reader has
        return getattr(self._reader, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield what arrives, as it arrives, and note the time."""
        async for chunk in self._reader.iter_chunked(size):
            self._activity.note(self._path)
            yield chunk
