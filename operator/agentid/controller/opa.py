"""Makes the OPA of the settings, where there is one, and who asks it."""

import random
from datetime import timedelta

import structlog

from agentid.cluster.connection import Connection
from agentid.controller.judging import Judge
from agentid.controller.metrics import Metrics
from agentid.controller.second_opinion import SecondOpinion
from agentid.controller.settings import Settings
from agentid.opa.client import OpaClient
from agentid.outbound.api_servers import ApiServers
from agentid.process.clocks import Clock

_log = structlog.get_logger("agentid.opa")


def opa_of(settings: Settings, connection: Connection, metrics: Metrics) -> OpaClient | None:
    """Return the OPA that is asked beside Cedar; None: none is."""
    endpoint = settings.opa()
    if endpoint is None:
        return None
    if not endpoint.is_encrypted:
        _log.warning("opa is asked without TLS", url=endpoint.url)
    return OpaClient(endpoint, ApiServers.of(connection.server), metrics.count_opa)


def second_opinion(opa: OpaClient, judge: Judge, settings: Settings, clock: Clock) -> SecondOpinion:
    """Return who asks `opa` about what policy allows."""
    return SecondOpinion(
        opa,
        judge.requests,
        rule=opa.endpoint.rule,
        grace=timedelta(seconds=settings.opa_grace_seconds),
        clock=clock.now,
        randomness=random.random,
    )
