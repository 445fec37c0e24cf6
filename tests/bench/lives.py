"""One watch of tasks, Secrets and Events: when each task was seen, served, ended and rid of its Secret."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from agentid.cluster.connection import METADATA, METADATA_LIST
from tests.bench.api import JSON, Api

TASKS: Final = "/apis/agentid.dev/v1alpha1/agenttasks"
SECRETS: Final = "/api/v1/secrets"
EVENTS: Final = "/apis/events.k8s.io/v1/events"
_LOOK_SECONDS: Final = 0.05

Name = tuple[str, str]


class NotInTimeError(Exception):
    """Something that was waited for did not come."""


@dataclass(slots=True)
class Life:
    """When the watch brought what, in seconds of `time.monotonic`; 0 where it has not."""

    asked: float = 0
    seen: float = 0
    status: float = 0
    secret: float = 0
    event: float = 0
    end_asked: float = 0
    end_status: float = 0
    secret_gone: float = 0
    end_event: float = 0
    waiting: float = 0

    @property
    def served(self) -> float:
        """When its credential was in status and Secret and its Event sent; 0 where it is not."""
        return max(self.status, self.secret, self.event) if self.status * self.secret * self.event else 0

    @property
    def over(self) -> float:
        """When its end was in the status, its Secret gone and its Event sent; 0 where it is not."""
        ends = (self.end_status, self.secret_gone, self.end_event)
        return max(ends) if all(ends) else 0


class Lives:
    """All lives that the watch has shown."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[Name, Life] = {}
        self._watches: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def watched(cls, api: Api) -> AsyncIterator[Self]:
        """Watch for as long as the context lasts."""
        lives = cls(api)
        begun: list[asyncio.Event] = []
        for path, accept, take in (
            (TASKS, False, lives._task),
            (SECRETS, True, lives._secret),
            (EVENTS, True, lives._event),
        ):
            begun.append(asyncio.Event())
            lives._watches.append(asyncio.create_task(lives._watch(path, take, begun[-1], metadata=accept)))
        try:
            await asyncio.wait_for(asyncio.gather(*(each.wait() for each in begun)), 30)
            yield lives
        finally:
            for each in lives._watches:
                each.cancel()
            await asyncio.gather(*lives._watches, return_exceptions=True)

    def __getitem__(self, name: Name) -> Life:
        return self._known.setdefault(name, Life())

    def holding(self, namespace: str) -> list[Name]:
        """Return those of a namespace that have a Secret."""
        return [
            name
            for name, life in self._known.items()
            if name[0] == namespace and life.secret and not life.secret_gone
        ]

    def forget(self) -> None:
        """Forget all lives."""
        self._known.clear()

    async def until(
        self, what: str, names: Iterable[Name], has: Callable[[Life], float], within: float = 300
    ) -> list[Life]:
        """Wait until something is so for all `names` and return their lives.

        Raises:
            NotInTimeError: it is not; the message says for how many.
        """
        lives = [self[name] for name in names]
        missing, end = lives, time.monotonic() + within
        while missing := [life for life in missing if not has(life)]:
            for watch in self._watches:
                if watch.done():
                    watch.result()
            if time.monotonic() > end:
                raise NotInTimeError(f"{what}: {len(missing)} of {len(lives)} after {within:.0f} s are not")
            await asyncio.sleep(_LOOK_SECONDS)
        return lives

    async def _watch(
        self, path: str, take: Callable[[str, dict[str, Any]], None], begun: asyncio.Event, *, metadata: bool
    ) -> None:
        version = ""
        async for _, version in self._api.pages(path, METADATA_LIST if metadata else JSON):  # noqa: B007 - the last one's
            pass
        begun.set()
        async for event in self._api.events(path, version, METADATA if metadata else JSON):
            take(event["type"], event["object"])

    def _task(self, kind: str, body: dict[str, Any]) -> None:
        life = self[body["metadata"]["namespace"], body["metadata"]["name"]]
        status, now = body.get("status", {}), time.monotonic()
        if kind == "ADDED":
            life.seen = now
        if "endTime" in status:
            life.end_status = life.end_status or now
        elif status.get("credentials"):
            life.status = life.status or now
        elif status:
            life.waiting = life.waiting or now

    def _secret(self, kind: str, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"].removeprefix("agentid-")
        life, now = self[body["metadata"]["namespace"], name], time.monotonic()
        if kind == "ADDED":
            life.secret = now
        elif kind == "DELETED" or life.end_asked:
            # Written again after its end was asked for: emptied.
            life.secret_gone = life.secret_gone or now

    def _event(self, kind: str, body: dict[str, Any]) -> None:
        if kind != "ADDED":
            return
        name = body["metadata"]["name"].rpartition(".")[0]
        life, now = self[body["metadata"]["namespace"], name], time.monotonic()
        if life.end_asked:
            life.end_event = life.end_event or now
        else:
            life.event = life.event or now
