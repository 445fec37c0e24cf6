"""Lists everything: into the world at the start, then to compare, since watches can miss things silently.

After a watch's version was too old, it begins anew and tells nothing of what was changed meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from agentid.api.names import TASK_LABEL
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.paths import (
    AGENT_POLICIES,
    AGENTS,
    APPROVALS,
    CLUSTER_AGENT_POLICIES,
    PODS,
    TASKS,
    Resource,
)
from agentid.cluster.reads import Reads
from agentid.cluster.watching import list_chunks
from agentid.controller.intake import DELETED, Intake
from agentid.controller.known import Known, Versions
from agentid.controller.world import World
from agentid.watched.facts import mapping, text, version_number
from agentid.watched.heartbeat import is_heartbeat
from agentid.watched.policies import Policies

_log = structlog.get_logger("agentid.sweep")

_AT_ONCE: Final = 8
_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 15.0
_TRIES_OF_A_PAGE: Final = 4
"""At the start: one page that gets no answer must not cost the hundreds before it."""

_POLICIES: Final = (CLUSTER_AGENT_POLICIES, AGENT_POLICIES)
_WATCHED: Final = (*_POLICIES, AGENTS, APPROVALS, TASKS, PODS)
"""In the order in which they are taken in."""
_SELECTORS: Final = {PODS: TASK_LABEL}
"""The label that is asked for."""


class Sweep:
    """A list of everything watched: taken in whole, or its metadata compared with the world."""

    def __init__(  # noqa: PLR0913 - what is compared, and what is told
        self,
        *,
        connection: Connection,
        reads: Reads,
        world: World,
        policies: Policies,
        intake: Intake,
        namespaces: tuple[str, ...],
        on_finding: Callable[[str, int], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._reads = reads
        self._known = Known(world, policies)
        self._intake = intake
        self._namespaces = namespaces
        self._on_finding = on_finding
        self._sleep = sleep
        self._wanted = asyncio.Event()
        self._listed = False
        self._begun = 0
        self.behind = False
        """Whether a watch has begun anew, and what it missed has not been found yet."""

    def request(self) -> None:
        """Have a sweep soon, because a watch has begun, or begun anew: what was before, it does not show."""
        self._begun += 1
        self._wanted.set()
        self.behind = self._listed

    async def take_everything(self) -> None:
        """Take in all that there is, after the watches have begun: they tell of all that changes since.

        Raises:
            ApiAnswerError: a list could not be read; what was read is taken in.
        """
        if self._begun == sum(len(self._wheres(resource)) for resource in _WATCHED):
            # Each has begun once, so that none has missed anything that it showed before.
            self._wanted.clear()
        with self._intake.listing():
            for resource in _WATCHED:
                await self._take_all(resource)
        self._listed = True
        # Where a watch has begun anew meanwhile, what it missed has to be found first.
        self.behind = self._wanted.is_set()

    async def _take_all(self, resource: Resource) -> None:
        for namespace in self._wheres(resource):
            pages = list_chunks(
                self._connection,
                resource,
                namespace,
                label_selector=_SELECTORS.get(resource),
                tries=_TRIES_OF_A_PAGE,
            )
            async for bodies, _ in pages:
                for body in bodies:
                    await self._take(resource, None, body)
        if resource in _POLICIES:
            await self._intake.policies_settled()
            self._intake.policies_listed(resource)
            await self._intake.policies_settled()

    def _wheres(self, resource: Resource) -> tuple[str | None, ...]:
        return (None,) if resource == CLUSTER_AGENT_POLICIES else self._namespaces or (None,)

    async def run(self, interval_seconds: float) -> None:
        """Sweep at each interval and on request, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(interval_seconds):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            requested = self._wanted.is_set()
            self._wanted.clear()
            failures = 0
            while not await self._swept(requested=requested):
                failures += 1
                await self._sleep(min(_RETRY_SECONDS * failures, _LONGEST_RETRY_SECONDS))
            # Where a watch has begun anew meanwhile, the next sweep is for that.
            self.behind = self._wanted.is_set()

    async def _swept(self, *, requested: bool) -> bool:
        try:
            await self.once(requested=requested)
        except ApiAnswerError as error:
            _log.warning("sweep failed", error=str(error))
            return False
        return True

    async def once(self, *, requested: bool = False) -> int:
        """Compare all once; return in how many objects the watches were behind.

        `requested`: a watch has begun anew, so that there may be some, and nobody need look into it.

        Raises:
            ApiAnswerError: a list or an object could not be read.
        """
        findings = 0
        await self._intake.policies_settled()
        for resource in _WATCHED:
            found = await self._compare(resource, self._known.all(resource))
            if found and resource in _POLICIES:
                await self._intake.policies_settled()
            if found and requested:
                _log.info("found what a new watch does not show", resource=resource.plural, objects=found)
            elif found:
                _log.warning("watches were behind", resource=resource.plural, objects=found)
                self._on_finding(resource.plural, found)
            findings += found
        return findings

    async def _compare(self, resource: Resource, known: Versions) -> int:
        doubtful: list[tuple[str, str, str]] = []
        missing = dict(known)
        for namespace in self._wheres(resource):
            async for items, _ in list_chunks(
                self._connection,
                resource,
                namespace,
                label_selector=_SELECTORS.get(resource),
                metadata_only=True,
            ):
                for item in items:
                    if resource is TASKS and is_heartbeat(item):
                        continue
                    metadata = mapping(item.get("metadata"))
                    uid = text(metadata.get("uid"))
                    seen = missing.pop(uid, None)
                    if seen is None or seen[2] < version_number(item):
                        doubtful.append((text(metadata.get("namespace")), text(metadata.get("name")), uid))
        doubtful += [(namespace, name, uid) for uid, (namespace, name, _) in missing.items()]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def settle(namespace: str, name: str, uid: str) -> int:
            async with gate:
                return await self._settle(resource, namespace, name, uid)

        counts = await asyncio.gather(*(settle(*each) for each in doubtful))
        return sum(counts)

    async def _settle(self, resource: Resource, namespace: str, name: str, uid: str) -> int:
        """Look at one object and take in what is there; return 1 if the world did not know it."""
        body = await self._reads.get(resource, namespace or None, name)
        is_there = body is not None and text(mapping(body.get("metadata")).get("uid")) == uid
        known = self._known.version(resource, (namespace, name), uid)
        if known is None if not is_there else (known is not None and known >= version_number(body or {})):
            return 0
        shown: Mapping[str, Any] = {
            "metadata": {"namespace": namespace, "name": name, "uid": uid},
        }
        kind = None if is_there else DELETED
        await self._take(resource, kind, body if is_there and body is not None else shown)
        return 1

    async def _take(self, resource: Resource, kind: str | None, body: Mapping[str, Any]) -> None:
        if resource is TASKS:
            self._intake.task(kind, body)
        elif resource is AGENTS:
            self._intake.agent(kind, body)
        elif resource is APPROVALS:
            self._intake.approval(kind, body)
        elif resource in _POLICIES:
            self._intake.policy(resource, kind, body)
        else:
            await self._intake.pod(kind, body)
