"""Writes what was found: the measured part of docs/performance.md, and .run/bench.json."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from devcluster.places import CHECKOUT, RUN_FOLDER
from tests.bench.figures import Figure
from tests.bench.findings import Findings
from tests.bench.profile import Profile

DOCUMENT: Final = CHECKOUT / "docs" / "performance.md"
FIGURES: Final = RUN_FOLDER / "bench.json"
HEADING: Final = "\n## Measured\n"
"""What follows it in docs/performance.md, to its end, is written by each full run."""
_FIELDS: Final = (
    "issue_ratio",
    "end_ratio",
    "create_p99_ms_at_10",
    "end_p99_ratio_at_30",
    "writes_per_life",
    "conflicts",
    "rss_mib_per_10k",
    "restart_ratio",
    "issue_ratio_10_policies",
    "issue_ratio_200_policies",
    "issue_ratio_ledger",
    "end_ratio_ledger",
    "gate_decisions_per_s_at_10",
    "gate_decisions_per_s_at_200",
    "gate_p99_ms_half_load",
)
_FAMILIES: Final = ("gate_rss_mib_", "refused_p99_ms_")
"""Where names begin so, there is a figure for each size, or kind of end, that was measured."""


def as_json(lines: dict[str, Figure]) -> str:
    """Return the figures that are compared from run to run, and those only."""
    names = [*_FIELDS, *(name for name in lines if name.startswith(_FAMILIES))]
    return json.dumps({name: round(lines[name].value, 4) for name in names}, indent=2) + "\n"


def as_markdown(found: Findings, lines: dict[str, Figure]) -> str:
    """Return the part of docs/performance.md that a run writes."""
    machine = found.machine
    text = [
        f"Measured on {machine.began:%Y-%m-%d %H:%M} UTC; {machine.quiet}.",
        "",
        f"Machine: {machine.processors}, {machine.memory}, Linux {machine.kernel}, shared by the API server,",
        f"etcd, the harness and who is measured. Kubernetes {found.kubernetes}; {machine.software}.",
        "",
        f"Rounds: {len(found.rounds)}; medians; “a / b” is agentid / LIMIT.",
        "",
        "| figure | value | goal | | made of |",
        "|---|---|---|---|---|",
    ]
    text += [
        f"| {line.name} | {line.shown} | {line.goal or ''} | {line.verdict} | {line.detail} |"
        for line in lines.values()
    ]
    text += ["", "agentid among many live tasks:", ""]
    text += [
        "| live tasks | resident memory more than with none, MiB | issues a second | ends a second |",
        "|---|---|---|---|",
    ]
    text += [
        f"| {each.live} | {each.growth_mebibytes:.1f} "
        f"| {each.issue_per_second:.0f} | {each.end_per_second:.0f} |"
        for each in found.stages
    ]
    for name, each in zip(("issue", "end"), found.profiles, strict=True):
        text += ["", *_costs(name, each)]
    return "\n".join(text)


def _costs(name: str, profile: Profile) -> Iterable[str]:
    yield f"Where the processor time of an {name} goes, {profile.burst.cpu_ms:.2f} ms with the sampler:"
    yield ""
    yield "| cost | share | ms |"
    yield "|---|---|---|"
    for cost, share in profile.costs:
        yield f"| {cost} | {share:.0%} | {share * profile.burst.cpu_ms:.2f} |"


def write(found: Findings, lines: dict[str, Figure]) -> None:
    """Write .run/bench.json and the measured part of docs/performance.md."""
    RUN_FOLDER.mkdir(exist_ok=True)
    FIGURES.write_text(as_json(lines))
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(), as_markdown(found, lines)))


def replaced(document: str, measured: str) -> str:
    """Return the document with its measured part replaced.

    Raises:
        ValueError: it has no such part.
    """
    before, heading, _ = document.partition(HEADING)
    if not heading:
        raise ValueError(f"docs/performance.md has no heading{HEADING.rstrip()}")
    return f"{before}{heading}\n{measured.rstrip()}\n"


def write_profiles(profiles: Sequence[Profile], folder: Path) -> None:
    """Write the functions of each profile beside it, for who wants to know more."""
    for name, each in zip(("issue", "end"), profiles, strict=True):
        lines = [f"{share:7.2%}  {function}" for function, share in each.functions]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
