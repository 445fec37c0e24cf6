"""Makes the OPA of the settings, where there is one, and who asks it."""

import os
import random
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from agentid.cluster.connection import Connection
from agentid.controller.clocks import Clock
from agentid.controller.judging import Judge
from agentid.controller.metrics import Metrics
from agentid.controller.second_opinion import SecondOpinion
from agentid.controller.settings import Settings
from agentid.opa.client import ApiServers, OpaClient

_log = structlog.get_logger("agentid.opa")

_SERVICE: Final = "kubernetes.default.svc"


def opa_of(settings: Settings, connection: Connection, metrics: Metrics) -> OpaClient | None:
    """Return the OPA that is asked beside Cedar; None: none is."""
    endpoint = settings.opa()
    if endpoint is None:
        return None
    if not endpoint.is_encrypted:
        _log.warning("opa is asked without TLS", url=endpoint.url)
    return OpaClient(endpoint, _api_servers(connection.server), metrics.count_opa)


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


def _api_servers(server: str) -> ApiServers:
    """Return the hosts under which the API server is known: as it is reached, and as its Service."""
    service = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    return ApiServers(urlsplit(server).hostname or "", tuple(filter(None, (service, _SERVICE))))
