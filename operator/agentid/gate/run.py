"""Runs a decision point until SIGTERM."""

import asyncio
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.reads import Reads
from agentid.cluster.watch_activity import DEAD_SECONDS, STALE_SECONDS, WatchActivity
from agentid.gate.answer import Answer
from agentid.gate.asking import Asking
from agentid.gate.deciding import Deciding
from agentid.gate.enforcement_points import EnforcementPoints
from agentid.gate.errors import UnusableMappingError
from agentid.gate.feeding import Feeding, run_all
from agentid.gate.grpc_server import GrpcServer
from agentid.gate.http_server import HttpServer
from agentid.gate.mapping import Mapper, Mapping, read_mapping
from agentid.gate.metrics import GateMetrics
from agentid.gate.public_documents import PublicDocuments
from agentid.gate.question import Question
from agentid.gate.recording import Recording
from agentid.gate.settings import GateSettings
from agentid.gate.tls import renew
from agentid.gate.tokens import Tokens, reviewer
from agentid.gate.view import Moment, View
from agentid.process.clocks import Clock, boottime
from agentid.process.health import HealthServer
from agentid.process.tracing import lost_spans
from agentid.watched.namespaces import Namespaces
from agentid.watched.policies import Policies
from agentid.watched.policy_intake import PolicyIntake

_log = structlog.get_logger("agentid.gate")

_UNLISTED: Final = "not everything has been listed yet"


async def run_gate(settings: GateSettings) -> None:
    """Run one decision point until SIGTERM or SIGINT.

    Raises:
        AgentidError: it could not start or not go on.
    """
    _log.info("starting", **settings.shown())
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    mapper = Mapper(_mapping(settings.mapping_file))
    async with Connection.open(settings.kubeconfig, boottime) as connection:
        await Gate(settings, connection, mapper).run(stop)


def _mapping(path: Path | None) -> Mapping:
    """Return the mapping in a file.

    Raises:
        UnusableMappingError: it cannot be read, or does not fit.
    """
    if path is None:
        return Mapping()
    try:
        return read_mapping(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UnusableMappingError(f"{path}: {error}") from error


class Gate:
    """One decision point, from its watches to its servers."""

    def __init__(
        self, settings: GateSettings, connection: Connection, mapper: Mapper, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._activity = connection.activity
        self._synced = False
        self._started = boottime()
        served = tuple(settings.watch_namespaces)
        policies = Policies(lambda _namespace: None, lambda _policy: None)
        namespaces = Namespaces(connection, served, lambda _namespace: None, clock=time.monotonic)
        self._view = View(policies, namespaces.labels, self._silent)
        self._feeding = Feeding(
            connection,
            self._view,
            PolicyIntake(policies, Reads(connection)),
            namespaces,
            served=served,
            operator_namespace=settings.namespace,
            clock=time.monotonic,
            uptime=boottime,
        )
        self._clock = clock or Clock()
        self._metrics = _metrics(self._view, self._clock, served)
        asking = Asking(
            self._view, trust_domain=settings.trust_domain, cluster_labels=settings.cluster_labels
        )
        self._recording = Recording(settings, connection, self._metrics, self._clock.wall)
        self._documents = PublicDocuments(connection, settings.namespace, time.monotonic, self._clock.wall)
        self._metrics.watch(
            "agentid_gate_crl_behind_seconds",
            "For how long a CRL in parts has been published that is not served yet; 0 where none is.",
            self._documents.behind_seconds,
        )
        decide = Deciding(
            self._view,
            settings.limits(),
            asking,
            now=self._clock.wall,
            uptime=boottime,
            told=self._told,
            hindrance=self._recording.log.hindrance,
        )
        points = EnforcementPoints(settings.enforcement_points)
        audience = settings.token_audience
        tokens = Tokens(reviewer(connection, audience), time.monotonic) if audience else None
        asked_by = (decide, points, tokens, mapper, tuple(settings.caller_from))
        self._http = HttpServer(
            *asked_by, base_url=settings.base_url, caps=settings.caps(), documents=self._documents
        )
        self._grpc = GrpcServer(
            *asked_by, message_bytes=settings.max_body_bytes * 2, calls_at_once=settings.max_calls
        )
        self._health = HealthServer(self._metrics.text, self.unhealthy, self.unready)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`.

        Raises:
            AgentidError: it cannot go on; the process has to start again.
        """
        settings, tls = self._settings, self._settings.tls()
        await self._health.start(settings.bind_address, settings.metrics_port)
        runs = [*self._feeding.runs(), *self._recording.runs(), *self._documents.runs()]
        feeding = asyncio.create_task(run_all(runs))
        stopped = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(self._ready())
        try:
            version = tls.version() if tls else ()
            await self._http.start(settings.bind_address, settings.http_port, tls.context() if tls else None)
            credentials = tls.credentials() if tls else None
            await self._grpc.start(settings.bind_address, settings.grpc_port, credentials)
            renewing = asyncio.create_task(renew(tls, version, self._http.serve_anew)) if tls else None
            going = [stopped, feeding, *([renewing] if renewing else [])]
            await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for each in going:
                if each.done():
                    each.result()
                each.cancel()
        finally:
            for each in (feeding, stopped, ready):
                each.cancel()
            await self._grpc.stop()
            await self._http.stop()
            await asyncio.wait([feeding])
            await self._recording.close()
            await self._health.stop()

    def unhealthy(self) -> list[str]:
        """Return why this process will not recover by itself."""
        silent = _silent(self._activity, self._feeding.paths, DEAD_SECONDS, self._started)
        return [silent] if silent else []

    def unready(self) -> list[str]:
        """Return why it can decide on nothing yet."""
        return [] if self._synced else [_UNLISTED]

    def _silent(self) -> str | None:
        # A policy that forbids may be among what has not been listed yet.
        if not self._synced:
            return _UNLISTED
        return _silent(self._activity, self._feeding.paths, STALE_SECONDS, self._started)

    async def _ready(self) -> None:
        await self._feeding.synced()
        self._synced = True
        _log.info("synced")

    def _told(self, question: Question, answer: Answer, at: datetime) -> None:
        self._metrics.count(question, answer, at)
        self._recording.log.told(question, answer, at)


def _silent(activity: WatchActivity, paths: tuple[str, ...], most_seconds: float, since: float) -> str | None:
    ages, running = activity.ages(), activity.clock() - since
    path = max(paths, key=lambda each: ages.get(each, running))
    age = ages.get(path, running)
    return f"the watch of {path} has been silent for {age:.0f} s" if age > most_seconds else None


def _metrics(view: View, clock: Clock, served: tuple[str, ...]) -> GateMetrics:
    metrics = GateMetrics()
    metrics.watch("agentid_gate_tasks", "Tasks that the decision point knows.", lambda: len(view))

    def age() -> float:
        moment = Moment(clock.wall(), boottime())
        ages = [view.age(each, moment) for each in served or ("",)]
        return max((each.total_seconds() if each else float("inf") for each in ages), default=0.0)

    metrics.watch("agentid_traces_lost_spans", "Spans since the start that nobody took.", lost_spans)
    metrics.watch("agentid_gate_view_age_seconds", "How old what is known of the tasks may be.", age)
    return metrics
