"""Lets what was begun finish when the process ends, and what is to be recorded and told be so."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol

import structlog

from agentid.controller.queue import WorkQueue

_log = structlog.get_logger("agentid.operator")

FLUSH_SECONDS: Final = 5.0
"""How long what is to be recorded and told is waited for, after the passes; within the pod's grace."""


class Told(Protocol):
    """Where something waits to be recorded or told."""

    async def drain(self) -> None:
        """Wait until nothing does."""


class Recorded(Told, Protocol):
    """Where something waits to be recorded."""

    @property
    def waiting(self) -> int:
        """How much does."""


async def drain(
    queue: WorkQueue, ledger: Recorded, events: Told, sinks: Told, *, pass_seconds: float
) -> None:
    """Wait for the passes for `pass_seconds`, and then for what they have to say, whatever became of them.

    What is recorded goes to the sinks as well: after the last operator of all, nobody else brings it there.
    A successor finds ends that were not recorded. What was refused, and which policies were accepted, it does
    not: that is recorded now or never.
    """
    _log.info("draining", waiting=queue.depth, active=queue.active)
    passed = await _in_time(queue.wait_idle(), pass_seconds)
    told = await _in_time(_all_told(ledger, events, sinks), FLUSH_SECONDS)
    if passed and told:
        _log.info("drained")
    else:
        _log.warning("not drained in time", waiting=queue.depth, active=queue.active, records=ledger.waiting)


async def _all_told(ledger: Recorded, events: Told, sinks: Told) -> None:
    await asyncio.gather(_brought(ledger, sinks), events.drain())


async def _brought(ledger: Recorded, sinks: Told) -> None:
    await ledger.drain()
    await sinks.drain()


async def _in_time(done: Awaitable[None], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await done
    except TimeoutError:
        return False
    return True
