"""Operators with short leases, for tests that kill one: the next is at work after seconds."""

from collections.abc import Mapping
from datetime import timedelta

from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until

BRIEFLY: Mapping[str, str] = {
    "AGENTID_LEASE_DURATION_SECONDS": "3",
    "AGENTID_LEASE_RENEW_DEADLINE_SECONDS": "2",
    "AGENTID_LEASE_RETRY_SECONDS": "1",
}


def leads(operator: OperatorProcess) -> bool:
    """Does it say that it holds the lease?"""
    return operator.metric("agentid_leader") == 1


def begin(operator: OperatorProcess, environment: Mapping[str, str] | None = None) -> None:
    """Start an operator with a short lease and wait until it is at work; a killed one's has run out then."""
    operator.start({**BRIEFLY, **(environment or {})})
    wait_until("the operator leads", lambda: leads(operator), within=timedelta(seconds=60))


def begin_anew(operator: OperatorProcess, environment: Mapping[str, str] | None = None) -> None:
    """End an operator, if it runs, and begin as above."""
    if operator.alive():
        operator.terminate()
    begin(operator, environment)
