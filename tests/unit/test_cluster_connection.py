"""A request is given up in time: a write before the lease it is covered by can be another's."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ConnectionLostError
from agentid.cluster.secrets import SecretManifest, Secrets, Version
from agentid.cluster.tasks import Tasks

_LIMIT_SECONDS = 5
_COVERED_SECONDS = 0.2
_MANIFEST = SecretManifest("ns", "agentid-t", "u-1", (), {})


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    """A connection to a server that takes every request and never answers."""
    release = asyncio.Event()

    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response(status=500)

    runner = web.ServerRunner(web.Server(hang), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kubeconfig = tmp_path / "kubeconfig"
    port = runner.addresses[0][1]
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        f" clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}]}"
    )
    async with Connection.open(kubeconfig, time.monotonic) as opened:
        yield opened
    release.set()
    await runner.cleanup()


_WRITES: dict[str, Callable[[Tasks, Secrets], Awaitable[object]]] = {
    "status": lambda tasks, _: tasks.write_status("ns", "t", "u-1", "1", {}, AgentTaskStatus()),
    "task deleted": lambda tasks, _: tasks.delete("ns", "t", "u-1", "1"),
    "Secret created": lambda _, secrets: secrets.create(_MANIFEST),
    "Secret replaced": lambda _, secrets: secrets.replace(_MANIFEST, Version("u-2", "1")),
    "Secret deleted": lambda _, secrets: secrets.delete("ns", "agentid-t", "u-2"),
}


@pytest.mark.parametrize("write", _WRITES)
async def test_a_write_that_hangs_is_given_up_when_the_lease_no_longer_covers_it(
    connection: Connection, write: str
) -> None:
    tasks = Tasks(connection, lambda: _COVERED_SECONDS)
    secrets = Secrets(connection, lambda: _COVERED_SECONDS)
    async with asyncio.timeout(_LIMIT_SECONDS):
        with pytest.raises(ConnectionLostError, match="no answer: "):
            await _WRITES[write](tasks, secrets)
