"""Says by name where the operator's processor time goes, from the stacks that its sampler wrote."""

import asyncio
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.waiting import wait_until
from tests.bench.contenders import Agentid, running
from tests.bench.lives import Lives
from tests.bench.rounds import Burst, end_burst, issue_burst
from tests.bench.work import Work

COSTS: Final = (
    ("key and certificate", ("/agentid/pki/",)),
    ("logging", ("/structlog/", "/logging/__init__", "/agentid/process/logs")),
    ("metrics", ("/prometheus_client/", "/agentid/controller/metrics")),
    ("HTTP client of requests and watches", ("/aiohttp/", "/yarl/", "/multidict/", "/agentid/cluster/")),
    (
        "packing and reading tasks",
        ("/agentid/controller/packed_task", "/pydantic/", "/agentid/watched/facts"),
    ),
    ("rules of a task's life", ("/agentid/lifecycle/", "/agentid/api/")),
    ("kopf, from watch to handler", ("/kopf/",)),
    ("TLS, sockets, event loop", ("/asyncio/", "/ssl.py", "/uvloop/")),
    ("passes, queue, world", ("/agentid/controller/",)),
)
"""What a sample counts as: the innermost frame that belongs to one of these says it."""
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of one kind of work went.

    Attributes:
        burst: How the work went, sampled.
        costs: The share of each cost, the largest first.
        functions: The share of each function with all that it calls, the largest first.
    """

    burst: Burst
    costs: list[tuple[str, float]]
    functions: list[tuple[str, float]]


async def profile(agentid: Agentid, work: Work, lives: Lives, count: int, folder: Path) -> list[Profile]:
    """Return the profiles of issues and of ends; agentid, sampled, runs only meanwhile."""
    async with running(agentid):
        names = work.names(count)
        await _cut(agentid, folder / "0.json")
        issue = await issue_burst(agentid, work, lives, names)
        await _cut(agentid, folder / "1.json")
        end = await end_burst(agentid, work, lives, names)
        await _cut(agentid, folder / "2.json")
    await work.clear()
    return [_read(issue, folder / "1.json"), _read(end, folder / "2.json")]


async def _cut(agentid: Agentid, written: Path) -> None:
    """Have the sampler write what it has seen, and begin anew."""
    await asyncio.to_thread(_cut_and_wait, agentid, written)


def _cut_and_wait(agentid: Agentid, written: Path) -> None:
    written.unlink(missing_ok=True)
    os.kill(agentid.pid, signal.SIGUSR1)
    wait_until(f"{written} is written", lambda: _is_whole(written))


def _is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def _read(burst: Burst, path: Path) -> Profile:
    stacks: list[tuple[int, list[str]]] = json.loads(path.read_text())
    costs: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for count, stack in stacks:
        costs[cost_of(stack)] += count
        for function in {_short(frame) for frame in stack}:
            functions[function] += count
    total = max(1, costs.total())
    return Profile(burst, _shares(costs, total), _shares(functions, total)[:60])


def cost_of(stack: list[str]) -> str:
    """Return what a stack, innermost frame first, counts as."""
    for frame in stack:
        for name, places in COSTS:
            if any(place in frame for place in places):
                return name
    return _OTHER


def _shares(counts: Counter[str], total: int) -> list[tuple[str, float]]:
    return [(name, count / total) for name, count in counts.most_common()]


def _short(frame: str) -> str:
    path, _, function = frame.rpartition(":")
    return f"{'/'.join(Path(path).parts[-2:])}:{function}"
