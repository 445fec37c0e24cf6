"""Everything that a run found, and the lines of the table that are made of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.figures import TIMES, Figure, Goal, median_ratio, percentile
from tests.bench.gate import GateFindings
from tests.bench.gate_figures import gate_figures
from tests.bench.ledgers import LedgerRound, Recorded
from tests.bench.machine import Machine
from tests.bench.neighbours import Neighbours
from tests.bench.policies import COUNTS, PolicyRound
from tests.bench.profile import Profile
from tests.bench.rounds import Burst, Round, Writes
from tests.bench.scale import Stage

_TEN_THOUSAND = 10_000
_AGAINST_LIMIT = f"{TIMES} LIMIT"


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a run found.

    Attributes:
        machine: Where.
        kubernetes: The API server's version.
        rounds: Each round of agentid with the same of LIMIT.
        writes: What agentid wrote in its rounds.
        collected: Secrets a second that the garbage collector took when their owner went.
        stages: agentid at each number of live tasks.
        restarts: For each try the seconds until a new task was served, by contender.
        neighbours: What one tenant's many tasks cost the others.
        policies: Each round of issues among policies.
        ledger: Each round of lives with the ledger and without.
        suspensions: Milliseconds from the request of a suspension to the empty Secret.
        profiles: Where the time of issues and of ends goes.
        gate: The decision point.
    """

    machine: Machine
    kubernetes: str
    rounds: Sequence[tuple[Round, Round]]
    writes: Writes
    collected: float
    stages: Sequence[Stage]
    restarts: Sequence[dict[str, float]]
    neighbours: Neighbours
    policies: Sequence[PolicyRound]
    ledger: Sequence[LedgerRound]
    suspensions: Sequence[float]
    profiles: Sequence[Profile]
    gate: GateFindings


def figures(found: Findings) -> dict[str, Figure]:
    """Return the lines of the table by name."""
    lines = [
        _pace("issue_ratio", "issues", found, lambda each: each.issue),
        _pace("end_ratio", "ends", found, lambda each: each.end),
        *_delays(found),
        *_counts(found),
        *_among_many(found),
        _drain(found),
        *beside_others(found.neighbours),
        *policy_costs(found.policies),
        *ledger_costs(found.ledger),
        *gate_figures(found.gate),
        _suspended(found.suspensions),
    ]
    return {line.name: line for line in lines}


def _pace(name: str, what: str, found: Findings, burst: Callable[[Round], Burst]) -> Figure:
    pairs = [(burst(a), burst(b)) for a, b in found.rounds]
    paces = [(a.per_second, b.per_second) for a, b in pairs]
    costs = [(a.cpu_ms, b.cpu_ms) for a, b in pairs]
    detail = f"{what} a second: {_both(paces)}; processor time of each: {_both(costs, 2)} ms"
    return Figure(name, median_ratio(paces), _AGAINST_LIMIT, Goal(least=0.8), detail)


def _delays(found: Findings) -> Iterable[Figure]:
    creates = [(a.create_ms, b.create_ms) for a, b in found.rounds]
    ends = [(a.end_ms, b.end_ms) for a, b in found.rounds]
    yield Figure(
        "create_p99_ms_at_10",
        median(ours for ours, _ in _percentiles(creates, 99)),
        " ms",
        None,
        f"from the request that creates a task to its Secret, at 10 a second; {_spread(creates)}",
    )
    yield Figure(
        "end_p99_ratio_at_30",
        median_ratio(_percentiles(ends, 99)),
        _AGAINST_LIMIT,
        Goal(most=1.5),
        f"from the request that ends a task to its Secret gone, at 30 a second; {_spread(ends)}",
    )


def _counts(found: Findings) -> Iterable[Figure]:
    kinds = ", ".join(f"{count} {TIMES} {kind}" for kind, count in found.writes.kinds.items())
    detail = f"of {found.writes.lives} lives, from the audit log: {kinds}"
    yield Figure("writes_per_life", found.writes.per_life, "", Goal(6, 6), detail)
    yield Figure(
        "ledger_batches_per_life",
        found.writes.batches / found.writes.lives,
        "",
        None,
        f"{found.writes.batches} batches of the ledger hold the records of these lives",
    )
    yield Figure("conflicts", found.writes.conflicts, "", Goal(0, 0), "answers 409, from the audit log")


def _among_many(found: Findings) -> Iterable[Figure]:
    last = found.stages[-1]
    yield Figure(
        "rss_mib_per_10k",
        last.growth_mebibytes * _TEN_THOUSAND / last.live,
        " MiB",
        Goal(most=15),
        f"resident memory from none to {last.live} live tasks without pods: {last.growth_mebibytes:.1f} MiB",
    )
    pairs = [(each["agentid"], each["LIMIT"]) for each in found.restarts]
    yield Figure(
        "restart_ratio",
        median_ratio(pairs),
        f"{TIMES} bare list-watch",
        Goal(most=1.3),
        f"from the start of the process until a new task among {last.live} is served: {_both(pairs, 2)} s",
    )


def _suspended(delays: Sequence[float]) -> Figure:
    return Figure(
        "suspend_p99_ms",
        percentile(delays, 99),
        " ms",
        Goal(most=1000),
        "from the request of a suspension to the empty Secret, at 30 a second; "
        f"p50 {percentile(delays, 50):.1f} ms",
    )


def _drain(found: Findings) -> Figure:
    pace = median(ours.end.per_second for ours, _ in found.rounds)
    detail = (
        f"tasks that end at once: {pace:.0f} a second; Secrets of a deleted owner, by the garbage "
        f"collector at Kubernetes' own settings: {found.collected:.1f} a second"
    )
    return Figure("drain_ratio", pace / found.collected, f"{TIMES} collector", Goal(least=10), detail)


def beside_others(found: Neighbours) -> Iterable[Figure]:
    """Yield by how much one tenant's many tasks delay another's first one."""
    goal = Goal(most=100)
    beside = [
        ("", found.beside_waiting, goal, f"beside {found.crowd} tasks of another that wait for their Agent"),
        (
            "_served",
            found.beside_served,
            goal,
            f"while those {found.crowd} are served ({found.unserved} were still not served after)",
        ),
        (
            "_revoked",
            found.beside_revoked,
            goal,
            f"while a new policy takes {found.revoked} credentials away ({found.unrevoked} were there after)",
        ),
        (
            "_start",
            found.beside_start,
            None,
            f"while those {found.revoked} tasks are all looked at after a start",
        ),
    ]
    for name, delay, wanted, when in beside:
        detail = (
            f"{when} {delay:.1f} ms, alone {found.alone:.1f} ms: medians of {found.of} first tasks of tenants"
        )
        yield Figure(f"neighbour_delay{name}_ms", delay - found.alone, " ms", wanted, detail)


def policy_costs(rounds: Sequence[PolicyRound]) -> Iterable[Figure]:
    """Yield what each number of policies costs in issues."""
    for count in COUNTS[1:]:
        pairs = [(each[count], each[0]) for each in rounds]
        paces = [(a.per_second, b.per_second) for a, b in pairs]
        costs = [(a.cpu_ms, b.cpu_ms) for a, b in pairs]
        detail = (
            f"issues a second among {count} policies / with one that allows all: {_both(paces)}; processor "
            f"time of each: {_both(costs, 2)} ms"
        )
        name = f"issue_ratio_{count}_policies"
        yield Figure(name, median_ratio(paces), f"{TIMES} none", Goal(least=0.9), detail)


def ledger_costs(rounds: Sequence[LedgerRound]) -> Iterable[Figure]:
    """Yield what recording costs: in the pace of issues and ends, and in what a task waits."""
    bursts: dict[str, Callable[[Recorded], Burst]] = {
        "issue": lambda each: each.issue,
        "end": lambda each: each.end,
    }
    for what, burst in bursts.items():
        pairs = [(burst(a), burst(b)) for a, b in rounds]
        paces = [(a.per_second, b.per_second) for a, b in pairs]
        costs = [(a.cpu_ms, b.cpu_ms) for a, b in pairs]
        detail = (
            f"{what}s a second with the ledger / without: {_both(paces)}; "
            f"processor time of each: {_both(costs, 2)} ms"
        )
        yield Figure(f"{what}_ratio_ledger", median_ratio(paces), f"{TIMES} none", Goal(least=0.9), detail)
    creates = [(a.create_ms, b.create_ms) for a, b in rounds]
    added = median(a - b for a, b in _percentiles(creates, 50))
    yield Figure(
        "ledger_delay_ms",
        added,
        " ms",
        Goal(most=3),
        f"more from the request that creates a task to its Secret, at 10 a second; {_spread(creates)}",
    )


def _both(pairs: Sequence[tuple[float, float]], digits: int = 0) -> str:
    return f"{median(a for a, _ in pairs):.{digits}f} / {median(b for _, b in pairs):.{digits}f}"


def _percentiles(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], percent: float
) -> list[tuple[float, float]]:
    return [(percentile(a, percent), percentile(b, percent)) for a, b in pairs]


def _spread(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> str:
    return ", ".join(f"p{percent} {_both(_percentiles(pairs, percent), 1)} ms" for percent in (50, 99))
