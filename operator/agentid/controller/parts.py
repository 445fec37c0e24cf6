"""Puts the parts of an operator together."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agentid.api.agentsecret import AgentSecretSpec
from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.connection import Connection
from agentid.cluster.events import Events
from agentid.cluster.paths import AGENT_SECRETS
from agentid.cluster.reflector import Reflector, Scope
from agentid.cluster.sources import Sources
from agentid.cluster.statuses import StatusWrites
from agentid.cluster.watch_activity import STALE_SECONDS
from agentid.controller.admission_proof import AdmissionProof
from agentid.controller.agent_statuses import AgentStatuses
from agentid.controller.authority import Authority
from agentid.controller.clock_proof import ClockProof
from agentid.controller.core import Core, core_of
from agentid.controller.deadlines import Deadlines
from agentid.controller.decisions import Decisions, decisions_of
from agentid.controller.duty import Duty
from agentid.controller.following import follow
from agentid.controller.freshness import Freshness
from agentid.controller.heart import Heart, heart_of
from agentid.controller.intake import Intake
from agentid.controller.issuing import Issuing
from agentid.controller.judging import Judge
from agentid.controller.leader import Leader
from agentid.controller.ledger import Ledger
from agentid.controller.metrics import Metrics
from agentid.controller.opa import opa_of, second_opinion
from agentid.controller.passes import observer_of, reconciler_of
from agentid.controller.policy_statuses import PolicyStatuses
from agentid.controller.probes import Probes
from agentid.controller.queue import WorkQueue
from agentid.controller.quotas import Quotas
from agentid.controller.reconcile import Reconciler
from agentid.controller.record_sinks import RecordSinks
from agentid.controller.revocations import Revocations
from agentid.controller.settings import Settings
from agentid.controller.static_secrets import StaticSecrets, declared_spec
from agentid.controller.sweep import Sweep
from agentid.controller.watches import watched_paths
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.opa.client import OpaClient
from agentid.pki.spiffe_id import TrustDomain
from agentid.process.clocks import Clock, boottime
from agentid.watched.namespaces import Namespaces, watched_namespaces
from agentid.watched.policy_intake import PolicyIntake


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
    ledger: Ledger
    revocations: Revocations
    sinks: RecordSinks
    decisions: Decisions
    reconciler: Reconciler
    events: Events
    authority: Authority
    proof: AdmissionProof
    clock_proof: ClockProof
    issuing: Issuing
    workloads: Workloads
    namespaces: Namespaces
    static_secrets: StaticSecrets
    policy_statuses: PolicyStatuses
    agent_statuses: AgentStatuses
    sweep: Sweep
    heart: Heart
    probes: Probes
    opa: OpaClient | None


def build(
    settings: Settings,
    connection: Connection,
    *,
    clock: Clock | None = None,
    stale_seconds: float = STALE_SECONDS,
) -> Parts:
    """Return the parts of an operator with these settings, none of them running yet."""
    core = core_of(settings, connection, clock or Clock())
    proof, clock_proof, workloads = _proof(core), _clock_proof(core), _workloads(core)
    authority = _authority(core, clock_proof)
    namespaces, static_secrets = _namespaces(core), _static_secrets(core)
    judge = Judge(
        core.policies,
        namespaces,
        trust_domain=settings.trust_domain,
        cluster_labels=settings.cluster_labels,
    )
    opa = opa_of(settings, connection, core.metrics)
    opinion = second_opinion(opa, judge, settings, core.clock) if opa else None
    quotas = Quotas(core.places, namespaces.labels, settings.max_active_tasks)
    policy_intake = PolicyIntake(core.policies, core.reads)
    intake = Intake(core.world, policy_intake, core.reads)
    sweep = _sweep(core, intake)
    # Whoever cannot see that a namespace requires policies now issues nothing either.
    served = tuple(settings.watch_namespaces)
    paths = (*watched_paths(served), *watched_namespaces(served), _agent_secrets(core).path)

    freshness = Freshness(
        connection.activity,
        paths,
        clock=core.clock.now,
        is_behind=lambda: sweep.behind,
        stale_seconds=stale_seconds,
    )
    revocations, sinks = follow(core, authority.current)
    hindrances = (proof, clock_proof, authority, freshness, core.ledger, sinks)
    issuing = Issuing(hindrances, core.duty.look_at_all)
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
        ledger=core.ledger,
        revocations=revocations,
        sinks=sinks,
        decisions=decisions_of(core),
        reconciler=reconciler_of(
            core,
            observer_of(core, workloads, static_secrets, judge, opinion, issuing, quotas),
            static_secrets,
            authority,
            quotas,
            workloads,
            issuing,
        ),
        events=core.events,
        authority=authority,
        proof=proof,
        clock_proof=clock_proof,
        issuing=issuing,
        workloads=workloads,
        namespaces=namespaces,
        static_secrets=static_secrets,
        policy_statuses=core.policy_statuses,
        agent_statuses=_agent_statuses(core),
        sweep=sweep,
        heart=heart_of(core),
        probes=probes,
        opa=opa,
    )


def _authority(core: Core, clock_proof: ClockProof) -> Authority:
    settings = core.settings
    trust_domain = TrustDomain(settings.trust_domain)
    store = AuthorityStore(core.connection, settings.namespace, trust_domain, clock_proof.sure_now)
    return Authority(store, core.metrics)


def _proof(core: Core) -> AdmissionProof:
    return AdmissionProof(
        core.connection,
        core.settings.admission(),
        interval_seconds=core.settings.admission_proof_seconds,
        clock=boottime,
    )


def _clock_proof(core: Core) -> ClockProof:
    return ClockProof(
        core.connection,
        core.clock,
        interval_seconds=core.settings.admission_proof_seconds,
        on_set=core.duty.look_at_all,
    )


def _workloads(core: Core) -> Workloads:
    return Workloads(
        core.connection,
        tuple(kind.as_resource() for kind in core.settings.workload_kinds),
        changed=core.world.workload_changed,
        needed=core.world.workloads,
        clock=time.monotonic,
    )


def _namespaces(core: Core) -> Namespaces:
    served = tuple(core.settings.watch_namespaces)
    return Namespaces(core.connection, served, core.duty.look_at_layer, clock=time.monotonic)


def _agent_secrets(core: Core) -> Scope:
    return Scope(AGENT_SECRETS, core.settings.namespace)


def _static_secrets(core: Core) -> StaticSecrets:
    def declared(changed: Callable[[str], None]) -> Reflector[AgentSecretSpec | None]:
        scope = _agent_secrets(core)
        return Reflector(core.connection, scope, declared_spec, changed=changed, clock=time.monotonic)

    return StaticSecrets(
        Sources(core.connection, core.settings.namespace),
        core.metrics,
        declared=declared,
        used=core.world.static_secrets,
        changed=core.world.static_secret_changed,
        leads=lambda: core.duty.is_on,
        interval_seconds=core.settings.static_secret_seconds,
        clock=boottime,
    )


def _agent_statuses(core: Core) -> AgentStatuses:
    writes = StatusWrites(core.connection, core.leader.require)
    return AgentStatuses(core.world, writes, leads=lambda: core.duty.is_on)


def _sweep(core: Core, intake: Intake) -> Sweep:
    return Sweep(
        connection=core.connection,
        reads=core.reads,
        world=core.world,
        policies=core.policies,
        intake=intake,
        namespaces=tuple(core.settings.watch_namespaces),
        on_finding=core.metrics.count_sweep_findings,
    )
