"""One round of one contender: creates at 10/s, a burst of issues, ends at 30/s, a burst of ends."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from agentid.cluster.paths import LEDGER_BATCHES
from devcluster.audit import is_write
from tests.bench.contenders import Contender, cpu_seconds, frozen
from tests.bench.lives import Life, Lives, Name
from tests.bench.work import NAMESPACE, Work

CREATES_PER_SECOND: Final = 10
ENDS_PER_SECOND: Final = 30
_OF_A_LIFE: Final = frozenset({"agenttasks", "secrets", "events"})
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int
    paced: int
    ends_paced: int
    burst: int
    live: tuple[int, ...]
    growth_burst: int
    restarts: int
    owned: int
    crowd: int
    neighbours: int
    gate_tasks: tuple[int, ...]
    gate_asked: int
    gate_seconds: float
    gate_refusals: int


FULL: Final = Sizes(
    rounds=3,
    paced=120,
    ends_paced=300,
    burst=1000,
    live=(1000, 4000, 10_000),
    growth_burst=300,
    restarts=3,
    owned=250,
    crowd=5000,
    neighbours=25,
    gate_tasks=(10_000, 50_000),
    gate_asked=20_000,
    gate_seconds=20,
    gate_refusals=50,
)
QUICK: Final = Sizes(
    rounds=1,
    paced=40,
    ends_paced=90,
    burst=200,
    live=(200, 500, 1000),
    growth_burst=100,
    restarts=1,
    owned=100,
    crowd=500,
    neighbours=5,
    gate_tasks=(200, 500),
    gate_asked=2000,
    gate_seconds=3,
    gate_refusals=3,
)


@dataclass(frozen=True, slots=True)
class Burst:
    """Many tasks that a contender finds all at once.

    Attributes:
        per_second: How fast it was done with all of them.
        cpu_ms: Its processor time for each.
    """

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one contender gave.

    Attributes:
        issue: The burst of issues.
        end: The burst of ends.
        create_ms: From the request that creates a task to its Secret, at 10/s.
        issue_ms: The same from when the watch showed the task.
        end_ms: From the request that ends a task to its Secret gone, at 30/s.
    """

    issue: Burst
    end: Burst
    create_ms: list[float]
    issue_ms: list[float]
    end_ms: list[float]


async def measure(contender: Contender, work: Work, lives: Lives, sizes: Sizes) -> Round:
    """Measure one round; the contender runs, and nothing is left of it afterwards."""
    paced = work.names(sizes.paced)
    await work.at_a_pace(work.create, paced, CREATES_PER_SECOND)
    served = await lives.until(f"{contender.name} serves tasks", paced, lambda life: life.served)
    burst = work.names(sizes.burst)
    issue = await issue_burst(contender, work, lives, burst)
    spare = work.names(max(0, sizes.ends_paced - sizes.paced))
    await work.at_once(work.create, spare)
    await lives.until(f"{contender.name} serves tasks", spare, lambda life: life.served)
    ending = [*paced, *spare][: sizes.ends_paced]
    await work.at_a_pace(work.end, ending, ENDS_PER_SECOND)
    over = await lives.until(f"{contender.name} ends tasks", ending, lambda life: life.over)
    end = await end_burst(contender, work, lives, burst)
    return Round(
        issue,
        end,
        create_delays(served),
        [1000 * (life.secret - life.seen) for life in served],
        [1000 * (life.secret_gone - life.end_asked) for life in over],
    )


def create_delays(served: Iterable[Life]) -> list[float]:
    """Return the milliseconds from the request that created each task to its Secret."""
    return [1000 * (life.secret - life.asked) for life in served]


async def issue_burst(contender: Contender, work: Work, lives: Lives, names: Sequence[Name]) -> Burst:
    """Have a contender find new tasks all at once, and wait until all are served."""
    with frozen(contender) as begins:
        await work.at_once(work.create, names)
        cpu = cpu_seconds(contender.pid)
    done = await lives.until(f"{contender.name} serves a burst", names, lambda life: life.served)
    return _burst(begins, [life.served for life in done], cpu_seconds(contender.pid) - cpu)


async def end_burst(contender: Contender, work: Work, lives: Lives, names: Sequence[Name]) -> Burst:
    """Have a contender find ends all at once, and wait until all are over."""
    with frozen(contender) as begins:
        await work.at_once(work.end, names)
        cpu = cpu_seconds(contender.pid)
    done = await lives.until(f"{contender.name} ends a burst", names, lambda life: life.over)
    return _burst(begins, [life.over for life in done], cpu_seconds(contender.pid) - cpu)


def _burst(begins: list[float], done: list[float], cpu: float) -> Burst:
    return Burst(len(done) / (max(done) - begins[0]), 1000 * cpu / len(done))


@dataclass(frozen=True, slots=True)
class Writes:
    """What the audit log says of a number of lives.

    Attributes:
        kinds: How often each verb was used on each resource.
        lives: How many lives.
        conflicts: How many requests were answered with 409.
        batches: How many batches of the ledger their records are in.
    """

    kinds: dict[str, int]
    lives: int
    conflicts: int
    batches: int

    @classmethod
    def total(cls, each: Sequence[Self]) -> Self:
        """Return all of them together."""
        kinds: Counter[str] = Counter()
        for one in each:
            kinds.update(one.kinds)
        return cls(
            dict(kinds),
            sum(one.lives for one in each),
            sum(one.conflicts for one in each),
            sum(one.batches for one in each),
        )

    @property
    def per_life(self) -> float:
        """The writes of a life, on average."""
        return sum(self.kinds.values()) / self.lives


def count_writes(events: Iterable[dict[str, Any]], lives: int) -> Writes:
    """Count what the operator wrote of tasks, their Secrets and Events in the measuring's namespace.

    Batches of the ledger, in its own namespace, hold records of many lives: they are counted beside.
    """
    kinds: Counter[str] = Counter()
    conflicts = batches = 0
    for event in events:
        where = event.get("objectRef", {})
        batches += (
            where.get("resource") == LEDGER_BATCHES.plural and event["verb"] == "create" and is_write(event)
        )
        if where.get("resource") not in _OF_A_LIFE or where.get("namespace") != NAMESPACE:
            continue
        conflicts += event.get("responseStatus", {}).get("code") == _CONFLICT
        if is_write(event):
            kinds[f"{event['verb']} {where['resource']}"] += 1
    return Writes(dict(sorted(kinds.items())), lives, conflicts, batches)
