"""kopf's watches of tasks, what decides on them and labelled pods, tamed: it keeps and writes nothing.

What tenants may write into an object (kopf's own annotations) is neither read nor trusted: the storages here
know nothing. What kopf would do with an object beyond handing it over is switched off.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import aiohttp
import kopf
from kopf._core.engines.peering import Identity
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from agentid.api.names import GROUP, TASK_LABEL, VERSION
from agentid.cluster.connection import Connection
from agentid.cluster.empty_lists import asking_for_nothing
from agentid.cluster.paths import (
    AGENT_POLICIES,
    AGENTS,
    APPROVALS,
    CLUSTER_AGENT_POLICIES,
    PODS,
    TASKS,
    Resource,
)
from agentid.controller.errors import WatchEndedError
from agentid.controller.intake import Intake

_INACTIVE_SECONDS: Final = 130.0
"""Bookmarks come once a minute; after two missed ones kopf connects again."""
_STOP_SECONDS: Final = 10.0


class ForgetfulDiffBase(kopf.DiffBaseStorage):
    """Stores no last-seen state and finds none, whatever an object claims."""

    def build(self, **_: object) -> Any:  # noqa: ANN401 - kopf's signature
        """Return an empty essence."""
        return {}

    def fetch(self, **_: object) -> None:
        """Find nothing."""

    def store(self, **_: object) -> None:
        """Store nothing."""


class ForgetfulProgress(kopf.ProgressStorage):
    """Stores no progress and finds none, whatever an object claims."""

    def fetch(self, **_: object) -> None:
        """Find nothing."""

    def store(self, **_: object) -> None:
        """Store nothing."""

    def purge(self, **_: object) -> None:
        """Remove nothing."""

    def touch(self, **_: object) -> None:
        """Touch nothing."""

    def clear(self, *, essence: Any) -> Any:  # noqa: ANN401 - kopf's signature
        """Return the essence as it is."""
        return essence


class ForgetfulMemories(ResourceMemories):
    """Keeps nothing of an object between its events; what kopf keeps (1 kB each) serves others."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:  # noqa: ANN401 - kopf's signature
        """Return a memory for this event only."""
        return await super().recall(raw_body, **{**options, "ephemeral": True})


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: see docs/adr for what each of them keeps it from doing."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = ForgetfulDiffBase()
    settings.persistence.progress_storage = ForgetfulProgress()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 0.2
    settings.watching.inactivity_timeout = _INACTIVE_SECONDS
    settings.watching.connect_timeout = 5
    # It begins with a list, which asks for nothing and tells that a watch has begun (anew).
    settings.watching.initial_streaming = False
    settings.watching.label_selectors["", "v1", "pods"] = TASK_LABEL
    return settings


def kopf_registry(
    connection: Connection, intake: Intake, through: aiohttp.ClientMiddlewareType
) -> kopf.OperatorRegistry:
    """Return the handlers: a login that shares our connections, and one handler for each kind."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.AiohttpSession:
        session = connection.session_for_kopf(through)
        return kopf.AiohttpSession(server=connection.server, aiohttp_session=session)

    @kopf.on.event(GROUP, VERSION, TASKS.plural, registry=registry)
    async def task(event: Mapping[str, Any], **_: object) -> None:
        intake.task(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, AGENTS.plural, registry=registry)
    async def agent(event: Mapping[str, Any], **_: object) -> None:
        intake.agent(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, APPROVALS.plural, registry=registry)
    async def approval(event: Mapping[str, Any], **_: object) -> None:
        intake.approval(event["type"], event["object"])

    for resource in (CLUSTER_AGENT_POLICIES, AGENT_POLICIES):

        @kopf.on.event(GROUP, VERSION, resource.plural, registry=registry, id=resource.plural)
        async def policy(event: Mapping[str, Any], of: Resource = resource, **_: object) -> None:
            intake.policy(of, event["type"], event["object"])

    @kopf.on.event("", "v1", PODS.plural, registry=registry)
    async def pod(event: Mapping[str, Any], **_: object) -> None:
        await intake.pod(event["type"], event["object"])

    return registry


def watched_paths(namespaces: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of all watches: of each kind, in each namespace or in all of them."""
    wheres = tuple(namespaces) or (None,)
    kinds = (TASKS, AGENTS, AGENT_POLICIES, APPROVALS, PODS)
    return (
        CLUSTER_AGENT_POLICIES.path(None),
        *(resource.path(where) for where in wheres for resource in kinds),
    )


async def run_watches(
    connection: Connection,
    intake: Intake,
    namespaces: tuple[str, ...],
    *,
    on_listed: Callable[[], None],
    own_signals: Callable[[], None],
) -> None:
    """Watch until cancelled.

    Args:
        connection: To the API server.
        intake: Takes what is seen.
        namespaces: Where to watch; none: everywhere.
        on_listed: Is told when a watch begins, or begins anew: of what was before, it shows nothing.
        own_signals: Sets the process' signal handlers; kopf puts its own in their place when it starts.

    Raises:
        WatchEndedError: kopf has ended by itself.
    """
    # Not kopf.operator(): at its end that cancels every task of the process that was started after it.
    tasks = await kopf.spawn_tasks(
        registry=kopf_registry(connection, intake, asking_for_nothing(watched_paths(namespaces), on_listed)),
        settings=kopf_settings(),
        memories=ForgetfulMemories(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
        # For peering, which is off. Left out, kopf asks for the user's name, and in a pod there is none.
        identity=Identity("agentid"),
    )
    own_signals()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        causes = [repr(task.exception()) for task in done if not task.cancelled() and task.exception()]
        raise WatchEndedError(f"the watches have ended: {', '.join(causes) or 'without an error'}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_STOP_SECONDS)
