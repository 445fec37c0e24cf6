"""Has policies looked through and layers made beside everything else; the cluster's never wait for others."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.paths import Resource
from agentid.cluster.reads import Reads
from agentid.watched.facts import Key, mapping, text, version_number
from agentid.watched.lanes import Lanes
from agentid.watched.pauses import retry_pause
from agentid.watched.policies import Policies

_log = structlog.get_logger("agentid.policies")

_LAYER: Final = ""
"""In place of a name, in a namespace's lane: its layer is to be made anew."""
_LEAST_PAUSE: Final = 20
"""Between two makings of a namespace's layer, in times of what the last one took: it takes a twentieth."""


class PolicyIntake:
    """The newest state of each policy waits in a slot; one of the cluster's and one other are worked on."""

    def __init__(
        self,
        policies: Policies,
        reads: Reads,
        *,
        clock: Callable[[], float] = time.monotonic,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._policies = policies
        self._reads = reads
        self._clock = clock
        self._randomness = randomness
        self._slots: dict[Key, tuple[Resource, Mapping[str, Any] | None]] = {}
        self._lanes = {True: Lanes(), False: Lanes()}
        self._new = {True: asyncio.Event(), False: asyncio.Event()}
        self._numbers = count()
        self._waiting: dict[Key, int] = {}
        self._at_work: dict[Key, int] = {}
        self._progress = asyncio.Event()
        self._failures: dict[Key, int] = {}
        self._not_before: dict[str, float] = {}

    def take(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Have a state of a policy looked through, in place of an older one that waits."""
        metadata = mapping(body.get("metadata"))
        namespace, name = key = text(metadata.get("namespace")), text(metadata.get("name"))
        _, waits = self._slots.get(key, (resource, None))
        if not self._policies.is_news(body) or (waits and version_number(waits) >= version_number(body)):
            return
        if waits is None and self._is_full(namespace, name):
            # Texts that wait take room too.
            self._policies.set_aside(resource, body)
            self._renew_stale(namespace)
            return
        self._slots[key] = resource, body
        self._add(key)

    def drop(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take in that a policy is gone."""
        self._policies.drop(resource, namespace, name, uid)
        self._renew_stale(namespace)

    def listed(self, resource: Resource) -> None:
        """Take in that all policies of a kind have been shown: what waited for that is read."""
        for namespace in self._policies.listed(resource):
            self._read_fitting(namespace)

    async def settled(self) -> None:
        """Wait until all that waits now is in force: first the policies, then the layers that they make."""
        for _ in range(2):
            last = next(self._numbers)
            while any(each < last for work in (self._at_work, self._waiting) for each in work.values()):
                await self._progress.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for clusters in (True, False):
                group.create_task(self._work(self._lanes[clusters], self._new[clusters]))

    def _is_full(self, namespace: str, name: str) -> bool:
        known, lane = self._policies.named(namespace, name), self._lanes[not namespace]
        if known is not None and not known.is_beyond:
            return False
        return self._policies.room(namespace).objects <= lane.waiting(namespace)

    def _add(self, key: Key) -> None:
        self._waiting.setdefault(key, next(self._numbers))
        self._lanes[not key[0]].add(key)
        self._new[not key[0]].set()

    def _renew_stale(self, namespace: str) -> None:
        """Have a stale layer made, a namespace's not sooner than a while after the last time."""
        key = namespace, _LAYER
        if namespace not in self._policies.stale or key in self._waiting or key in self._at_work:
            return
        pause = self._not_before.get(namespace, 0.0) - self._clock()
        if pause > 0:
            self._waiting[key] = next(self._numbers)
            asyncio.get_running_loop().call_later(pause, self._add, key)
        else:
            self._add(key)

    async def _work(self, lanes: Lanes, new: asyncio.Event) -> None:
        while True:
            await new.wait()
            if not lanes:
                new.clear()
                continue
            key = lanes.next()
            self._at_work[key] = self._waiting.pop(key)
            try:
                await (self._make(key[0]) if key[1] == _LAYER else self._look_through(key))
            finally:
                del self._at_work[key]
                self._renew_stale(key[0])
                progress, self._progress = self._progress, asyncio.Event()
                progress.set()

    async def _look_through(self, key: Key) -> None:
        resource, body = self._slots.pop(key)
        if body is None:
            body = await self._read(resource, key)
        if body is None:
            return
        known = self._policies.named(*key)
        await self._policies.take(resource, body)
        if known is not None and known.waits is not None:
            # It need not take the room that was held for it: a text that is refused takes none.
            self._read_fitting(key[0])

    async def _read(self, resource: Resource, key: Key) -> Mapping[str, Any] | None:
        try:
            body = await self._reads.get(resource, key[0] or None, key[1])
        except ApiAnswerError as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = retry_pause(failures, self._randomness(), error)
            _log.warning("policy not read again", namespace=key[0], policy=key[1], error=str(error))
            self._slots.setdefault(key, (resource, None))
            asyncio.get_running_loop().call_later(pause, self._try_again, key)
            return None
        self._failures.pop(key, None)
        return body

    def _try_again(self, key: Key) -> None:
        if key in self._slots:
            self._add(key)

    def _read_fitting(self, namespace: str) -> None:
        for each in self._policies.fitting(namespace):
            if (key := (namespace, each.name)) not in self._slots:
                self._slots[key] = each.resource, None
                self._add(key)

    async def _make(self, namespace: str) -> None:
        self._read_fitting(namespace)
        begin = self._clock()
        await self._policies.renew(namespace)
        end = self._clock()
        if namespace:
            self._not_before[namespace] = end + _LEAST_PAUSE * (end - begin)
        if not self._policies.of(namespace).sources:
            self._not_before.pop(namespace, None)
