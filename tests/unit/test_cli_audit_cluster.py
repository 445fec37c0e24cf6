"""From where in a cluster `agentid audit` reads the ledger, and what is said to who may not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.cluster.ledger_store import FIRST_PAGE
from agentid.ledger.batch import Batch
from tests.unit.audit_files import audit, lines_of
from tests.unit.ledger_batches import chain, ended, issued, record, revoked_list, started
from tests.unit.listing_server import Lists, agentid

MANY = chain(
    [
        [started()],
        [issued("4f", seconds=10, ends=310)],
        [
            ended(
                100,
                namespace="support",
                task="refund-4711",
                agent="refund-agent",
                revoked=revoked_list(("4f", 310)),
            )
        ],
        *([record(task=f"t-{number}", namespace="default")] for number in range(50)),
    ]
)


class Cluster(Lists):
    """A cluster whose ledger is in one namespace."""

    def __init__(
        self, batches: list[Batch], home: str = "agentid-system", **items: list[dict[str, Any]]
    ) -> None:
        listed = [{"metadata": {"name": each.name, "uid": "u"}, "spec": each.to_spec()} for each in batches]
        super().__init__(ledgerbatches=listed, **items)
        self._home = home

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with batches where they are, and with one of them where it is asked for by its name."""
        parent, _, name = request.path.rpartition("/")
        if "/ledgerbatches" in request.path and f"/namespaces/{self._home}/" not in request.path:
            self.asked.append(request)
            return web.json_response({"items": [], "metadata": {}})
        if parent.endswith("/ledgerbatches"):
            self.asked.append(request)
            found = [each for each in self.items["ledgerbatches"] if each["metadata"]["name"] == name]
            return web.json_response(found[0] if found else {"code": 404}, status=200 if found else 404)
        if request.path.endswith("/leases") and "leases" in self.items:
            return web.json_response({"items": self.items["leases"], "metadata": {}})
        return await super().answer(request)


def lease(namespace: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "agentid-operator"}}


async def test_it_is_read_where_the_operator_is_by_pages_and_with_reads_only(tmp_path: Path) -> None:
    server = Cluster(MANY, "identities", leases=[lease("identities")])
    code, out, err = await agentid(server, tmp_path, "audit", "verify", "-o", "json")
    assert (code, json.loads(out)["batches"]) == (0, 53), err
    first, second = server.of("ledgerbatches")
    assert ("continue" in first.query, "continue" in second.query) == (False, True)
    assert first.query["limit"] == str(FIRST_PAGE)
    assert {each.method for each in server.asked} == {"GET"}


@pytest.mark.parametrize(
    ("leases", "options", "home"),
    [
        ([], (), "agentid-system"),
        (None, (), "agentid-system"),
        ([lease("tenant"), lease("identities")], (), "identities"),
        (None, ("--ledger-namespace", "identities"), "identities"),
        ([lease("tenant")], ("--ledger-namespace", "identities"), "identities"),
    ],
    ids=["nobody-leads", "may-not-look", "a-tenants-lease-too", "said", "said-nevertheless"],
)
async def test_it_is_found(
    tmp_path: Path, leases: list[Any] | None, options: tuple[str, ...], home: str
) -> None:
    server = Cluster(MANY, home, **({} if leases is None else {"leases": leases}))
    code, out, err = await agentid(server, tmp_path, "audit", "query", "-A", *options, "-o", "name")
    assert (code, len(out.split())) == (0, 53), err


async def test_who_may_not_read_it_is_told_what_would_let_them(tmp_path: Path) -> None:
    for command in (
        ("audit", "verify"),
        ("audit", "query"),
        ("audit", "show", "x"),
        ("audit", "export"),
        ("report",),
    ):
        code, out, err = await agentid(Lists(), tmp_path, *command)
        assert (code, out) == (1, "")
        assert err == (
            f"agentid {' '.join(command[:2])}: you may not list ledgerbatches.agentid.dev in namespace "
            "agentid-system; ClusterRole agentid-auditor gives that, bound by a RoleBinding there\n"
        )


async def test_an_empty_ledger_is_not_whole(tmp_path: Path) -> None:
    code, out, _ = await agentid(Cluster([]), tmp_path, "audit", "verify")
    assert code == 1
    assert "batch 1: removed: there is no batch at all" in out
    code, out, err = await agentid(Cluster([]), tmp_path, "audit", "show", "x")
    assert (code, "in an empty ledger no record tells of a task x" in err) == (1, True)


async def test_tasks_are_those_of_the_contexts_namespace_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    for options, count in (((), 50), (("-n", "support"), 2), (("-A",), 53)):
        code, out, _ = await agentid(Cluster(MANY), tmp_path, "audit", "query", *options, "-o", "name")
        assert (code, len(out.split())) == (0, count)
    code, out, _ = await agentid(Cluster(MANY), tmp_path, "audit", "show", "refund-4711", "-n", "support")
    assert (code, "has ended: Completed" in out) == (0, True)
    agents = [{"metadata": {"namespace": "support", "name": "refund-agent"}, "spec": {"actions": ["a"]}}]
    server = Cluster(MANY, agents=agents)
    said = json.loads((await agentid(server, tmp_path, "report", "-n", "support", "-o", "json"))[1])
    assert said["agents"][0]["toNarrow"] == ["the Agent lists a, and no task was given that"]
    assert said["notes"] == []


async def test_an_export_is_the_ledger_as_it_is_and_a_proof_is_read_by_its_name(tmp_path: Path) -> None:
    whole, tail, proof = (tmp_path / each for each in ("whole", "tail", "proof"))
    code, out, err = await agentid(Cluster(MANY), tmp_path, "audit", "export", "--out", str(whole))
    assert (code, out, err) == (0, "", f"53 batches written to {whole}\n")
    assert whole.read_bytes() == lines_of(MANY)
    assert (await asyncio.to_thread(audit, "verify", "--file", whole))[0] == 0
    code, out, err = await agentid(Cluster(MANY), tmp_path, "audit", "export", "--since", "50")
    assert (code, out.encode()) == (0, lines_of(MANY[49:]))
    tail.write_bytes(b"precious")
    code, _, err = await agentid(Cluster(MANY), tmp_path, "audit", "export", "--out", str(tail))
    assert (code, tail.read_bytes()) == (1, b"precious")
    assert "evidence is not written over" in err
    refused = tmp_path / "refused"
    assert (await agentid(Lists(), tmp_path, "audit", "export", "--out", str(refused)))[0] == 1
    assert not refused.exists()

    server = Cluster(MANY)
    assert (await agentid(server, tmp_path, "audit", "prove", "2-0", "--out", str(proof)))[0] == 0
    assert not [each for each in server.of("ledgerbatches") if "limit" in each.query]
    assert json.loads(proof.read_bytes())["batch"]["sequence"] == 2
    code, _, err = await agentid(server, tmp_path, "audit", "prove", "99-0")
    assert (code, "batch 99 is not in the cluster; if it was pruned" in err) == (1, True)


@pytest.mark.parametrize(
    "options", [("--since", "0"), ("--since", "x"), ("one",), ("--ledger-namespace", "A")]
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert audit("export", *options)[0] == 2
