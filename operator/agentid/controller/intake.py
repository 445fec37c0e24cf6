"""Takes in what watches and sweeps show; what would end a task is looked at before it is believed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.paths import PODS, Resource
from agentid.cluster.reads import Reads
from agentid.controller.world import World
from agentid.watched.facts import mapping, pod_task, text
from agentid.watched.pauses import retry_pause
from agentid.watched.policy_intake import PolicyIntake

_log = structlog.get_logger("agentid.intake")

DELETED: Final = "DELETED"
LOOKS_AT_ONCE: Final = 16
"""A namespace of thousands of pods can go in a moment; the API server has more to do than to answer us."""


class Intake:
    """The one way into the world."""

    def __init__(
        self,
        world: World,
        policies: PolicyIntake,
        reads: Reads,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._world = world
        self._policies = policies
        self._reads = reads
        self._sleep = sleep
        self._randomness = randomness
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._gone: set[str] | None = None

    @contextmanager
    def listing(self) -> Iterator[None]:
        """While all there is is listed, what a watch shows to be gone stays gone.

        A page may be of a moment before that, and nobody would tell of it again.
        """
        self._gone = set()
        try:
            yield
        finally:
            self._gone = None

    def _note_gone(self, uid: str) -> None:
        if self._gone is not None:
            self._gone.add(uid)

    def _is_gone(self, uid: str) -> bool:
        return self._gone is not None and uid in self._gone

    def task(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event about an AgentTask."""
        namespace, name, uid = _identity(body)
        if kind == DELETED:
            self._note_gone(uid)
            self._world.drop_task((namespace, name), uid)
        elif not self._is_gone(uid):
            self._world.take_task(body)

    def agent(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event about an Agent."""
        namespace, name, uid = _identity(body)
        if kind == DELETED:
            self._note_gone(uid)
            self._world.agents.drop((namespace, name), uid)
        elif not self._is_gone(uid):
            self._world.agents.take(body)

    def approval(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event about an AgentApproval."""
        namespace, name, uid = _identity(body)
        if kind == DELETED:
            self._note_gone(uid)
            self._world.approvals.drop((namespace, name), uid)
        elif not self._is_gone(uid):
            self._world.approvals.take(body)

    def policy(self, resource: Resource, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event about a ClusterAgentPolicy or AgentPolicy."""
        namespace, name, uid = _identity(body)
        if kind == DELETED:
            self._note_gone(uid)
            self._policies.drop(resource, namespace, name, uid)
        elif not self._is_gone(uid):
            self._policies.take(resource, body)

    def policies_listed(self, resource: Resource) -> None:
        """Take in that all ClusterAgentPolicies, or all AgentPolicies, have been shown."""
        self._policies.listed(resource)

    async def policies_settled(self) -> None:
        """Wait until the policies that were taken in by now are in force."""
        await self._policies.settled()

    async def pod(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event about a labelled pod. DELETED also comes when a pod only lost its label."""
        namespace, name, uid = _identity(body)
        if kind != DELETED:
            if not self._is_gone(uid):
                self._world.take_pod(body)
            return
        found = await self._look(namespace, name)
        if found is None or _identity(found)[2] != uid:
            self._note_gone(uid)
            self._world.drop_pod(uid)
            return
        task = pod_task(body)
        self._world.take_pod(
            found, fallback=self._world.pod_key(uid) or ((namespace, task) if task else None)
        )

    async def _look(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the pod as it is now, however often that has to be asked; nothing is believed before."""
        failures = 0
        while True:
            try:
                async with self._looks:
                    return await self._reads.get(PODS, namespace, name)
            except ApiAnswerError as error:
                failures += 1
                pause = retry_pause(failures, self._randomness(), error)
                _log.warning(
                    "pod could not be looked at",
                    namespace=namespace,
                    pod=name,
                    error=str(error),
                    retry_seconds=round(pause, 2),
                )
            await self._sleep(pause)


def _identity(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return namespace, name and UID."""
    metadata = mapping(body.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name")), text(metadata.get("uid"))
