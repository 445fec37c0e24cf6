"""What a list shows is taken in policies first, and what the watches missed of policies is found."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.api.names import HEARTBEAT, TASK_LABEL
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.paths import (
    AGENT_POLICIES,
    AGENTS,
    APPROVALS,
    CLUSTER_AGENT_POLICIES,
    PODS,
    TASKS,
    Resource,
)
from agentid.cluster.reads import Reads
from agentid.controller.intake import DELETED, Intake
from agentid.controller.known import Known
from agentid.controller.records import Record
from agentid.controller.sweep import Sweep
from agentid.controller.watches import watched_paths
from agentid.controller.world import World
from agentid.watched.facts import Key
from agentid.watched.policy_intake import PolicyIntake
from tests.unit.plain_server import serving
from tests.unit.policy_objects import BROKEN, FORBID, PERMIT, Installed, policy

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KINDS = (CLUSTER_AGENT_POLICIES, AGENT_POLICIES, AGENTS, APPROVALS, TASKS, PODS)


class Server:
    """Serves lists and single objects.

    Attributes:
        objects: What is there, by the path of its list.
        lists: The paths that were listed, in their order.
        refused: The path whose lists are refused.
        while_listed: What happens while a path is listed.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.lists: list[str] = []
        self.refused: str | None = None
        self.while_listed: Callable[[str], None] = lambda _: None

    def put(self, resource: Resource, *bodies: dict[str, Any]) -> None:
        """Have these be all that there is of a kind."""
        self.objects[resource.path(None)] = list(bodies)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if "limit" in request.query:
            self.lists.append(request.path)
            if request.path == self.refused:
                return web.Response(status=403)
            found = self.objects.get(request.path, [])
            self.while_listed(request.path)
            if "PartialObjectMetadataList" in request.headers["Accept"]:
                found = [{"metadata": each["metadata"]} for each in found]
            return web.json_response({"metadata": {"resourceVersion": "9"}, "items": found})
        for path, bodies in self.objects.items():
            for each in bodies:
                if request.path == _path(path, each["metadata"]):
                    return web.json_response(each)
        return web.Response(status=404)


def _path(listed: str, metadata: dict[str, Any]) -> str:
    root, _, plural = listed.rpartition("/")
    where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{root}{where}/{plural}/{metadata['name']}"


def task(name: str = "t") -> dict[str, Any]:
    metadata = {"namespace": "support", "name": name, "uid": f"u-{name}", "resourceVersion": "3"}
    return {"metadata": metadata, "spec": {}, "status": {}}


def pod(name: str) -> dict[str, Any]:
    labels = {TASK_LABEL: "t"}
    metadata = {"namespace": "support", "name": name, "uid": f"u-{name}", "resourceVersion": "3"}
    return {"metadata": {**metadata, "labels": labels}, "spec": {}, "status": {}}


class Scene:
    """A world, policies, and a sweep over both.

    Attributes:
        in_force: Of how many policies a text was in force each time that a task was to be looked at.
    """

    def __init__(self, connection: Connection, *namespaces: str) -> None:
        self.in_force: list[int] = []
        self.findings: list[str] = []
        self.shown: list[asyncio.Future[None]] = []
        self.installed = Installed()
        self.world = World(self._looked_at, lambda: _NOW)
        reads = Reads(connection)
        self.policy_intake = PolicyIntake(self.installed.policies, reads)
        self.running = asyncio.create_task(self.policy_intake.run())
        self.intake = Intake(self.world, self.policy_intake, reads)
        self.sweep = Sweep(
            connection=connection,
            reads=reads,
            world=self.world,
            policies=self.installed.policies,
            intake=self.intake,
            namespaces=namespaces,
            on_finding=lambda plural, _: self.findings.append(plural),
        )

    def _looked_at(self, _: Key) -> None:
        self.in_force.append(sum(each.in_force is not None for each in self.installed.policies.installed()))

    def takes(self, kind: Resource, event: str, body: dict[str, Any]) -> None:
        """Have a watch show something."""
        if kind is PODS:
            self.shown.append(asyncio.ensure_future(self.intake.pod(event, body)))
        elif kind in {CLUSTER_AGENT_POLICIES, AGENT_POLICIES}:
            self.intake.policy(kind, event, body)
        else:
            {TASKS: self.intake.task, AGENTS: self.intake.agent, APPROVALS: self.intake.approval}[kind](
                event, body
            )

    def knows(self, kind: Resource) -> set[str]:
        return set(Known(self.world, self.installed.policies).all(kind))

    def known(self) -> set[tuple[str, str]]:
        return {(each.source, each.namespace) for each in self.installed.policies.installed()}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def connection(server: Server, tmp_path: Path) -> AsyncIterator[Connection]:
    async with (
        serving(server.handle, tmp_path) as kubeconfig,
        Connection.open(kubeconfig, time.monotonic) as connection,
    ):
        yield connection


async def test_all_policies_are_in_force_before_a_task_is_taken_in(
    server: Server, connection: Connection
) -> None:
    cluster = [policy(PERMIT, name=f"p-{number}", uid=f"c-{number}") for number in range(5)]
    server.put(CLUSTER_AGENT_POLICIES, *cluster)
    server.put(AGENT_POLICIES, policy(FORBID, namespace="support", name="own", uid="n-1"))
    server.put(TASKS, task())
    scene = Scene(connection)
    await scene.sweep.take_everything()
    assert scene.in_force
    assert set(scene.in_force) == {6}
    assert server.lists == [resource.path(None) for resource in _KINDS]


async def test_policies_of_the_cluster_are_listed_whole_and_others_in_each_namespace(
    server: Server, connection: Connection
) -> None:
    await Scene(connection, "a", "b").sweep.take_everything()
    assert server.lists == [
        CLUSTER_AGENT_POLICIES.path(None),
        *(resource.path(where) for resource in _KINDS[1:] for where in ("a", "b")),
    ]


async def test_view_is_whole_once_all_is_listed_and_behind_where_a_watch_has_begun_anew_meanwhile(
    server: Server, connection: Connection
) -> None:
    server.put(TASKS, task())
    scene = Scene(connection)
    for _ in watched_paths(()):
        scene.sweep.request()
    await scene.sweep.take_everything()
    assert not scene.sweep.behind
    server.while_listed = lambda _: scene.sweep.request()
    await scene.sweep.take_everything()
    assert scene.sweep.behind
    server.while_listed = lambda _: None
    sweeping = asyncio.create_task(scene.sweep.run(3600))
    async with asyncio.timeout(10):
        while scene.sweep.behind:  # noqa: ASYNC110 - it is a plain attribute
            await asyncio.sleep(0)
    sweeping.cancel()


async def test_view_is_behind_where_a_watch_has_begun_anew_before_all_is_listed(
    server: Server, connection: Connection
) -> None:
    server.put(TASKS, task())
    scene = Scene(connection, "a", "b")
    for _ in (*watched_paths(("a", "b")), "one of them again"):
        scene.sweep.request()
    await scene.sweep.take_everything()
    assert scene.sweep.behind, "what it had shown may be gone since"


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.kind)
async def test_what_a_watch_shows_to_be_gone_while_all_is_listed_is_not_taken_in_from_a_page_of_before(
    server: Server, connection: Connection, kind: Resource
) -> None:
    each = {CLUSTER_AGENT_POLICIES: policy(PERMIT), AGENT_POLICIES: policy(PERMIT, namespace="support")}
    there = {**each, TASKS: task(), PODS: pod("p")}.get(kind, task())
    server.put(kind, there)
    scene = Scene(connection)

    def goes(path: str) -> None:
        # It is gone by now, but still in the page that is being sent.
        if path == kind.path(None):
            server.put(kind)
            scene.takes(kind, DELETED, there)

    server.while_listed = goes
    await scene.sweep.take_everything()
    await asyncio.gather(*scene.shown)
    assert scene.knows(kind) == set()
    server.while_listed = lambda _: None
    server.put(kind, there)
    another = Scene(connection)
    await another.sweep.take_everything()
    assert another.knows(kind) == {there["metadata"]["uid"]}


@pytest.mark.parametrize("kind", _KINDS[:2], ids=lambda kind: kind.kind)
async def test_nothing_is_whole_without_its_policies(
    server: Server, connection: Connection, kind: Resource
) -> None:
    server.put(TASKS, task())
    server.refused = kind.path(None)
    scene = Scene(connection)
    with pytest.raises(ApiAnswerError):
        await scene.sweep.take_everything()
    assert scene.in_force == []


@contextmanager
def finds(scene: Scene, *plurals: str) -> Iterator[None]:
    """Check what is found in the block."""
    scene.findings.clear()
    yield
    assert scene.findings == list(plurals)


async def test_sweep_finds_what_no_watch_showed_of_policies(server: Server, connection: Connection) -> None:
    scene = Scene(connection)
    own = policy(PERMIT, namespace="support", name="own", uid="n-1")
    server.put(CLUSTER_AGENT_POLICIES, policy(PERMIT, uid="c-1"))
    server.put(AGENT_POLICIES, own)
    with finds(scene, "clusteragentpolicies", "agentpolicies"):
        assert await scene.sweep.once() == 2
    assert scene.known() == {("ClusterAgentPolicy/default", ""), ("AgentPolicy/own", "support")}
    with finds(scene):
        assert await scene.sweep.once() == 0
    server.put(CLUSTER_AGENT_POLICIES, policy(FORBID, uid="c-1", version=2, generation=2))
    with finds(scene, "clusteragentpolicies"):
        await scene.sweep.once()
    found = scene.installed.policies.find("c-1")
    assert found is not None
    assert found.in_force is not None
    assert found.in_force.text == FORBID
    server.put(AGENT_POLICIES)
    with finds(scene, "agentpolicies"):
        await scene.sweep.once()
    assert scene.known() == {("ClusterAgentPolicy/default", "")}
    assert scene.installed.changed == [None, "support", None, "support"]


async def test_sweep_finds_approvals_that_came_and_went_unseen(
    server: Server, connection: Connection
) -> None:
    scene = Scene(connection)
    metadata = {"namespace": "support", "name": "yes", "uid": "a-1", "resourceVersion": "3"}
    said = {"metadata": metadata, "spec": {"taskRef": {"name": "t", "uid": "u-t"}}}
    server.put(APPROVALS, said)
    with finds(scene, "agentapprovals"):
        await scene.sweep.once()
    assert [each.name for each in scene.world.approvals.of(("support", "t"))] == ["yes"]
    with finds(scene):
        await scene.sweep.once()
    server.put(APPROVALS)
    with finds(scene, "agentapprovals"):
        await scene.sweep.once()
    assert scene.world.approvals.of(("support", "t")) == []


async def test_sweep_finds_another_policy_of_the_same_name(server: Server, connection: Connection) -> None:
    scene = Scene(connection)
    await scene.installed.take(policy(PERMIT, uid="c-1"))
    server.put(CLUSTER_AGENT_POLICIES, policy(BROKEN, uid="c-2", version=8))
    await scene.sweep.once()
    assert [(each.uid, each.in_force) for each in scene.installed.policies.installed()] == [("c-2", None)]
    with finds(scene):
        await scene.sweep.once()


async def test_policies_of_both_kinds_do_not_take_each_others_place(
    server: Server, connection: Connection
) -> None:
    server.put(CLUSTER_AGENT_POLICIES, policy(PERMIT, uid="c-1"))
    server.put(AGENT_POLICIES, policy(FORBID, namespace="support", uid="n-1"))
    scene = Scene(connection)
    await scene.sweep.take_everything()
    with finds(scene):
        await scene.sweep.once()
    assert scene.known() == {("ClusterAgentPolicy/default", ""), ("AgentPolicy/default", "support")}


async def test_each_doubtful_object_is_looked_up_and_not_searched_for_among_all(
    server: Server, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, searches = World.records, []

    def records(world: World) -> Iterator[tuple[Key, Record]]:
        searches.append(1)
        return everything(world)

    monkeypatch.setattr(World, "records", records)
    scene = Scene(connection)
    await scene.sweep.once()
    before = len(searches)
    server.put(TASKS, *(task(name=f"t-{number}") for number in range(20)))
    server.put(PODS, *(pod(f"p-{number}") for number in range(20)))
    with finds(scene, "agenttasks", "pods"):
        assert await scene.sweep.once() == 40
    assert len(searches) == 2 * before
    server.put(TASKS)
    server.put(PODS)
    with finds(scene, "agenttasks", "pods"):
        assert await scene.sweep.once() == 40


async def test_the_heartbeat_is_neither_taken_in_nor_found(server: Server, connection: Connection) -> None:
    server.put(TASKS, task(HEARTBEAT), task())
    scene = Scene(connection)
    await scene.sweep.take_everything()
    assert scene.knows(TASKS) == {"u-t"}
    assert await scene.sweep.once() == 0
    assert scene.findings == []
