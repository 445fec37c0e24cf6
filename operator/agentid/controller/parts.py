"""Puts the parts of an operator together."""

import random
import time
import uuid
from dataclasses import dataclass

from agentid.api.admission import AdmissionSettings
from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.connection import Connection
from agentid.cluster.events import Events
from agentid.cluster.lease import LeaseLock
from agentid.cluster.reads import Reads
from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.controller.admission_proof import AdmissionProof
from agentid.controller.authority import Authority
from agentid.controller.clocks import boottime, utc_now
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
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
from agentid.controller.watches import watched_paths
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.lifecycle.model import Blocked
from agentid.pki.spiffe_id import TrustDomain


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs in one operator process."""

    paths: tuple[str, ...]
    metrics: Metrics
    queue: WorkQueue
    deadlines: Deadlines
    world: World
    intake: Intake
    leader: Leader
    duty: Duty
    reconciler: Reconciler
    events: Events
    authority: Authority
    proof: AdmissionProof
    workloads: Workloads
    sweep: Sweep
    probes: Probes


def build(settings: Settings, connection: Connection) -> Parts:
    """Return the parts of an operator with these settings, none of them running yet."""
    trust_domain, namespaces = TrustDomain(settings.trust_domain), tuple(settings.watch_namespaces)
    metrics, reads = Metrics(), Reads(connection)
    queue = WorkQueue(time.monotonic, metrics.count_failed_pass)
    world = World(queue.add, utc_now)
    deadlines = Deadlines(utc_now, queue.add)
    intake = Intake(world, reads)
    duty = Duty(world, queue, deadlines, metrics)
    leader = Leader(_lock(settings, connection), settings.lease_times(), duty.take_over, duty.step_down)
    events = Events(connection, settings.instance, metrics.count_event)
    authority = Authority(
        AuthorityStore(connection, settings.namespace, trust_domain, utc_now), metrics, duty.look_at_all
    )
    proof = AdmissionProof(
        connection,
        _admission(settings),
        interval_seconds=settings.admission_proof_seconds,
        on_change=duty.look_at_all,
        clock=boottime,
    )
    workloads = Workloads(
        connection,
        tuple(kind.as_resource() for kind in settings.workload_kinds),
        changed=world.workload_changed,
        needed=world.workloads,
        clock=time.monotonic,
    )

    def blocked() -> Blocked | None:
        return proof.blocked or authority.blocked

    reconciler = Reconciler(
        world=world,
        observer=Observer(
            world=world,
            reads=reads,
            workloads=workloads,
            limits=settings.limits(),
            clock=utc_now,
            blocked=blocked,
            takeover=lambda: duty.takeover,
        ),
        tasks=Tasks(connection, leader.require),
        secrets=SecretActions(
            Secrets(connection, leader.require), trust_domain, metrics, utc_now, random.random
        ),
        teller=Teller(events, metrics, utc_now),
        deadlines=deadlines,
        metrics=metrics,
        limits=settings.limits(),
        authority=authority.current,
        clock=utc_now,
    )
    paths = watched_paths(namespaces)
    probes = Probes(activity=connection.activity, paths=paths, queue=queue, leader=leader, blocked=blocked)
    probes.add_gauges(metrics, deadlines, lambda: proof.blocked is None)
    return Parts(
        paths=paths,
        metrics=metrics,
        queue=queue,
        deadlines=deadlines,
        world=world,
        intake=intake,
        leader=leader,
        duty=duty,
        reconciler=reconciler,
        events=events,
        authority=authority,
        proof=proof,
        workloads=workloads,
        sweep=Sweep(
            connection=connection,
            reads=reads,
            world=world,
            intake=intake,
            namespaces=namespaces,
            on_finding=metrics.count_sweep_finding,
        ),
        probes=probes,
    )


def _lock(settings: Settings, connection: Connection) -> LeaseLock:
    return LeaseLock(
        connection,
        name=settings.lease_name,
        namespace=settings.namespace,
        # Two processes never share an identity, not even a restarted one with its former self.
        identity=f"{settings.instance}_{uuid.uuid4().hex[:8]}",
        times=settings.lease_times(),
        clock=utc_now,
        boottime=boottime,
    )


def _admission(settings: Settings) -> AdmissionSettings:
    return AdmissionSettings(
        operator_namespace=settings.namespace,
        operator_service_account=settings.service_account,
        mutating=settings.mutating_admission,
        max_ttl_seconds=settings.max_ttl_seconds,
        max_active_deadline_seconds=settings.max_active_deadline_seconds,
        max_start_deadline_seconds=settings.max_start_deadline_seconds,
    )
