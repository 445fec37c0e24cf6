"""Many live tasks: memory, pace and restarts among them; and neighbours of a tenant with many more."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from devcluster.progress import Step
from tests.bench.contenders import Agentid, Contender, resident_mebibytes, running
from tests.bench.lives import Lives
from tests.bench.rounds import Sizes, end_burst, issue_burst
from tests.bench.work import AGENT, NAMESPACE, Work

_BETWEEN_NEIGHBOURS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    """How agentid stands with so many live tasks."""

    live: int
    growth_mebibytes: float
    issue_per_second: float
    end_per_second: float


async def grow(agentid: Agentid, work: Work, lives: Lives, sizes: Sizes, step: Step) -> list[Stage]:
    """Start agentid without live tasks, let their number grow, and look at each size; it is stopped then."""
    stages: list[Stage] = []
    async with running(agentid):
        # What the first tasks of all leave, buffers and caches, is there however many follow.
        first = work.names(sizes.growth_burst)
        await issue_burst(agentid, work, lives, first)
        await end_burst(agentid, work, lives, first)
        empty, live = resident_mebibytes(agentid.pid), 0
        for size in sizes.live:
            names = work.names(size - live)
            for begin in range(0, len(names), 500):
                some = names[begin : begin + 500]
                await work.at_once(work.create, some)
                await lives.until("agentid serves tasks", some, lambda life: life.served)
                step.still(f"{live + begin + len(some)} live tasks")
            live = size
            growth = resident_mebibytes(agentid.pid) - empty
            burst = work.names(sizes.growth_burst)
            issue = await issue_burst(agentid, work, lives, burst)
            end = await end_burst(agentid, work, lives, burst)
            stages.append(Stage(live, growth, issue.per_second, end.per_second))
    return stages


async def restarts(
    contenders: Sequence[Contender], work: Work, lives: Lives, count: int
) -> list[dict[str, float]]:
    """Start each contender in turn and time it from its start until a new task is served."""
    found: list[dict[str, float]] = []
    for number in range(count):
        seconds: dict[str, float] = {}
        for contender in contenders if number % 2 else [*reversed(contenders)]:
            # The last name of the list, so that nobody meets it before all the others.
            names = work.names(1, word="zz-new")
            await work.create(names[0])
            began = time.monotonic()
            async with running(contender, wait=False):
                (life,) = await lives.until(
                    f"{contender.name} serves a new task", names, lambda life: life.served, within=120
                )
            seconds[contender.name] = life.secret - began
        found.append(seconds)
    return found


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The median of the delays of tenants' first tasks, in milliseconds.

    Attributes:
        alone: Without anything else going on.
        beside_revoked: While a policy that was just made takes the credentials of all live tasks away.
        beside_waiting: While another tenant's tasks, a crowd, wait for their Agent.
        beside_served: While those have got it, and all of them are being served.
        revoked: How many live tasks the policy was about.
        unrevoked: How many of them still had their credential when the last first task was served.
        unserved: How many of the crowd were not served yet then.
    """

    alone: float
    beside_revoked: float
    beside_waiting: float
    beside_served: float
    revoked: int
    unrevoked: int
    unserved: int


async def neighbours(agentid: Agentid, work: Work, lives: Lives, sizes: Sizes) -> Neighbours:
    """Measure what the many tasks of one tenant cost the others; agentid runs only meanwhile."""
    async with running(agentid):
        # After a start all live tasks are looked at; these wait for that.
        await _first_tasks(work, lives, "early", sizes.neighbours)
        alone = await _first_tasks(work, lives, "alone", sizes.neighbours)

        live = lives.holding(NAMESPACE)
        await work.policy("halt", f'forbid (principal == Agent::"{NAMESPACE}/{AGENT}", action, resource);')
        revoked = await _first_tasks(work, lives, "revoked", sizes.neighbours)
        unrevoked = len(lives.holding(NAMESPACE))
        await lives.until("what policy forbids is taken away", live, lambda life: life.secret_gone)

        await work.namespace("crowd", agent=False)
        crowd = work.names(sizes.crowd, "crowd")
        for begin in range(0, len(crowd), 500):
            some = crowd[begin : begin + 500]
            await work.at_once(work.create, some)
            await lives.until("tasks wait for their Agent", some, lambda life: life.waiting)
        waiting = await _first_tasks(work, lives, "waiting", sizes.neighbours)
        await work.agent("crowd")
        served = await _first_tasks(work, lives, "served", sizes.neighbours)
        unserved = sum(1 for name in crowd if not lives[name].secret)
    return Neighbours(
        *(median(each) for each in (alone, revoked, waiting, served)), len(live), unrevoked, unserved
    )


async def _first_tasks(work: Work, lives: Lives, word: str, count: int) -> list[float]:
    tenants = [f"tenant-{word}-{number}" for number in range(count)]
    names = [name for tenant in tenants for name in work.names(1, tenant)]
    for tenant in tenants:
        await work.namespace(tenant)
    await work.at_a_pace(work.create, names, 1 / _BETWEEN_NEIGHBOURS_SECONDS)
    served = await lives.until("tenants' first tasks are served", names, lambda life: life.secret)
    return [1000 * (life.secret - life.asked) for life in served]
