"""The decision point: decisions a second, how long they take, its memory, and how soon an end refuses."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson

from agentid.api.names import HEARTBEAT
from agentid.cluster.paths import TASKS
from devcluster.controlplane import ControlPlane
from devcluster.errors import CommandError
from devcluster.gate_process import AUDIENCE, GateProcess
from devcluster.install import NAMESPACE as OPERATOR_NAMESPACE
from devcluster.places import CHECKOUT
from devcluster.progress import Step
from tests.bench import forms
from tests.bench.api import MERGE, Api
from tests.bench.asker import Asker, question
from tests.bench.contenders import Agentid, cpu_seconds, resident_mebibytes, running
from tests.bench.decisions import SLICED, WHOLE, Decisions
from tests.bench.figures import percentile
from tests.bench.forms import Forms
from tests.bench.heart import beating
from tests.bench.lives import Lives, Name
from tests.bench.policies import cedar
from tests.bench.refusals import Refusals, refusals
from tests.bench.rounds import Sizes
from tests.bench.work import NAMESPACE, Work

POLICIES: Final = (10, 200)
"""How many there are in each of the two layers."""
_ASKER: Final = "enforcement-point"
_READY: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Served:
    """What a decision point does that is asked over HTTP, on loopback and without TLS.

    Attributes:
        per_second: How many calls a second it decides on, when asked over a few connections without a pause.
        cpu_ms: Its processor time for each.
        p50_ms: Median of the time until the answer, at half of that pace.
        p99_ms: All but a hundredth took no longer.
    """

    per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Kept:
    """The memory of a decision point, in MiB.

    Attributes:
        synced: Once it has seen all tasks.
        asked: Once it was asked about them, which is kept ready of ten thousand.
    """

    synced: float
    asked: float


@dataclass(frozen=True, slots=True)
class GateFindings:
    """Everything that was found of the decision point.

    Attributes:
        decisions: The decision itself by how many policies a layer has, and whether the rules are sliced.
        tasks: How many live tasks it knew where that was measured, and where it was served.
        served: Asked over HTTP.
        kept: Its memory by how many live tasks there are.
        refusals: How soon each kind of end refuses.
    """

    decisions: Mapping[tuple[int, str], Decisions]
    tasks: int
    served: Served
    kept: Mapping[int, Kept]
    refusals: Refusals


async def decide_alone(sizes: Sizes, step: Step) -> dict[tuple[int, str], Decisions]:
    """Measure the decision itself, each time in a process of its own, in turn."""
    ways = [(count, rules) for count in POLICIES for rules in (SLICED, WHOLE)]
    found: dict[tuple[int, str], list[Decisions]] = {way: [] for way in ways}
    for number in range(sizes.rounds):
        for count, rules in ways if number % 2 == 0 else ways[::-1]:
            step.still(f"round {number + 1} of {sizes.rounds}: {count} policies a layer, {rules}")
            asked = (sizes.gate_tasks[0], count, rules, sizes.gate_asked)
            found[count, rules].append(await asyncio.to_thread(_decisions, *asked))
    return {way: Decisions.median(each) for way, each in found.items()}


def _decisions(*arguments: object) -> Decisions:
    command = [sys.executable, "-m", "tests.bench.decisions", *map(str, arguments)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr.decode())
    return Decisions(**orjson.loads(done.stdout))


class GateBench:
    """A decision point on a throwaway control plane."""

    def __init__(self, cluster: ControlPlane, api: Api, lives: Lives, sizes: Sizes) -> None:
        self._cluster = cluster
        self._api = api
        self._lives = lives
        self._agentid = Agentid(cluster, beats=True)
        self._sizes = sizes
        self._work = Work(api, lives)
        self._token = ""

    async def refusals(self, step: Step) -> Refusals:
        """Measure how soon each kind of end refuses; agentid runs meanwhile."""
        async with running(self._agentid), self._asking() as (asker, _):
            found = await refusals(self._api, self._work, self._lives, asker, self._sizes.gate_refusals, step)
        await self._api.send("DELETE", TASKS.path(OPERATOR_NAMESPACE, HEARTBEAT))
        return found

    async def among(self, forms_of_a_life: Forms, step: Step) -> tuple[Served, dict[int, Kept]]:
        """Lay out live tasks, as agentid would have left them, and measure among them."""
        await self._policies()
        questions: list[bytes] = []
        kept: dict[int, Kept] = {}
        served: Served | None = None
        for count in self._sizes.gate_tasks:
            step.still(f"laying out {count} live tasks")
            questions += await self._lay_out(count - len(questions), forms_of_a_life)
            step.still(f"deciding among {count} live tasks")
            async with self._beating(), self._asking() as (asker, gate):
                synced = resident_mebibytes(gate.process.pid)
                await _each(asker, questions[: self._sizes.gate_tasks[0]])
                kept[count] = Kept(synced, resident_mebibytes(gate.process.pid))
                served = served or await self._served(asker, gate, questions)
        if served is None:
            raise ValueError("there is no number of tasks to measure among")
        return served, kept

    async def _served(self, asker: Asker, gate: GateProcess, questions: Sequence[bytes]) -> Served:
        seconds = self._sizes.gate_seconds
        cpu = cpu_seconds(gate.process.pid)
        took = await asker.at_once(questions, seconds)
        cpu_ms = 1000 * (cpu_seconds(gate.process.pid) - cpu) / len(took)
        per_second = len(took) / seconds
        half = await asker.at_a_pace(questions, per_second / 2, seconds)
        return Served(per_second, cpu_ms, 1000 * percentile(half, 50), 1000 * percentile(half, 99))

    async def _policies(self) -> None:
        """Have as many policies in both layers; the cluster's one that allows everything is there."""
        texts = [cedar(number) for number in range(POLICIES[0] - 1)]
        for number, text in enumerate(texts):
            await self._work.policy(f"bench-{number:03d}", text)
        await self._work.own_policy(
            NAMESPACE, "bench", "".join(("permit (principal, action, resource);\n", *texts))
        )

    async def _lay_out(self, count: int, of_a_life: Forms) -> list[bytes]:
        """Make tasks that say of themselves what agentid said of the one that it served; return questions."""
        status = of_a_life.issued_status.encode()
        told = orjson.loads(status)["status"]
        serial, questions = told["credentials"][-1]["serial"], list[bytes]()
        async with Api.open(self._agentid.kubeconfig) as operator:

            async def make(name: Name) -> None:
                metadata = (await self._work.create(name))["metadata"]
                uid = metadata["uid"].encode()
                body = status.replace(forms.UID, uid).replace(forms.NAME, name[1].encode())
                body = body.replace(forms.VERSION, metadata["resourceVersion"].encode())
                await operator.send("PATCH", TASKS.path(name[0], name[1], "status"), body, MERGE)
                questions.append(
                    question(told["spiffeID"].replace(forms.UID.decode(), metadata["uid"]), serial)
                )

            await self._work.at_once(make, self._work.names(count))
        return questions

    @asynccontextmanager
    async def _beating(self) -> AsyncIterator[None]:
        async with Api.open(self._agentid.kubeconfig) as operator, beating(operator, self._api):
            yield

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[tuple[Asker, GateProcess]]:
        """Run a decision point, and yield it with who may ask it about everything."""
        account = {"namespace": NAMESPACE, "name": _ASKER}
        points = orjson.dumps([{"serviceAccount": account, "namespaces": ["*"]}]).decode()
        settings = {
            "AGENTID_GATE_ENFORCEMENT_POINTS": points,
            "AGENTID_GATE_DECISION_LOG_FOLDER": str(self._cluster.run.folder / "decisions"),
        }
        gate = GateProcess(self._cluster, self._cluster.kubeconfig, settings)
        await asyncio.to_thread(gate.start, _READY)
        try:
            async with Asker.open(gate.http_port, await self._asker_token()) as asker:
                yield asker, gate
        finally:
            await asyncio.to_thread(gate.process.terminate)

    async def _asker_token(self) -> str:
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        if not self._token:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ASKER}}
            await self._api.post(accounts, account)
        asked: dict[str, Any] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": 7200},
        }
        self._token = (await self._api.post(f"{accounts}/{_ASKER}/token", asked))["status"]["token"]
        return self._token


async def _each(asker: Asker, questions: Sequence[bytes]) -> None:
    """Ask every question once."""
    left = iter(questions)

    async def keep_on() -> None:
        for each in left:
            await asker.ask(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(keep_on())
