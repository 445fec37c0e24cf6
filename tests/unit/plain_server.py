"""A server on loopback that answers as a test says, and a kubeconfig that leads to it, without TLS."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

_LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serving(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], folder: Path
) -> AsyncIterator[Path]:
    """Serve within the block; yields the kubeconfig, which is written into `folder`."""
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, _LOOPBACK, 0).start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        f" clusters: [{{name: c, cluster: {{server: 'http://{_LOOPBACK}:{runner.addresses[0][1]}'}}}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}]}"
    )
    try:
        yield kubeconfig
    finally:
        await runner.cleanup()
