"""`python -m tests.bench`: measures, prints the table, and writes it where it is kept."""

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Final

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from devcluster import build
from devcluster.components import Options
from devcluster.controlplane import ControlPlane
from devcluster.errors import DevclusterError
from devcluster.install import NAMESPACE as OPERATOR_NAMESPACE
from devcluster.install import SERVICE_ACCOUNT, install_chart
from devcluster.operator_process import TRUST_DOMAIN
from devcluster.places import RUN_FOLDER
from devcluster.progress import say, step
from tests.bench import report
from tests.bench.api import Api, ApiError
from tests.bench.contenders import Agentid, Contender, Limit, running
from tests.bench.figures import Figure
from tests.bench.findings import Findings, figures, policy_costs
from tests.bench.forms import Forms
from tests.bench.learning import credentials, forms_of
from tests.bench.lives import Lives, Name, NotInTimeError
from tests.bench.machine import Machine
from tests.bench.policies import PolicyRound, among_policies
from tests.bench.profile import Profile, profile
from tests.bench.rounds import (
    FULL,
    QUICK,
    Round,
    Sizes,
    Writes,
    count_writes,
    end_burst,
    issue_burst,
    measure,
)
from tests.bench.scale import Neighbours, Stage, grow, neighbours, restarts
from tests.bench.suspensions import suspensions
from tests.bench.work import NAMESPACE, Work

OPERATOR: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"
_OWN_PACE: Final = Options(controller_manager=("--kube-api-qps=20", "--kube-api-burst=30"))
"""The garbage collector as Kubernetes ships it; clusters for tests have a faster one."""
_WARM_UP: Final = 100
_PARTS: Final = ("rounds", "profile", "scale", "policies")


class Bench:
    """One run over one throwaway control plane."""

    def __init__(self, cluster: ControlPlane, api: Api, lives: Lives, sizes: Sizes) -> None:
        self._cluster = cluster
        self._api = api
        self._lives = lives
        self._sizes = sizes
        self._work = Work(api, lives)
        self._agentid = Agentid(cluster)

    async def run(self, machine: Machine, version: str) -> Findings:
        """Measure everything."""
        limit = await self.prepare()
        rounds, writes = await self.rounds(limit)
        profiles = await self.profiles()
        collected = await self._collected()
        policies = await self.policies()
        with step("suspending tasks"):
            suspended = await suspensions(self._agentid, self._work, self._lives, self._sizes)
        stages, again, beside = await self.scale(limit)
        return Findings(
            machine,
            version,
            rounds,
            writes,
            collected,
            stages,
            again,
            beside,
            policies,
            suspended,
            profiles,
        )

    async def prepare(self) -> Limit:
        """Let agentid live one life, from which LIMIT learns what to write."""
        with step("learning what agentid writes"):
            await self._work.namespace(NAMESPACE)
            forms = self._cluster.run.folder / "forms.json"
            async with running(self._agentid):
                (await self._one_life()).save(forms)
            await self._work.clear()
            limit = Limit(self._cluster, self._agentid.kubeconfig, forms)
        with step("warming up"):
            for contender in (limit, self._agentid):
                names = self._work.names(_WARM_UP)
                async with running(contender):
                    await issue_burst(contender, self._work, self._lives, names)
                    await end_burst(contender, self._work, self._lives, names)
                await self._work.clear()
        return limit

    async def rounds(self, limit: Limit) -> tuple[list[tuple[Round, Round]], Writes]:
        """Measure both in turn, and count what agentid wrote."""
        found, writes = [], list[Writes]()
        lives = self._sizes.burst + max(self._sizes.paced, self._sizes.ends_paced)
        for number in range(self._sizes.rounds):
            order: list[Contender] = [limit, self._agentid] if number % 2 else [self._agentid, limit]
            seen: dict[str, Round] = {}
            for contender in order:
                since = await asyncio.to_thread(self._cluster.audit_position)
                with step(f"round {number + 1} of {self._sizes.rounds}: {contender.name}"):
                    seen[contender.name] = one = await self._round(contender, self._sizes)
                say(f"  {one.issue.per_second:.0f} issues and {one.end.per_second:.0f} ends a second")
                if contender is self._agentid:
                    events = await asyncio.to_thread(self._cluster.audit, since, user=OPERATOR)
                    writes.append(count_writes(events, lives))
            found.append((seen["agentid"], seen["LIMIT"]))
        return found, Writes.total(writes)

    async def profiles(self) -> list[Profile]:
        """Sample where agentid's time goes."""
        folder = RUN_FOLDER / "bench-profile"
        folder.mkdir(parents=True, exist_ok=True)
        with step("sampling where agentid's time goes"):
            profiles = await profile(
                Agentid(self._cluster, folder), self._work, self._lives, self._sizes.burst, folder
            )
        report.write_profiles(profiles, folder)
        return profiles

    async def policies(self) -> list[PolicyRound]:
        """Measure what policies cost."""
        with step("issuing among policies") as said:
            return await among_policies(self._agentid, self._work, self._lives, self._sizes, said)

    async def _round(self, contender: Contender, sizes: Sizes) -> Round:
        async with running(contender):
            found = await measure(contender, self._work, self._lives, sizes)
        await self._work.clear()
        return found

    async def _one_life(self) -> Forms:
        names = self._work.names(1)
        await self._work.create(names[0])
        await self._lives.until("agentid serves a task", names, lambda life: life.served)
        issued = await self._task(names[0])
        await self._work.end(names[0])
        await self._lives.until("agentid ends a task", names, lambda life: life.over)
        ended = await self._task(names[0])
        listed = await self._api.get(f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")
        events = sorted(listed["items"], key=lambda event: str(event["eventTime"]))
        kind = {"apiVersion": "events.k8s.io/v1", "kind": "Event"}
        return forms_of(issued, ended, [{**kind, **event} for event in events], credentials(TRUST_DOMAIN))

    async def _task(self, name: Name) -> dict[str, Any]:
        return await self._api.get(f"/apis/agentid.dev/v1alpha1/namespaces/{name[0]}/agenttasks/{name[1]}")

    async def _collected(self) -> float:
        count = self._sizes.owned
        with step(f"letting the garbage collector take {count} Secrets of one owner"):
            names, delete_owner = await self._work.secrets_of_one_owner(count)
            await self._lives.until("Secrets are made", names, lambda life: life.secret)
            began = time.monotonic()
            await delete_owner()
            gone = await self._lives.until("Secrets are collected", names, lambda life: life.secret_gone)
            self._lives.forget()
        return count / (max(life.secret_gone for life in gone) - began)

    async def scale(self, limit: Limit) -> tuple[list[Stage], list[dict[str, float]], Neighbours]:
        """Measure among many live tasks; they are left."""
        sizes, live = self._sizes, self._sizes.live[-1]
        with step(f"growing to {live} live tasks") as said:
            stages = await grow(self._agentid, self._work, self._lives, sizes, said)
        with step(f"restarting among {live} live tasks"):
            again = await restarts([self._agentid, limit], self._work, self._lives, sizes.restarts)
        with step(f"tenants beside {live} tasks that are revoked, and {sizes.crowd} that wait"):
            beside = await neighbours(self._agentid, self._work, self._lives, sizes)
        return stages, again, beside


async def _measure(cluster: ControlPlane, machine: Machine, sizes: Sizes, part: str | None) -> int:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api.open(cluster.kubeconfig))
        lives = await stack.enter_async_context(Lives.watched(api))
        bench = Bench(cluster, api, lives, sizes)
        if part is not None:
            await _only(bench, part)
            return 0
        version = orjson.loads(await api.send("GET", "/version"))["gitVersion"]
        found = await bench.run(machine, version)
    lines = figures(found)
    _show(lines)
    if sizes is FULL:
        report.write(found, lines)
        Console().print(f"written: {report.FIGURES}, {report.DOCUMENT}")
    else:
        Console().print("A quick run shows that it works; its figures are not kept.")
        Console().print(report.as_markdown(found, lines), markup=False)
        Console().print(report.as_json(lines), markup=False)
    return 0


async def _only(bench: Bench, part: str) -> None:
    """Measure one part and print it; for trying a change."""
    limit = await bench.prepare()
    if part == "profile":
        for each in await bench.profiles():
            Console().print(each.burst, each.costs, each.functions[:40])
        return
    if part == "policies":
        rounds_among = await bench.policies()
        Console().print(*rounds_among, *policy_costs(rounds_among), sep="\n")
        return
    if part == "scale":
        Console().print(*await bench.scale(limit), sep="\n")
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
    machine = Machine.look()
    try:
        build.ensure_groups(["controlplane", "helm"])
        with step("starting a control plane"):
            cluster = ControlPlane.start(_OWN_PACE)
        with cluster:
            with step("installing charts/agentid"):
                install_chart(cluster)
            return uvloop.run(_measure(cluster, machine, QUICK if options.quick else FULL, options.only))
    except (DevclusterError, ApiError, NotInTimeError, ExceptionGroup) as error:
        first: Exception = error
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        sys.stderr.write(f"bench: {first}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
