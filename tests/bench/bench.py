"""One run of the bench over a throwaway control plane: what is measured, and in which order."""

import asyncio
import time
from typing import Any, Final

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE as OPERATOR_NAMESPACE
from devcluster.install import SERVICE_ACCOUNT, TRUST_DOMAIN
from devcluster.places import RUN_FOLDER
from devcluster.progress import say, step
from tests.bench import report
from tests.bench.api import Api
from tests.bench.contenders import Agentid, Contender, Limit, running
from tests.bench.findings import Findings
from tests.bench.forms import Forms
from tests.bench.gate import GateBench, GateFindings, decide_alone
from tests.bench.learning import credentials, forms_of
from tests.bench.ledgers import LedgerRound, against_none
from tests.bench.lives import Lives, Name
from tests.bench.machine import Machine
from tests.bench.neighbours import Neighbours, neighbours
from tests.bench.policies import PolicyRound, among_policies
from tests.bench.profile import Profile, profile
from tests.bench.rounds import Round, Sizes, Writes, count_writes, end_burst, issue_burst, measure
from tests.bench.scale import Stage, grow, restarts
from tests.bench.suspensions import suspensions
from tests.bench.work import NAMESPACE, Work

OPERATOR: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"
_WARM_UP: Final = 100


class Bench:
    """One run over one throwaway control plane."""

    def __init__(self, cluster: ControlPlane, api: Api, lives: Lives, sizes: Sizes) -> None:
        self._cluster = cluster
        self._api = api
        self._lives = lives
        self._sizes = sizes
        self._work = Work(api, lives)
        self._agentid = Agentid(cluster)

    async def run(self, machine: Machine, version: str, gate: GateFindings) -> Findings:
        """Measure everything but the decision point, of which that was found."""
        limit = await self.prepare()
        rounds, writes = await self.rounds(limit)
        profiles = await self.profiles()
        collected = await self._collected()
        policies = await self.policies()
        ledger = await self.ledger()
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
            ledger,
            suspended,
            profiles,
            gate,
        )

    async def learn(self) -> Forms:
        """Let agentid live one life; return what it wrote, of which nothing is left."""
        with step("learning what agentid writes"):
            await self._work.namespace(NAMESPACE)
            async with running(self._agentid):
                forms = await self._one_life()
            await self._work.clear()
        return forms

    async def prepare(self) -> Limit:
        """Have LIMIT learn what to write, and both warm up."""
        forms = self._cluster.run.folder / "forms.json"
        (await self.learn()).save(forms)
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

    async def ledger(self) -> list[LedgerRound]:
        """Measure what recording costs."""
        both = (self._agentid, Agentid(self._cluster, records=False))
        with step("issuing and ending with the ledger and without") as said:
            return await against_none(both, self._work, self._lives, self._sizes, said)

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
        return stages, again, await self.neighbours()

    async def neighbours(self) -> Neighbours:
        """Measure what the many tasks of a tenant cost others, beside those that live already."""
        sizes = self._sizes
        with step(
            f"tenants beside {sizes.live[-1]} tasks that are revoked, and {sizes.crowd} that wait"
        ) as said:
            return await neighbours(self._agentid, self._work, self._lives, sizes, said)

    async def gate(self) -> GateFindings:
        """Measure the decision point; the tasks that it is measured among are left."""
        sizes = self._sizes
        with step(f"deciding without a server, {sizes.gate_tasks[0]} live tasks") as said:
            decisions = await decide_alone(sizes, said)
        forms = await self.learn()
        gate = GateBench(self._cluster, self._api, self._lives, sizes)
        with step("refusing what has ended") as said:
            refused = await gate.refusals(said)
        with step("serving decisions") as said:
            served, kept = await gate.among(forms, said)
        return GateFindings(decisions, sizes.gate_tasks[0], served, kept, refused)
