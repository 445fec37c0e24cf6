"""How the parts of an operator hang together, where one part alone cannot show it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentid.cluster.connection import Connection
from agentid.cluster.lease import Takeover
from agentid.cluster.paths import AGENT_SECRETS, NAMESPACES
from agentid.controller.freshness import Freshness
from agentid.controller.parts import Parts, build
from agentid.controller.settings import Settings
from agentid.controller.watches import watched_paths
from tests.unit.policy_objects import BROKEN, PERMIT, policy, resource_of

HOME = "agentid-system"
_TASK = {"metadata": {"namespace": "support", "name": "t", "uid": "u-t", "resourceVersion": "3"}}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}]}"
    )
    settings = Settings(trust_domain="prod.example.com", namespace=HOME)
    async with Connection.open(kubeconfig, time.monotonic) as connection:
        parts = build(settings, connection)
        running = asyncio.create_task(parts.policy_intake.run())
        yield parts
        running.cancel()


async def test_view_without_the_labels_of_namespaces_or_the_agent_secrets_is_not_fresh(parts: Parts) -> None:
    assert parts.paths == (*watched_paths(()), NAMESPACES.path(None), AGENT_SECRETS.path(HOME))
    freshness = next(each for each in parts.issuing._hindrances if isinstance(each, Freshness))  # noqa: SLF001
    activity = freshness._activity  # noqa: SLF001 - the one of the connection
    for path in watched_paths(()):
        activity.note(path)
    blocked = freshness.blocked
    assert blocked is not None
    assert NAMESPACES.path(None) in blocked.message
    activity.note(NAMESPACES.path(None))
    blocked = freshness.blocked
    assert blocked is not None
    assert AGENT_SECRETS.path(HOME) in blocked.message
    activity.note(AGENT_SECRETS.path(HOME))
    assert freshness.blocked is None


async def test_policy_that_is_taken_in_has_its_tasks_looked_at_and_its_status_written(parts: Parts) -> None:
    parts.intake.task(None, _TASK)
    statuses = parts.policy_statuses
    parts.queue.begin_anew(())
    for body, looked_at in (
        (policy(PERMIT, namespace="other", uid="u-1"), 0),
        (policy(BROKEN, namespace="support", uid="u-2"), 1),
    ):
        parts.intake.policy(resource_of(body), None, body)
        await parts.policy_intake.settled()
        assert parts.queue.depth == looked_at
    assert statuses._untold.waiting("other") == statuses._untold.waiting("support") == 1  # noqa: SLF001 - what is to be written


async def test_whoever_takes_over_tells_of_all_policies_also_while_its_lease_is_late(parts: Parts) -> None:
    body = policy(PERMIT)
    parts.intake.policy(resource_of(body), None, body)
    await parts.policy_intake.settled()
    statuses = parts.policy_statuses
    assert statuses._next() is None  # noqa: SLF001 - a standby has nothing to write
    parts.leader._on_lead(Takeover(datetime(2026, 5, 31, tzinfo=UTC)))  # noqa: SLF001 - without a lease
    assert not parts.leader.leading
    assert statuses._next() == ("", "u-1")  # noqa: SLF001 - what is to be written
    parts.leader._on_lose()  # noqa: SLF001 - as above
    statuses.note_all()
    assert statuses._next() is None  # noqa: SLF001 - as above
