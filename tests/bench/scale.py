"""Many live tasks: memory, pace and restarts among them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from devcluster.progress import Step
from tests.bench.contenders import Agentid, Contender, resident_mebibytes, running
from tests.bench.lives import Lives, Name
from tests.bench.rounds import Sizes, end_burst, issue_burst
from tests.bench.work import Work

_AT_ONCE = 500
"""How many tasks are laid out before it is waited for them to be served."""


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
            await more_live(names, work, lives, step, live)
            live = size
            growth = resident_mebibytes(agentid.pid) - empty
            burst = work.names(sizes.growth_burst)
            issue = await issue_burst(agentid, work, lives, burst)
            end = await end_burst(agentid, work, lives, burst)
            stages.append(Stage(live, growth, issue.per_second, end.per_second))
    return stages


async def more_live(names: Sequence[Name], work: Work, lives: Lives, step: Step, live: int = 0) -> None:
    """Have agentid serve tasks that go on, beside `live` others."""
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        await work.at_once(work.create, some)
        await lives.until("agentid serves tasks", some, lambda life: life.served)
        step.still(f"{live + begin + len(some)} live tasks")


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
