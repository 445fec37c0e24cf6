"""Puts together what a pass over a task goes through: what it sees, decides on, writes and tells."""

import random

from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.controller.authority import Authority
from agentid.controller.core import Core
from agentid.controller.issuing import Issuing
from agentid.controller.job_tasks import JobTasks
from agentid.controller.judging import Judge
from agentid.controller.making import Maker
from agentid.controller.observing import Observer
from agentid.controller.quotas import Quotas
from agentid.controller.reconcile import Reconciler
from agentid.controller.second_opinion import SecondOpinion
from agentid.controller.secret_actions import SecretActions
from agentid.controller.static_secrets import StaticSecrets
from agentid.controller.telling import Teller
from agentid.controller.workloads import Workloads
from agentid.pki.spiffe_id import TrustDomain


def observer_of(  # noqa: PLR0913, PLR0917 - what an observation is made of
    core: Core,
    workloads: Workloads,
    static_secrets: StaticSecrets,
    judge: Judge,
    opinion: SecondOpinion | None,
    issuing: Issuing,
    quotas: Quotas,
) -> Observer:
    """Return what makes the observations that passes decide on."""
    return Observer(
        world=core.world,
        reads=core.reads,
        workloads=workloads,
        static_secrets=static_secrets,
        limits=core.settings.limits(),
        clock=core.clock.now,
        judge=judge,
        opinion=opinion,
        issuing=issuing,
        quotas=quotas,
        takeover=lambda: core.duty.takeover,
    )


def reconciler_of(  # noqa: PLR0913, PLR0917 - what it is made of
    core: Core,
    observer: Observer,
    static_secrets: StaticSecrets,
    authority: Authority,
    quotas: Quotas,
    workloads: Workloads,
    issuing: Issuing,
) -> Reconciler:
    """Return what passes over a task; every write asks the leader first (`Leader.require`)."""
    secrets = Secrets(core.connection, core.leader.require)
    tasks = Tasks(core.connection, core.leader.require)
    trust_domain = TrustDomain(core.settings.trust_domain)
    return Reconciler(
        world=core.world,
        observer=observer,
        tasks=tasks,
        secrets=SecretActions(
            secrets,
            trust_domain,
            core.metrics,
            clock=core.clock.now,
            randomness=random.random,
            static_secrets_in=static_secrets.names_in,
        ),
        maker=Maker(static_secrets, authority.current, core.metrics, crl_url=core.settings.crl_url),
        teller=Teller(core.events, core.metrics, core.clock.now),
        recorder=core.recorder,
        deadlines=core.deadlines,
        quotas=quotas,
        job_tasks=JobTasks(
            world=core.world,
            reads=core.reads,
            tasks=tasks,
            workloads=workloads,
            events=core.events,
            issuing=issuing,
            clock=core.clock.now,
        ),
        metrics=core.metrics,
        limits=core.settings.limits(),
        clock=core.clock.now,
    )
