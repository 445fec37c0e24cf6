"""Whether an operator leads, and whether its clock, this machine's and the API server's agree."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from agentid.api.names import OPERATOR_LEASE
from agentid.cluster.connection import Body
from agentid.cluster.paths import LEASES
from agentid.controller.clock_proof import MOST_SKEW_SECONDS, ahead_of
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look

LEASE: Final = "lease"
CLOCK: Final = "clocks"
_LOOK_AGAIN_SECONDS: Final = 0.5
_SYNC: Final = "Mend the time synchronisation (chrony, systemd-timesyncd) of the machine that is wrong."


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A Lease, looked at until it was renewed or its duration had passed.

    Attributes:
        holder: Who holds it; empty where nobody does.
        duration_seconds: For how long it holds.
        renewed: When its holder last renewed it, by the holder's clock.
        moved: Whether it was renewed while it was looked at.
        server: The API server's time when it was last looked at, in whole seconds.
    """

    holder: str
    duration_seconds: int
    renewed: datetime | None
    moved: bool
    server: datetime


async def look_at_lease(look: Look, namespace: str, elapsed: Callable[[], float]) -> list[Finding]:
    """Look at the Lease for as long as it takes to see it renewed, or not, and judge it."""
    first = await look.find(LEASES, namespace, OPERATOR_LEASE)
    if first is None:
        return judge_lease(None, namespace)
    began, last = elapsed(), first
    duration = _duration(first)
    while last == first and _holder(first) and elapsed() - began <= duration:
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        last = await look.find(LEASES, namespace, OPERATOR_LEASE) or first
    server = await look.connection.server_date()
    seen = LeaseSeen(
        _holder(last), duration, _time((last.get("spec") or {}).get("renewTime")), last != first, server
    )
    return judge_lease(seen, namespace)


def judge_lease(seen: LeaseSeen | None, namespace: str) -> list[Finding]:
    """Say who leads, and whether its clock is the API server's."""
    title = f"Lease {namespace}/{OPERATOR_LEASE}"
    start = f"Look at the operator's pods and their log: kubectl get pods -n {namespace}."
    if seen is None:
        return [problem(LEASE, f"{title} is not there: no operator has ever led.", start)]
    if not seen.holder:
        return [problem(LEASE, f"{title} is held by nobody: no operator is at work.", start)]
    if not seen.moved:
        when = "never" if seen.renewed is None else f"at {seen.renewed:%Y-%m-%dT%H:%M:%SZ} by its clock"
        said = (
            f"{title} was not renewed in {seen.duration_seconds} s: its holder {seen.holder} renewed "
            f"it last {when}, "
            "so no operator is at work."
        )
        return [problem(LEASE, said, start)]
    held = well(LEASE, f"{title} is held by {seen.holder} and was renewed while you waited.")
    return [held, *_judge_holders_clock(seen)]


def _judge_holders_clock(seen: LeaseSeen) -> list[Finding]:
    ahead = 0.0 if seen.renewed is None else (seen.renewed - seen.server).total_seconds()
    if abs(ahead) <= MOST_SKEW_SECONDS:
        return [well(CLOCK, "The leading operator's clock agrees with the API server's.")]
    said = (
        f"The clock of the leading operator {seen.holder} is {abs(ahead):.0f} s {_direction(ahead)} "
        "the API server's."
    )
    return [problem(CLOCK, said, f"{_SYNC} The operator issues nothing while it sees the difference.")]


async def look_at_clock(look: Look, now: Callable[[], datetime]) -> list[Finding]:
    """Compare this machine's clock with the API server's."""
    asked = now()
    server = await look.connection.server_date()
    return judge_clock(ahead_of(server, asked, now()))


def judge_clock(ahead_seconds: float) -> list[Finding]:
    """Say whether this machine's clock is right, which the operator's does not depend on."""
    if abs(ahead_seconds) <= MOST_SKEW_SECONDS:
        return [well(CLOCK, "This machine's clock agrees with the API server's.")]
    said = f"This machine's clock is {abs(ahead_seconds):.0f} s {_direction(ahead_seconds)} the API server's."
    return [warning(CLOCK, said, f"{_SYNC} Times below are judged by the API server's.")]


def _direction(ahead_seconds: float) -> str:
    return "ahead of" if ahead_seconds > 0 else "behind"


def _holder(lease: Body) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _duration(lease: Body) -> int:
    return int((lease.get("spec") or {}).get("leaseDurationSeconds") or 15)


def _time(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
