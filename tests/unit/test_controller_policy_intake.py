"""Which policy is looked through next, when a layer is made, and that the event loop waits for neither."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentid.cluster.errors import ConnectionLostError
from agentid.cluster.paths import Resource
from agentid.policy.accept import AcceptedPolicy, accept
from agentid.policy.layer import Layer
from agentid.policy.load import NAMESPACE_LIMIT
from agentid.watched import installed_policy, policies
from agentid.watched.policy_intake import PolicyIntake
from tests.unit.policy_objects import BROKEN, FORBID, PERMIT, PERMIT_ALL, Installed, policy, resource_of

LIMIT_SECONDS = 20
LARGE = f"{PERMIT_ALL}//{'x' * 40_000}\n"


@dataclass
class Reads:
    """Answers with what is there, after as many failures as it is told."""

    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: int = 0

    async def get(self, _: Resource, __: str | None, name: str) -> Mapping[str, Any] | None:
        if self.failures:
            self.failures -= 1
            raise ConnectionLostError("no answer")
        return self.there.get(name)


class Scene:
    """A policy intake that runs, a clock that stands still, and texts that are held while they are looked at.

    Attributes:
        seen: The texts that were looked through, in their order.
        held: A text with this in it waits for `go`.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.installed = Installed()
        self.reads = Reads()
        self.intake = PolicyIntake(
            self.installed.policies,
            self.reads,  # type: ignore[arg-type] - all that is used of Reads
            clock=lambda: self.now,
            randomness=lambda: 0.0,
        )
        self.seen: list[str] = []
        self.go = threading.Event()
        self.held = "// held"

    def accept(self, source: str, text: str) -> AcceptedPolicy:
        self.seen.append(source)
        if self.held in text:
            assert self.go.wait(LIMIT_SECONDS)
        return accept(source, text)

    def take(
        self, name: str, cedar: str = PERMIT, namespace: str | None = "support", version: int = 1
    ) -> None:
        body = policy(cedar, name=name, namespace=namespace, uid=f"u-{name}", version=version)
        self.reads.there[name] = body
        self.intake.take(resource_of(body), body)

    def drop(self, name: str) -> None:
        body = self.reads.there.pop(name)
        self.intake.drop(resource_of(body), "support", name, body["metadata"]["uid"])

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.001)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    scene = Scene()
    monkeypatch.setattr(installed_policy, "accept", scene.accept)
    running = asyncio.create_task(scene.intake.run())
    yield scene
    scene.go.set()
    running.cancel()


async def test_platforms_policy_does_not_wait_for_texts_of_tenants(scene: Scene) -> None:
    for number in range(5):
        scene.take(f"t{number}", f"{PERMIT}// held\n")
    await scene.until(lambda: len(scene.seen) == 1)
    scene.take("freeze", FORBID, namespace=None)
    await scene.until(lambda: scene.installed.policies.cluster.sources == ("ClusterAgentPolicy/freeze",))
    assert scene.seen == ["AgentPolicy/t0", "ClusterAgentPolicy/freeze"]


async def test_namespaces_take_turns(scene: Scene) -> None:
    scene.take("first", f"{PERMIT}// held\n")
    await scene.until(lambda: len(scene.seen) == 1)
    for number in range(3):
        scene.take(f"t{number}")
    scene.take("other", namespace="other")
    scene.go.set()
    await scene.intake.settled()
    assert scene.seen.index("AgentPolicy/other") <= 2


async def test_of_many_versions_the_newest_is_looked_through(scene: Scene) -> None:
    scene.take("first", f"{PERMIT}// held\n")
    await scene.until(lambda: len(scene.seen) == 1)
    for version in range(1, 50):
        scene.take("own", f"{PERMIT}//{version}\n", version=version)
    scene.take("own", FORBID, version=7)
    scene.go.set()
    await scene.intake.settled()
    assert scene.seen == ["AgentPolicy/first", "AgentPolicy/own"]
    found = scene.installed.policies.find("u-own")
    assert found is not None
    assert found.version == 49


async def test_texts_that_wait_are_no_more_than_a_namespace_may_have(scene: Scene) -> None:
    scene.take("first", f"{PERMIT}// held\n")
    await scene.until(lambda: len(scene.seen) == 1)
    for number in range(200):
        scene.take(f"t{number}")
    assert len(scene.intake._slots) <= NAMESPACE_LIMIT.objects  # noqa: SLF001 - what takes room
    scene.go.set()
    await scene.intake.settled()
    kept = [each for each in scene.installed.policies.installed() if not each.is_beyond]
    assert len(kept) == NAMESPACE_LIMIT.objects
    assert scene.installed.policies.of("support").too_large


async def test_all_that_was_taken_in_is_in_force_when_it_is_settled(scene: Scene) -> None:
    for number in range(10):
        scene.take(f"t{number}", namespace=f"n{number % 3}")
    scene.take("base", namespace=None)
    await scene.intake.settled()
    layers = [scene.installed.policies.of(f"n{number}") for number in range(3)]
    assert sorted(len(each.rules) for each in layers) == [3, 3, 4]
    assert len(scene.installed.policies.cluster.rules) == 1
    assert not scene.installed.policies.stale


async def test_what_there_is_room_for_at_last_is_read_again_however_often_that_fails(scene: Scene) -> None:
    scene.take("one", LARGE)
    scene.take("two", LARGE)
    await scene.intake.settled()
    assert scene.installed.policies.of("support").too_large
    scene.reads.failures = 2
    scene.drop("one")
    await scene.until(lambda: scene.installed.policies.of("support").sources == ("AgentPolicy/two",))
    await scene.until(lambda: not scene.installed.policies.of("support").too_large)
    assert scene.reads.failures == 0


async def test_room_that_a_refused_text_does_not_take_is_for_the_next_that_waits(scene: Scene) -> None:
    scene.take("large", f"{PERMIT_ALL}//{'x' * 50_000}\n")
    for name in ("first", "second"):
        scene.take(name, PERMIT_ALL)
    await scene.intake.settled()
    scene.take("first", f"{BROKEN}//{'x' * 40_000}\n", version=2)
    scene.take("second", f"{FORBID}//{'x' * 30_000}\n", version=2)
    await scene.intake.settled()
    assert [each.name for each in scene.installed.policies.installed() if each.waits] == ["first", "second"]
    # Now there is room for either of them, and the first is read, refused and takes none.
    scene.drop("large")
    await scene.until(lambda: not any(each.waits for each in scene.installed.policies.installed()))
    await scene.intake.settled()
    first, second = (scene.installed.policies.named("support", name) for name in ("first", "second"))
    assert first is not None
    assert "`nope` on entity type `Task` not found" in first.refusal
    assert second is not None
    assert second.refusal == ""


async def test_layer_is_made_in_a_thread_and_the_one_before_holds_so_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.take("own", PERMIT)
    await scene.intake.settled()
    before, made, go = scene.installed.policies.of("support"), threading.Event(), threading.Event()
    of = Layer.of

    def late(*of_what: Any) -> Layer:  # noqa: ANN401 - in place of Layer.of
        made.set()
        assert go.wait(LIMIT_SECONDS)
        return of(*of_what)

    monkeypatch.setattr(policies.Layer, "of", late)
    scene.take("own", FORBID, version=2)
    await scene.until(made.is_set)
    assert scene.installed.policies.of("support") is before
    go.set()
    await scene.intake.settled()
    assert scene.installed.policies.of("support") is not before


async def test_layer_of_a_namespace_is_made_a_twentieth_of_the_time_and_the_clusters_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, made = Layer.of, []

    def slow(*of_what: Any) -> Layer:  # noqa: ANN401 - in place of Layer.of
        made.append(scene.now)
        scene.now += 1.0
        return of(*of_what)

    monkeypatch.setattr(policies.Layer, "of", slow)
    loop, pauses = asyncio.get_running_loop(), []

    def call_later(seconds: float, function: Callable[..., object], *arguments: object) -> None:
        pauses.append(seconds)
        scene.now += seconds
        function(*arguments)

    monkeypatch.setattr(loop, "call_later", call_later)
    scene.take("own")
    await scene.intake.settled()
    scene.take("own", FORBID, version=2)
    await scene.intake.settled()
    assert made == [0.0, 21.0]
    assert pauses == [20.0]
    for version in (1, 2):
        scene.take("base", (PERMIT, FORBID)[version - 1], namespace=None, version=version)
        await scene.intake.settled()
    assert pauses == [20.0]
