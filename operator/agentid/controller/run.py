"""Runs an operator until SIGTERM, and drains it."""

import asyncio
import functools
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError, ClusterError
from agentid.controller.draining import drain
from agentid.controller.parts import Parts, build
from agentid.controller.settings import Settings
from agentid.controller.watches import run_watches
from agentid.pki.errors import PkiError
from agentid.process.clocks import boottime
from agentid.process.health import HealthServer

_log = structlog.get_logger("agentid.operator")

_RETRY_SECONDS: Final = 2.0


async def run_operator(settings: Settings) -> None:
    """Run one operator until SIGTERM or SIGINT.

    Raises:
        AgentidError: it could not start or not go on.
    """
    _log.info("starting", **settings.shown())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def own_signals() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop.set)

    own_signals()
    async with Connection.open(settings.kubeconfig, boottime) as connection:
        await Operator(settings, connection, build(settings, connection)).run(stop, own_signals)


class Operator:
    """One operator process, from the start of its watches to its drained end."""

    def __init__(self, settings: Settings, connection: Connection, parts: Parts) -> None:
        self._settings = settings
        self._connection = connection
        self._parts = parts
        self._running: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event, own_signals: Callable[[], None]) -> None:
        """Run until `stop`, then drain; `own_signals` sets the process' signal handlers.

        Raises:
            AgentidError: the operator cannot go on; the process has to start again.
        """
        parts, settings = self._parts, self._settings
        health = HealthServer(parts.metrics.text, parts.probes.unhealthy, parts.probes.unready)
        await health.start(settings.bind_address, settings.metrics_port)
        try:
            self._start(
                parts.proof.run(),
                parts.clock_proof.run(),
                parts.events.run(),
                parts.workloads.run(),
                parts.namespaces.run(),
                parts.static_secrets.run(),
                parts.authority.run(),
                parts.policy_intake.run(),
            )
            watches = self._start_watches(own_signals)
            stopped = asyncio.create_task(stop.wait())
            ready = asyncio.create_task(self._prepare())
            await asyncio.wait([stopped, ready, *self._running], return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not stopped.done():
                ready.result()
                look_at = functools.partial(parts.duty.look_at, parts.leader, parts.reconciler)
                self._start(
                    parts.issuing.run(),
                    parts.ledger.run(),
                    parts.revocations.run(),
                    parts.sinks.run(),
                    parts.decisions.run(),
                    parts.leader.run(),
                    parts.queue.run(look_at, settings.concurrency),
                    parts.deadlines.run(),
                    parts.sweep.run(settings.resync_seconds),
                    parts.policy_statuses.run(),
                    parts.agent_statuses.run(),
                    parts.heart.run(),
                )
                await asyncio.wait([stopped, *self._running], return_when=asyncio.FIRST_COMPLETED)
                failed = [task for task in self._running if task.done()]
                watches.cancel()
                # The lease is held meanwhile.
                await drain(
                    parts.queue,
                    parts.ledger,
                    parts.events,
                    parts.sinks,
                    pass_seconds=settings.drain_seconds,
                )
            else:
                ready.cancel()
                failed = [task for task in self._running if task.done()]
            stopped.cancel()
            for each in failed:
                each.result()
        finally:
            await self._end_parts()
            if parts.opa is not None:
                await parts.opa.close()
            await parts.leader.release(settled=parts.duty.settled)
            await health.stop()

    def _start(self, *parts: Coroutine[Any, Any, None]) -> None:
        self._running += [asyncio.create_task(part) for part in parts]

    def _start_watches(self, own_signals: Callable[[], None]) -> asyncio.Task[None]:
        watches = asyncio.create_task(
            run_watches(
                self._connection,
                self._parts.intake,
                tuple(self._settings.watch_namespaces),
                on_listed=self._parts.sweep.request,
                own_signals=own_signals,
            )
        )
        self._running.append(watches)
        return watches

    async def _prepare(self) -> None:
        """Load the authority, wait until each watch has begun to stream, and list all that there is."""
        # Where there is none yet, one is made, and what is made lasts for years.
        await self._parts.clock_proof.first_try()
        try:
            await self._parts.authority.load()
        except (ClusterError, PkiError) as error:
            # Ends need no authority: go on without issuing, and try again.
            _log.error("authority not loaded", error=str(error))
        await self._connection.activity.heard_from_all(self._parts.paths)
        await self._parts.namespaces.listed()
        await self._parts.static_secrets.listed()
        await self._list_everything()
        self._parts.probes.synced = True
        _log.info("synced")

    async def _list_everything(self) -> None:
        """Take in all that there is, however often that has to be tried."""
        while True:
            try:
                return await self._parts.sweep.take_everything()
            except ApiAnswerError as error:
                _log.warning("not everything listed", error=str(error), retry_seconds=_RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _end_parts(self) -> None:
        for task in self._running:
            # The watches are ending by now: cancelled once more, kopf would leave tasks of its own behind.
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
