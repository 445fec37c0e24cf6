"""The lines of the table about the decision point."""

from collections.abc import Iterable

from tests.bench.decisions import SLICED, WHOLE
from tests.bench.figures import Figure, Goal, percentile
from tests.bench.gate import POLICIES, GateFindings

_THOUSAND = 1000
_GOALS = {POLICIES[0]: Goal(least=5000)}


def gate_figures(found: GateFindings) -> Iterable[Figure]:
    """Yield them."""
    yield from _decisions(found)
    yield from _served(found)
    for tasks, kept in found.kept.items():
        yield Figure(
            f"gate_rss_mib_{_short(tasks)}",
            kept.synced,
            " MiB",
            None,
            f"resident memory of a decision point that knows {tasks} live tasks; {kept.asked:.0f} MiB once "
            f"it was asked about {min(found.tasks, tasks)} of them",
        )
    for kind, delays in found.refusals.items():
        yield Figure(
            f"refused_p99_ms_{kind}",
            percentile(delays, 99),
            " ms",
            None,
            f"{kind.replace('_', ' ')}: from that request to the first refused call, asked without a pause; "
            f"p50 {percentile(delays, 50):.1f} ms, {len(delays)} ends",
        )


def _decisions(found: GateFindings) -> Iterable[Figure]:
    for count in POLICIES:
        sliced, whole = found.decisions[count, SLICED], found.decisions[count, WHOLE]
        yield Figure(
            f"gate_decisions_per_s_at_{count}",
            sliced.per_second,
            "/s",
            _GOALS.get(count),
            f"decisions in a second of processor time, {count} policies a layer, {found.tasks} live tasks, "
            f"without a server: p50 {sliced.p50_ms:.3f}, p99 {sliced.p99_ms:.3f} ms, the first one about a "
            f"task {sliced.first_ms:.1f} ms; without slicing {whole.per_second:.0f}/s, p50 "
            f"{whole.p50_ms:.3f}, p99 {whole.p99_ms:.3f} ms",
        )
    at_ten = found.decisions[POLICIES[0], SLICED]
    yield Figure(
        "gate_p99_ms_half_load",
        at_ten.half_load_p99_ms,
        " ms",
        Goal(most=2),
        f"the same with {POLICIES[0]} policies a layer, asked at half that pace at random moments, with the "
        "time that a question waits for the one before it",
    )


def _served(found: GateFindings) -> Iterable[Figure]:
    served = found.served
    yield Figure(
        "gate_http_p99_ms_half_load",
        served.p99_ms,
        " ms",
        None,
        f"until the answer over HTTP, AuthZEN on loopback, at half of the {served.per_second:.0f} calls a "
        f"second that one process answers beside its client; p50 {served.p50_ms:.1f} ms; its processor time "
        f"{served.cpu_ms:.2f} ms a call",
    )


def _short(tasks: int) -> str:
    return f"{tasks // _THOUSAND}k" if tasks % _THOUSAND == 0 else str(tasks)
