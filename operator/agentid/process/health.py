"""Serves /metrics, /healthz and /readyz."""

from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from agentid.process.errors import ServingError

_log = structlog.get_logger("agentid.health")

Problems = Callable[[], list[str]]
"""Returns what is wrong, one sentence each; nothing where all is well."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """A small HTTP server; what is wrong is said in the answer."""

    def __init__(self, metrics: Callable[[], bytes], unhealthy: Problems, unready: Problems) -> None:
        self._metrics = metrics
        self._unhealthy = unhealthy
        self._unready = unready
        self._runner = web.AppRunner(self._application(), access_log=None)

    async def start(self, address: str, port: int) -> None:
        """Serve on `port`; 0 is any free one, which the log then tells.

        Raises:
            ServingError: the address or the port cannot be had.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, address, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ServingError(f"cannot serve on {address} port {port}: {error.strerror or error}") from error
        _log.info("serving metrics and health", address=address, port=self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._serve_metrics),
                web.get("/healthz", self._serve_health),
                web.get("/readyz", self._serve_readiness),
            ]
        )
        return application

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": _METRICS_TYPE})

    async def _serve_health(self, _: web.Request) -> web.Response:
        return _answer(self._unhealthy())

    async def _serve_readiness(self, _: web.Request) -> web.Response:
        return _answer(self._unready())


def _answer(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    return web.Response(text="ok\n")
