"""Puts the operator together, runs it until SIGTERM, and drains it."""

import asyncio
import random
import signal
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from agentid.api.admission import AdmissionSettings
from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ClusterError
from agentid.cluster.events import Events
from agentid.cluster.lease import LeaseLock, Takeover
from agentid.cluster.reads import Reads
from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.controller.admission_proof import AdmissionProof
from agentid.controller.authority import Authority
from agentid.controller.deadlines import Deadlines
from agentid.controller.health import HealthServer
from agentid.controller.intake import Intake
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.observing import Observer
from agentid.controller.probes import Probes
from agentid.controller.queue import WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.secret_actions import SecretActions
from agentid.controller.settings import Settings
from agentid.controller.sweep import Sweep
from agentid.controller.telling import Teller
from agentid.controller.watches import run_watches, watched_paths
from agentid.controller.workloads import Workloads
from agentid.controller.world import Key, World
from agentid.errors import AgentidError
from agentid.lifecycle.model import Blocked
from agentid.pki.errors import CertificateAuthorityError
from agentid.pki.spiffe_id import TrustDomain

_log = structlog.get_logger("agentid.operator")

_SYNC_POLL_SECONDS: Final = 0.05


def utc_now() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


def boottime() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Operator:
    """All parts of one operator process, wired."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._namespaces = tuple(settings.watch_namespaces)
        self._paths = watched_paths(self._namespaces)
        self._unsettled: set[Key] = set()
        self._last_at_work = datetime.fromtimestamp(0, UTC)
        trust_domain = TrustDomain(settings.trust_domain)
        self.metrics = Metrics()
        self._queue = WorkQueue(time.monotonic, self._count_error)
        self._world = World(self._queue.add, utc_now)
        self._deadlines = Deadlines(utc_now, self._queue.add)
        self._reads = Reads(connection)
        self._intake = Intake(self._world, self._reads)
        identity = f"{settings.instance}_{uuid.uuid4().hex[:8]}"
        self._lock = LeaseLock(
            connection,
            name=settings.lease_name,
            namespace=settings.namespace,
            identity=identity,
            times=settings.lease_times(),
            clock=utc_now,
            boottime=boottime,
        )
        self._leader = Leader(self._lock, settings.lease_times(), self._take_over, self._step_down)
        self._events = Events(connection, settings.instance, self.metrics.count_event)
        self._authority = Authority(
            AuthorityStore(connection, settings.namespace, trust_domain, utc_now), self.metrics
        )
        self._proof = AdmissionProof(
            connection,
            AdmissionSettings(
                operator_namespace=settings.namespace,
                operator_service_account=settings.service_account,
                mutating=settings.mutating_admission,
                max_ttl_seconds=settings.max_ttl_seconds,
                max_active_deadline_seconds=settings.max_active_deadline_seconds,
                max_start_deadline_seconds=settings.max_start_deadline_seconds,
            ),
            interval_seconds=settings.admission_proof_seconds,
            on_change=self._look_at_all,
            clock=boottime,
        )
        self._workloads = Workloads(
            connection,
            tuple(kind.as_resource() for kind in settings.workload_kinds),
            self._world.workload_changed,
            self._world.workloads,
            time.monotonic,
        )
        self._sweep = Sweep(
            connection=connection,
            reads=self._reads,
            world=self._world,
            intake=self._intake,
            namespaces=self._namespaces,
            on_finding=lambda resource: self.metrics.sweep_findings.labels(resource=resource).inc(),
        )
        self._reconciler = Reconciler(
            world=self._world,
            observer=Observer(
                world=self._world,
                reads=self._reads,
                workloads=self._workloads,
                limits=settings.limits(),
                clock=utc_now,
                blocked=self._blocked,
                last_at_work=lambda: self._last_at_work,
            ),
            tasks=Tasks(connection, self._leader.require),
            secrets=SecretActions(
                Secrets(connection, self._leader.require), trust_domain, self.metrics, utc_now, random.random
            ),
            teller=Teller(self._events, self.metrics, utc_now),
            deadlines=self._deadlines,
            metrics=self.metrics,
            limits=settings.limits(),
            authority=self._authority.current,
            clock=utc_now,
        )
        self._probes = Probes(
            activity=connection.activity,
            paths=self._paths,
            queue=self._queue,
            leader=self._leader,
            blocked=self._blocked,
        )
        self._probes.add_gauges(self.metrics, self._deadlines)
        self.metrics.watch(
            "agentid_admission_in_force",
            "1 while every admission rule is installed as it should be and in force; 0: nothing is issued.",
            lambda: float(self._proof.blocked is None),
        )
        self._health = HealthServer(self.metrics, self._probes.unhealthy, self._probes.unready)

    async def run(self, stop: asyncio.Event, own_signals: Callable[[], None]) -> None:
        """Run until `stop`, then drain; `own_signals` sets the process' signal handlers.

        Raises:
            AgentidError: the operator cannot go on; the process has to start again.
        """
        await self._health.start(self._settings.bind_address, self._settings.metrics_port)
        parts: list[asyncio.Task[None]] = []
        watches = asyncio.create_task(
            run_watches(self._connection, self._intake, self._namespaces, own_signals)
        )
        try:
            parts += [watches, *map(asyncio.create_task, self._supporting_parts())]
            await self._load_authority()
            await self._wait_synced(watches)
            election = asyncio.create_task(self._leader.run())
            parts += [election, *map(asyncio.create_task, self._working_parts())]
            stopped = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            await self._drain(watches)
            for each in done - {stopped}:
                each.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._leader.release()
            await self._health.stop()

    def _supporting_parts(self) -> list[Coroutine[Any, Any, None]]:
        return [self._proof.run(), self._events.run(), self._workloads.run(), self._authority.run()]

    def _working_parts(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._queue.run(self._look_at, self._settings.concurrency),
            self._deadlines.run(),
            self._sweep.run(self._settings.resync_seconds),
        ]

    async def _load_authority(self) -> None:
        try:
            await self._authority.load()
        except (ClusterError, CertificateAuthorityError) as error:
            # Ends need no authority: go on without issuing, and try again.
            _log.error("authority not loaded", error=str(error))

    async def _wait_synced(self, watches: asyncio.Task[None]) -> None:
        """Wait until each watch has listed and begun to stream."""
        while not self._connection.activity.last_heard.keys() >= set(self._paths):
            await asyncio.wait([watches], timeout=_SYNC_POLL_SECONDS)
            if watches.done():
                watches.result()
        self._probes.synced = True
        _log.info("watches synced", tasks=sum(1 for _ in self._world.records()))

    async def _drain(self, watches: asyncio.Task[None]) -> None:
        """Let what was begun finish, and send what there is to tell; the lease is held meanwhile."""
        _log.info("draining", waiting=self._queue.depth, active=self._queue.active)
        watches.cancel()
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._queue.wait_idle()
                await self._events.drain()
        except TimeoutError:
            _log.warning("not drained in time", waiting=self._queue.depth, active=self._queue.active)

    async def _look_at(self, key: Key) -> None:
        if not self._leader.leading:
            return
        with self.metrics.pass_seconds.time():
            await self._reconciler.reconcile(key)
        self.metrics.passes.labels(result="success").inc()
        if key in self._unsettled:
            self._unsettled.discard(key)
            if not self._unsettled:
                self._leader.settle()
                _log.info("settled")

    def _take_over(self, takeover: Takeover) -> None:
        """Begin to lead: what was remembered of Secrets counts no longer."""
        self._last_at_work = takeover.last_at_work
        self._unsettled = set()
        for key, record in self._world.records():
            record.secret.forget()
            record.failed_write, record.failures = None, 0
            if record.task is None and any(not pod.facts.containers_ended for pod in record.pods.values()):
                # A pod that lives without its task: nobody remembers whose credential it may have mounted.
                record.departed.setdefault("", utc_now())
            self._unsettled.add(key)
        if not self._unsettled:
            self._leader.settle()
        self._look_at_all()

    def _step_down(self) -> None:
        self._deadlines.clear()

    def _look_at_all(self) -> None:
        for key, _ in self._world.records():
            self._queue.add(key)

    def _blocked(self) -> Blocked | None:
        return self._proof.blocked or self._authority.blocked

    def _count_error(self, error: BaseException) -> None:
        self.metrics.passes.labels(result="retry" if isinstance(error, AgentidError) else "error").inc()


async def run_operator(settings: Settings) -> None:
    """Run one operator until SIGTERM or SIGINT.

    Raises:
        AgentidError: it could not start or not go on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def own_signals() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop.set)

    own_signals()
    async with Connection.open(settings.kubeconfig, time.monotonic) as connection:
        await Operator(settings, connection).run(stop, own_signals)
