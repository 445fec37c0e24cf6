"""One operator process on an API server in memory: its own ledger, recorder and passes, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import cast

from agentid.api.fields import MAX_COUNT
from agentid.cluster.connection import Body
from agentid.cluster.events import Events
from agentid.cluster.lease import Takeover
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.paths import AGENTS, PODS, TASKS
from agentid.cluster.reads import Reads
from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
from agentid.controller.errors import NotLeadingError
from agentid.controller.issuing import Issuing
from agentid.controller.job_tasks import JobTasks
from agentid.controller.judging import Judge
from agentid.controller.leader import Leader
from agentid.controller.ledger import Ledger
from agentid.controller.ledger_upkeep import LedgerUpkeep
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.making import Maker
from agentid.controller.metrics import Metrics
from agentid.controller.observing import Observer
from agentid.controller.packed_task import PackedTask
from agentid.controller.places import Places
from agentid.controller.queue import WorkQueue
from agentid.controller.quotas import Quotas
from agentid.controller.reconcile import Reconciler
from agentid.controller.recording import Recorder
from agentid.controller.records import Record as TaskRecord
from agentid.controller.secret_actions import SecretActions
from agentid.controller.static_secrets import Copies, StaticSecrets
from agentid.controller.telling import Teller
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.ledger.batch import Batch
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import Record
from agentid.ledger.retention import KeptBatch, Retention
from agentid.lifecycle.model import Blocked, Judgement, Observation, StaticSecretFacts
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.spiffe_id import TrustDomain
from agentid.watched.facts import Key
from tests.component.api_in_memory import OPERATORS_NAMESPACE, ApiServer, Way
from tests.unit.lifecycle_facts import LIMITS, NOW, judged

CONCURRENCY = 3
LEASE_SECONDS = 12.0
KEEP, KEY_LIFE, MOST_BYTES = timedelta(seconds=90), timedelta(seconds=200), 1_000_000
"""Brief enough for batches to go, and keys to be replaced, while a test looks."""
_DOMAIN = TrustDomain(LIMITS.trust_domain)
_numbers = itertools.count(1)


class _Lease:
    """Whether this operator may write. It is said by the test."""

    def __init__(self) -> None:
        self.held = False

    def require(self) -> float:
        if not self.held:
            raise NotLeadingError("the lease is not held")
        return LEASE_SECONDS

    def settle(self) -> None:
        """All is sure; nobody asks here."""


class _AsTold(Judge):
    """Policy that says what the test says."""

    def __init__(self, policy: Mapping[str, object]) -> None:
        self._policy = policy

    async def prepare(self, namespace: str) -> None:
        del namespace

    def judge(self, observation: Observation) -> Judgement | None:
        return judged(observation, **self._policy).judgement


class _NoStaticSecrets(StaticSecrets):
    """No task asks for any."""

    def __init__(self) -> None:
        """Nothing is watched."""

    async def facts(
        self, names: Iterable[str], *, started: bool
    ) -> tuple[tuple[StaticSecretFacts, ...], Blocked | None]:
        del names, started
        return (), None

    async def copies(self, secrets: Iterable[StaticSecretFacts]) -> Copies | None:  # noqa: ARG002 - there are none
        return Copies({}, ())

    def names_in(self, namespace: str) -> tuple[str, ...]:
        del namespace
        return ()


class OperatorInMemory:
    """One process. What it knows beside the API server is lost with it.

    Attributes:
        is_blind: Whether its watches bring nothing.
    """

    def __init__(
        self,
        server: ApiServer,
        policy: Mapping[str, object],
        seconds: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self.name = f"operator-{next(_numbers)}"
        self.is_blind = False
        self.way, self.lease = Way(server), _Lease()
        self._server, self._clock = server, clock
        metrics = Metrics()
        self.queue = WorkQueue(seconds, metrics.count_failed_pass, lambda: 0.0)

        def overwritten(record: TaskRecord, before: PackedTask) -> None:
            self.recorder.overwritten(record, before)

        self.world = World(self.queue.add, clock, overwritten)
        self.deadlines = Deadlines(clock, self.queue.add, self.queue.add_later)
        self.duty = Duty(
            self.world, self.queue, self.deadlines, metrics, wipe_grace=LIMITS.wipe_grace, clock=clock
        )
        store = LedgerStore(self.way, OPERATORS_NAMESPACE, self.lease.require)
        self.writer = LedgerWriter(
            store,
            writer=self.name,
            clock=clock,
            monotonic=seconds,
            randomness=lambda: 0.0,
            nonce=lambda: secrets.token_hex(16),
            on_written=self._written,
            worth_waiting_for=lambda: 0,
            metrics=metrics,
        )
        self.reads = Reads(self.way)
        keys = LedgerKeyStore(self.way, OPERATORS_NAMESPACE, lambda: LedgerKey.create().to_pem())
        self._retention = Retention(KEEP, MOST_BYTES)
        self._upkeep = LedgerUpkeep(
            store,
            keys,
            self.writer,
            self._retention,
            clock=clock,
            delivered=lambda: MAX_COUNT,
            key_life=KEY_LIFE,
        )
        self.ledger = Ledger(
            store,
            keys,
            self.writer,
            self._upkeep,
            self._retention,
            self.world,
            self.reads,
            (),
            trust_domain=LIMITS.trust_domain,
            clock=clock,
        )
        self.issuing = Issuing((self.ledger,), self.duty.look_at_all)
        self.recorder = Recorder(self.ledger, clock)
        self.reconciler = self._reconciler(metrics, policy)
        self._running: list[asyncio.Task[None]] = []

    def _reconciler(self, metrics: Metrics, policy: Mapping[str, object]) -> Reconciler:
        world, clock, reads = self.world, self._clock, self.reads
        static, tasks = _NoStaticSecrets(), Tasks(self.way, self.lease.require)
        quotas = Quotas(Places(world.census, self.queue.add), lambda _: {}, 100)
        workloads = Workloads(self.way, (), changed=lambda _: None, needed=set, clock=lambda: 0.0)
        events = Events(self.way, self.name, metrics.count_event)
        observer = Observer(
            world=world,
            reads=reads,
            workloads=workloads,
            static_secrets=static,
            limits=LIMITS,
            clock=clock,
            judge=_AsTold(policy),
            issuing=self.issuing,
            quotas=quotas,
            takeover=lambda: self.duty.takeover,
        )
        actions = SecretActions(
            Secrets(self.way, self.lease.require),
            _DOMAIN,
            metrics,
            clock=clock,
            randomness=lambda: 0.0,
            static_secrets_in=static.names_in,
        )
        return Reconciler(
            world=world,
            observer=observer,
            tasks=tasks,
            secrets=actions,
            maker=Maker(static, _authority, metrics),
            teller=Teller(events, metrics, clock),
            recorder=self.recorder,
            deadlines=self.deadlines,
            quotas=quotas,
            job_tasks=JobTasks(
                world=world,
                reads=reads,
                tasks=tasks,
                workloads=workloads,
                events=events,
                issuing=self.issuing,
                clock=clock,
            ),
            metrics=metrics,
            limits=LIMITS,
            clock=clock,
        )

    def _written(self, batch: Batch, uid: str) -> None:
        self._retention.add(KeptBatch.of(batch, uid, [Record.parse(each) for each in batch.records]))
        self._upkeep.written(batch)

    def start(self) -> None:
        """List all there is, and run; it leads once it is told to."""
        self._server.told.append(self._told)
        self.look_at_all()

        async def look_at(key: Key) -> None:
            await self.duty.look_at(cast("Leader", self.lease), self.reconciler, key)

        parts = (
            self.ledger.run(),
            self.issuing.run(),
            self.deadlines.run(),
            self.queue.run(look_at, CONCURRENCY),
        )
        self._running = [asyncio.create_task(each) for each in parts]

    def lead(self) -> None:
        """Take over, from somebody who was at work until now."""
        self.lease.held = True
        self.ledger.take_over()
        self.duty.take_over(Takeover(self._clock()))

    def step_down(self) -> None:
        """Let go of the lease."""
        self.lease.held = False
        self.ledger.step_down()
        self.duty.step_down()

    @property
    def has_failed(self) -> BaseException | None:
        """Why the process has ended itself; None where it runs."""
        for each in self._running:
            if each.done():
                return each.exception()
        return None

    @property
    def is_at_rest(self) -> bool:
        """Whether it has nothing to do now."""
        queue = self.queue
        failing = any(record.failed_write for _, record in self.world.records())
        return not (
            queue.depth
            or queue.active
            or queue.retrying
            or failing
            or self.writer.waiting
            or (self.duty.is_on and (self.writer.head is None or self.ledger.blocked))
        )

    async def kill(self) -> None:
        """End it, in the middle of whatever it does; what it has sent stays on its way."""
        self._server.told.remove(self._told)
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def look_at_all(self) -> None:
        """Take in all that there is, as the first list does, or that after a watch was lost."""
        found = {"pods": set[str](), "agenttasks": set[str]()}
        for path, body in list(self._server.objects.items()):
            self._told(path, None, body)
            if (kind := path.rsplit("/", 2)[-2]) in found:
                found[kind].add(body["metadata"]["uid"])
        for key, record in self.world.records():
            if record.task is not None and record.task.uid not in found["agenttasks"]:
                self.world.drop_task(key, record.task.uid)
            for uid in [each for each in record.pods if each not in found["pods"]]:
                self.world.drop_pod(uid)

    def _told(self, path: str, before: Body | None, now: Body | None) -> None:
        """Take in what a watch brings."""
        if self.is_blind:
            return
        kind, name = path.rsplit("/", 2)[-2:]
        gone = before["metadata"] if before is not None and now is None else None
        if kind == TASKS.plural and now is not None:
            self.world.take_task(now)
        elif kind == TASKS.plural and gone is not None:
            self.world.drop_task((gone["namespace"], name), gone["uid"])
        elif kind == PODS.plural and now is not None:
            self.world.take_pod(now)
        elif kind == PODS.plural and gone is not None:
            self.world.drop_pod(gone["uid"])
        elif kind == AGENTS.plural and now is not None:
            self.world.agents.take(now)


@cache
def _authority() -> CertificateAuthority:
    return CertificateAuthority.load(AuthorityMaterial.create(_DOMAIN, NOW), _DOMAIN, NOW)
