"""Puts the parts of an operator together."""

import random
import time
import uuid
from dataclasses import dataclass

from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.connection import Connection
from agentid.cluster.events import Events
from agentid.cluster.lease import LeaseLock, Takeover
from agentid.cluster.policies import PolicyWrites
from agentid.cluster.reads import Reads
from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.cluster.watch_activity import STALE_SECONDS
from agentid.controller.admission_proof import AdmissionProof
from agentid.controller.authority import Authority
from agentid.controller.clock_proof import ClockProof
from agentid.controller.clocks import Clock, boottime
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
from agentid.controller.freshness import Freshness
from agentid.controller.intake import Intake
from agentid.controller.issuing import Issuing
from agentid.controller.judging import Judge
from agentid.controller.leader import Leader
from agentid.controller.metrics import Metrics
from agentid.controller.namespaces import Namespaces, watched_namespaces
from agentid.controller.observing import Observer
from agentid.controller.opa import opa_of, second_opinion
from agentid.controller.policies import Policies
from agentid.controller.policy_intake import PolicyIntake
from agentid.controller.policy_statuses import PolicyStatuses
from agentid.controller.probes import Probes
from agentid.controller.queue import WorkQueue
from agentid.controller.reconcile import Reconciler
from agentid.controller.second_opinion import SecondOpinion
from agentid.controller.secret_actions import SecretActions
from agentid.controller.settings import Settings
from agentid.controller.sweep import Sweep
from agentid.controller.telling import Teller
from agentid.controller.watches import watched_paths
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.opa.client import OpaClient
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
    policy_intake: PolicyIntake
    leader: Leader
    duty: Duty
    reconciler: Reconciler
    events: Events
    authority: Authority
    proof: AdmissionProof
    clock_proof: ClockProof
    issuing: Issuing
    workloads: Workloads
    namespaces: Namespaces
    policy_statuses: PolicyStatuses
    sweep: Sweep
    probes: Probes
    opa: OpaClient | None


@dataclass(frozen=True, slots=True)
class _Core:
    """What most of the other parts are made of."""

    settings: Settings
    connection: Connection
    clock: Clock
    metrics: Metrics
    reads: Reads
    queue: WorkQueue
    deadlines: Deadlines
    world: World
    policies: Policies
    policy_statuses: PolicyStatuses
    events: Events
    duty: Duty
    leader: Leader


def build(
    settings: Settings,
    connection: Connection,
    *,
    clock: Clock | None = None,
    stale_seconds: float = STALE_SECONDS,
) -> Parts:
    """Return the parts of an operator with these settings, none of them running yet."""
    core = _core(settings, connection, clock or Clock())
    proof, clock_proof, workloads = _proof(core), _clock_proof(core), _workloads(core)
    authority = _authority(core, clock_proof)
    namespaces = _namespaces(core)
    judge = Judge(
        core.policies,
        namespaces,
        trust_domain=settings.trust_domain,
        cluster_labels=settings.cluster_labels,
    )
    opa = opa_of(settings, connection, core.metrics)
    opinion = second_opinion(opa, judge, settings, core.clock) if opa else None
    policy_intake = PolicyIntake(core.policies, core.reads)
    intake = Intake(core.world, policy_intake, core.reads)
    sweep = _sweep(core, intake)
    # Whoever cannot see that a namespace requires policies now issues nothing either.
    served = tuple(settings.watch_namespaces)
    paths = (*watched_paths(served), *watched_namespaces(served))

    freshness = Freshness(
        connection.activity,
        paths,
        clock=core.clock.now,
        is_behind=lambda: sweep.behind,
        stale_seconds=stale_seconds,
    )
    issuing = Issuing((proof, clock_proof, authority, freshness), core.duty.look_at_all)
    probes = Probes(
        activity=connection.activity, paths=paths, queue=core.queue, leader=core.leader, issuing=issuing
    )
    probes.add_gauges(
        core.metrics,
        core.deadlines,
        admission_in_force=lambda: proof.blocked is None,
        is_behind=lambda: sweep.behind,
        clock_skew_seconds=lambda: clock_proof.skew_seconds,
    )
    return Parts(
        paths=paths,
        metrics=core.metrics,
        queue=core.queue,
        deadlines=core.deadlines,
        world=core.world,
        intake=intake,
        policy_intake=policy_intake,
        leader=core.leader,
        duty=core.duty,
        reconciler=_reconciler(core, _observer(core, workloads, judge, opinion, issuing), authority),
        events=core.events,
        authority=authority,
        proof=proof,
        clock_proof=clock_proof,
        issuing=issuing,
        workloads=workloads,
        namespaces=namespaces,
        policy_statuses=core.policy_statuses,
        sweep=sweep,
        probes=probes,
        opa=opa,
    )


def _core(settings: Settings, connection: Connection, clock: Clock) -> _Core:
    metrics = Metrics()
    queue = WorkQueue(time.monotonic, metrics.count_failed_pass)
    world, deadlines = World(queue.add, clock.now), Deadlines(clock.now, queue.add, queue.add_later)
    wipe_grace = settings.limits().wipe_grace
    duty = Duty(world, queue, deadlines, metrics, wipe_grace=wipe_grace, clock=clock.now)
    events = Events(connection, settings.instance, metrics.count_event)
    policies = Policies(duty.look_at_layer, lambda policy: policy_statuses.note(policy))  # noqa: PLW0108 - made below

    def take_over(takeover: Takeover) -> bool:
        policy_statuses.note_all()
        return duty.take_over(takeover)

    leader = Leader(_lock(settings, connection, clock), settings.lease_times(), take_over, duty.step_down)
    policy_statuses = PolicyStatuses(
        policies,
        PolicyWrites(connection, leader.require),
        events,
        metrics,
        leads=lambda: duty.is_on,
        clock=clock.now,
    )
    return _Core(
        settings=settings,
        connection=connection,
        clock=clock,
        metrics=metrics,
        reads=Reads(connection),
        queue=queue,
        deadlines=deadlines,
        world=world,
        policies=policies,
        policy_statuses=policy_statuses,
        events=events,
        duty=duty,
        leader=leader,
    )


def _authority(core: _Core, clock_proof: ClockProof) -> Authority:
    settings = core.settings
    trust_domain = TrustDomain(settings.trust_domain)
    store = AuthorityStore(core.connection, settings.namespace, trust_domain, clock_proof.sure_now)
    return Authority(store, core.metrics)


def _proof(core: _Core) -> AdmissionProof:
    return AdmissionProof(
        core.connection,
        core.settings.admission(),
        interval_seconds=core.settings.admission_proof_seconds,
        clock=boottime,
    )


def _clock_proof(core: _Core) -> ClockProof:
    return ClockProof(
        core.connection,
        core.clock,
        interval_seconds=core.settings.admission_proof_seconds,
        on_set=core.duty.look_at_all,
    )


def _workloads(core: _Core) -> Workloads:
    return Workloads(
        core.connection,
        tuple(kind.as_resource() for kind in core.settings.workload_kinds),
        changed=core.world.workload_changed,
        needed=core.world.workloads,
        clock=time.monotonic,
    )


def _namespaces(core: _Core) -> Namespaces:
    served = tuple(core.settings.watch_namespaces)
    return Namespaces(core.connection, served, core.duty.look_at_layer, clock=time.monotonic)


def _observer(
    core: _Core, workloads: Workloads, judge: Judge, opinion: SecondOpinion | None, issuing: Issuing
) -> Observer:
    return Observer(
        world=core.world,
        reads=core.reads,
        workloads=workloads,
        limits=core.settings.limits(),
        clock=core.clock.now,
        judge=judge,
        opinion=opinion,
        issuing=issuing,
        takeover=lambda: core.duty.takeover,
    )


def _reconciler(core: _Core, observer: Observer, authority: Authority) -> Reconciler:
    # Every write asks the leader first; see `Leader.require`.
    secrets = Secrets(core.connection, core.leader.require)
    trust_domain = TrustDomain(core.settings.trust_domain)
    return Reconciler(
        world=core.world,
        observer=observer,
        tasks=Tasks(core.connection, core.leader.require),
        secrets=SecretActions(secrets, trust_domain, core.metrics, core.clock.now, random.random),
        teller=Teller(core.events, core.metrics, core.clock.now),
        deadlines=core.deadlines,
        metrics=core.metrics,
        limits=core.settings.limits(),
        authority=authority.current,
        clock=core.clock.now,
    )


def _sweep(core: _Core, intake: Intake) -> Sweep:
    return Sweep(
        connection=core.connection,
        reads=core.reads,
        world=core.world,
        policies=core.policies,
        intake=intake,
        namespaces=tuple(core.settings.watch_namespaces),
        on_finding=core.metrics.count_sweep_findings,
    )


def _lock(settings: Settings, connection: Connection, clock: Clock) -> LeaseLock:
    return LeaseLock(
        connection,
        name=settings.lease_name,
        namespace=settings.namespace,
        # Two processes never share an identity, not even a restarted one with its former self.
        identity=f"{settings.instance}_{uuid.uuid4().hex[:8]}",
        times=settings.lease_times(),
        clock=clock.now,
        boottime=boottime,
    )
