"""What the ledger costs: lives of tasks with it, against an operator that records nothing of them."""

import asyncio
from dataclasses import dataclass

from devcluster.errors import DevclusterError
from devcluster.progress import Step
from tests.bench.contenders import Agentid, running
from tests.bench.lives import Lives
from tests.bench.rounds import CREATES_PER_SECOND, Burst, Sizes, create_delays, end_burst, issue_burst
from tests.bench.work import Work


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one operator gave in one round.

    Attributes:
        issue: The burst of issues.
        end: The burst of ends.
        create_ms: From the request that creates a task to its Secret, at 10/s.
    """

    issue: Burst
    end: Burst
    create_ms: list[float]


LedgerRound = tuple[Recorded, Recorded]
"""With the ledger, and without."""


async def against_none(
    both: tuple[Agentid, Agentid], work: Work, lives: Lives, sizes: Sizes, step: Step
) -> list[LedgerRound]:
    """Measure one that records and one that does not, in turn; nothing is left of their tasks."""
    recording, silent = both
    found = []
    for number in range(sizes.rounds):
        seen: dict[Agentid, Recorded] = {}
        for each in both if number % 2 == 0 else both[::-1]:
            step.still(f"round {number + 1} of {sizes.rounds}: {'with' if each is recording else 'without'}")
            async with running(each):
                seen[each] = await _lives(each, work, lives, sizes)
            await work.clear()
        found.append((seen[recording], seen[silent]))
    return found


async def _lives(agentid: Agentid, work: Work, lives: Lives, sizes: Sizes) -> Recorded:
    paced, burst = work.names(sizes.paced), work.names(sizes.burst)
    await work.at_a_pace(work.create, paced, CREATES_PER_SECOND)
    served = await lives.until(f"{agentid.name} serves tasks", paced, lambda life: life.served)
    issue = await issue_burst(agentid, work, lives, burst)
    end = await end_burst(agentid, work, lives, [*paced, *burst])
    recorded = await asyncio.to_thread(agentid.issues_recorded)
    if recorded != agentid.records * len([*paced, *burst]):
        raise DevclusterError(f"the ledger has {recorded} issues of an operator that {agentid.records=}")
    return Recorded(issue, end, create_delays(served))
