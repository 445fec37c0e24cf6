"""What the many tasks of one tenant cost the others: the delays of others' first tasks."""

from dataclasses import dataclass
from statistics import median
from typing import Final

from devcluster.progress import Step
from tests.bench.contenders import Agentid, at_rest, running
from tests.bench.lives import Lives
from tests.bench.rounds import Sizes
from tests.bench.scale import more_live
from tests.bench.work import AGENT, NAMESPACE, Work

_BETWEEN_SECONDS: Final = 0.5
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The median of the delays of tenants' first tasks, in milliseconds, among many live tasks of another.

    Attributes:
        of: How many first tasks each median is of.
        beside_start: While agentid looks at all live tasks, as it does once after each start.
        alone: Without anything else going on.
        beside_revoked: While a policy that was just made takes the credentials of all live tasks away.
        beside_waiting: While another tenant's tasks, a crowd, wait for their Agent.
        beside_served: While those have got it, and all of them are being served.
        revoked: How many live tasks the policy was about.
        unrevoked: How many of them still had their credential when the last first task was served.
        crowd: How many tasks the crowd is.
        unserved: How many of them were not served yet when the last first task was served.
    """

    of: int
    beside_start: float
    alone: float
    beside_revoked: float
    beside_waiting: float
    beside_served: float
    revoked: int
    unrevoked: int
    crowd: int
    unserved: int


async def neighbours(agentid: Agentid, work: Work, lives: Lives, sizes: Sizes, step: Step) -> Neighbours:
    """Measure it; agentid runs only meanwhile."""
    count = sizes.neighbours
    async with running(agentid):
        await more_live(work.names(sizes.live[-1] - len(lives.holding(NAMESPACE))), work, lives, step)
    async with running(agentid):
        # After a start all live tasks are looked at, which is over when nothing waits for that any more.
        start = await _first_tasks(work, lives, "start", count)
        step.still("all there is is looked at")
        await at_rest(agentid)
        alone = await _first_tasks(work, lives, "alone", count)

        live = lives.holding(NAMESPACE)
        await work.policy("halt", f'forbid (principal == Agent::"{NAMESPACE}/{AGENT}", action, resource);')
        revoked = await _first_tasks(work, lives, "revoked", count)
        unrevoked = len(lives.holding(NAMESPACE))
        await lives.until("what policy forbids is taken away", live, lambda life: life.secret_gone)

        await work.namespace("crowd", agent=False)
        crowd = work.names(sizes.crowd, "crowd")
        for begin in range(0, len(crowd), _AT_ONCE):
            some = crowd[begin : begin + _AT_ONCE]
            await work.at_once(work.create, some)
            await lives.until("tasks wait for their Agent", some, lambda life: life.waiting)
        await at_rest(agentid)
        waiting = await _first_tasks(work, lives, "waiting", count)
        await work.agent("crowd")
        served = await _first_tasks(work, lives, "served", count)
        unserved = sum(1 for name in crowd if not lives[name].secret)
    return Neighbours(
        of=count,
        beside_start=median(start),
        alone=median(alone),
        beside_revoked=median(revoked),
        beside_waiting=median(waiting),
        beside_served=median(served),
        revoked=len(live),
        unrevoked=unrevoked,
        crowd=len(crowd),
        unserved=unserved,
    )


async def _first_tasks(work: Work, lives: Lives, word: str, count: int) -> list[float]:
    tenants = [f"tenant-{word}-{number}" for number in range(count)]
    names = [name for tenant in tenants for name in work.names(1, tenant)]
    for tenant in tenants:
        await work.namespace(tenant)
    await work.at_a_pace(work.create, names, 1 / _BETWEEN_SECONDS)
    served = await lives.until("tenants' first tasks are served", names, lambda life: life.secret)
    return [1000 * (life.secret - life.asked) for life in served]
