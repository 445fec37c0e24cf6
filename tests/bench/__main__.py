"""`python -m tests.bench`: measures, prints the table, and writes it where it is kept."""

import argparse
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from devcluster import build
from devcluster.components import Options
from devcluster.controlplane import ControlPlane
from devcluster.errors import DevclusterError
from devcluster.install import install_chart
from devcluster.progress import step
from tests.bench import report
from tests.bench.api import Api, ApiError
from tests.bench.bench import Bench
from tests.bench.figures import Figure
from tests.bench.findings import Findings, beside_others, figures, ledger_costs, policy_costs
from tests.bench.gate import GateFindings
from tests.bench.gate_figures import gate_figures
from tests.bench.lives import Lives, NotInTimeError
from tests.bench.machine import Machine
from tests.bench.rounds import FULL, QUICK, Sizes

_OWN_PACE: Final = Options(controller_manager=("--kube-api-qps=20", "--kube-api-burst=30"))
"""The garbage collector as Kubernetes ships it; clusters for tests have a faster one."""
_GATE: Final = "gate"
_PARTS: Final = ("rounds", "profile", "scale", "policies", "ledger", "neighbours", _GATE)


@contextmanager
def _cluster() -> Iterator[ControlPlane]:
    with step("starting a control plane"):
        cluster = ControlPlane.start(_OWN_PACE)
    with cluster:
        with step("installing charts/agentid"):
            install_chart(cluster)
        yield cluster


@asynccontextmanager
async def _bench(cluster: ControlPlane, sizes: Sizes) -> AsyncIterator[tuple[Bench, Api]]:
    async with Api.open(cluster.kubeconfig) as api, Lives.watched(api) as lives:
        yield Bench(cluster, api, lives, sizes), api


async def _measure_gate(cluster: ControlPlane, sizes: Sizes) -> GateFindings:
    async with _bench(cluster, sizes) as (bench, _):
        return await bench.gate()


async def _measure(cluster: ControlPlane, machine: Machine, sizes: Sizes, gate: GateFindings) -> Findings:
    async with _bench(cluster, sizes) as (bench, api):
        version = orjson.loads(await api.send("GET", "/version"))["gitVersion"]
        return await bench.run(machine, version, gate)


def _all(sizes: Sizes) -> None:
    """Measure everything: the decision point among tasks of its own, on a control plane of its own."""
    machine = Machine.look()
    with _cluster() as cluster:
        gate = uvloop.run(_measure_gate(cluster, sizes))
    with _cluster() as cluster:
        found = uvloop.run(_measure(cluster, machine, sizes, gate))
    lines = figures(found)
    _show(lines)
    if sizes is FULL:
        report.write(found, lines)
        Console().print(f"written: {report.FIGURES}, {report.DOCUMENT}")
    else:
        Console().print("A quick run shows that it works; its figures are not kept.")
        Console().print(report.as_markdown(found, lines), markup=False)
        Console().print(report.as_json(lines), markup=False)


async def _only(cluster: ControlPlane, sizes: Sizes, part: str) -> None:
    """Measure one part and print it; for trying a change."""
    if part == _GATE:
        _show({line.name: line for line in gate_figures(await _measure_gate(cluster, sizes))})
        return
    async with _bench(cluster, sizes) as (bench, _):
        await _print(bench, part)


async def _print(bench: Bench, part: str) -> None:
    limit = await bench.prepare()
    if part == "profile":
        for each in await bench.profiles():
            Console().print(each.burst, each.costs, each.functions[:40])
        return
    if part == "policies":
        rounds_among = await bench.policies()
        Console().print(*rounds_among, *policy_costs(rounds_among), sep="\n")
        return
    if part == "ledger":
        _show({line.name: line for line in ledger_costs(await bench.ledger())})
        return
    if part == "scale":
        Console().print(*await bench.scale(limit), sep="\n")
        return
    if part == "neighbours":
        beside = await bench.neighbours()
        Console().print(beside, *beside_others(beside), sep="\n")
        return
    rounds, writes = await bench.rounds(limit)
    for ours, theirs in rounds:
        Console().print(f"issue {ours.issue} / {theirs.issue}\nend   {ours.end} / {theirs.end}")
        for what in ("create_ms", "issue_ms", "end_ms"):
            a, b = sorted(getattr(ours, what)), sorted(getattr(theirs, what))
            Console().print(
                what, *(f"{p}: {a[len(a) * p // 100]:.1f}/{b[len(b) * p // 100]:.1f}" for p in (50, 90, 99))
            )
    Console().print(writes)


def _show(lines: dict[str, Figure]) -> None:
    table = Table(title="agentid against LIMIT")
    for heading in ("figure", "value", "goal", "", "made of"):
        table.add_column(heading, no_wrap=heading in {"figure", "value"})
    for line in lines.values():
        style = "bold red" if line.verdict == "MISSED" else "green"
        table.add_row(line.name, line.shown, str(line.goal or ""), f"[{style}]{line.verdict}[/]", line.detail)
    Console(width=160 if not sys.stdout.isatty() else None).print(table)


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: shows that it works")
    parser.add_argument("--only", choices=_PARTS, help="one part, printed and not kept")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    try:
        build.ensure_groups(["controlplane", "helm"])
        if options.only is None:
            _all(sizes)
        else:
            with _cluster() as cluster:
                uvloop.run(_only(cluster, sizes, options.only))
    except (DevclusterError, ApiError, NotInTimeError, ExceptionGroup) as error:
        first: Exception = error
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        sys.stderr.write(f"bench: {first}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
