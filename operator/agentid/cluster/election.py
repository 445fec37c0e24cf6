"""The election for a Lease, as the official client runs it."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection

from agentid.cluster.lease import LeaseLock, LeaseTimes

_log = structlog.get_logger("agentid.election")


async def stand_for_election(
    lock: LeaseLock,
    times: LeaseTimes,
    started: Callable[[], Coroutine[Any, Any, None]],
    stopped: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Try for the Lease until it is held, then renew it until it is lost; return when it is lost.

    `started` is called when it was taken, `stopped` when it was lost, whatever the reason.
    """
    config = Config(
        lock,
        lease_duration=times.duration_seconds,
        renew_deadline=times.renew_deadline_seconds,
        retry_period=times.retry_seconds,
        onstarted_leading=started,
        onstopped_leading=stopped,
    )
    try:
        await LeaderElection(config).run()
    except Exception:  # noqa: BLE001 - the client's own assertions; the caller begins again
        _log.exception("election failed")
        await stopped()
