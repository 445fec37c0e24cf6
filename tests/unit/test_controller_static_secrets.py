"""What is known of static secrets: read for who asks, again at intervals, and never kept."""

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from structlog.testing import capture_logs

from agentid.api.agentsecret import AgentSecretSpec, SecretSource
from agentid.cluster.errors import ConnectionLostError, ForbiddenError, UnusableSourceError
from agentid.cluster.reflector import Reflector
from agentid.cluster.sources import Sources, Value
from agentid.controller.metrics import Metrics
from agentid.controller.static_secrets import StaticSecrets, declared_spec
from agentid.lifecycle.model import StaticSecretFacts
from tests.unit.lifecycle_facts import secret_spec

NAME = "legacy-crm-key"
VALUE = b"hunter2-of-the-crm"


class Declared(Reflector[AgentSecretSpec | None]):
    """AgentSecrets as the watch has shown them, and as they are."""

    def __init__(self) -> None:
        self.shown: dict[str, AgentSecretSpec | None] = {NAME: secret_spec()}
        self.really: dict[str, AgentSecretSpec | None] | None = None
        self.looks: list[str] = []

    def get(self, name: str) -> AgentSecretSpec | None:
        return self.shown.get(name)

    def items(self) -> Iterator[tuple[str, AgentSecretSpec | None]]:
        return iter(list(self.shown.items()))

    async def look(self, name: str) -> None:
        self.looks.append(name)
        if self.really is None:
            raise ConnectionLostError("no answer")
        self.shown = self.really


class Kept(Sources):
    """Sources whose one value is `content`, or a reason why there is none."""

    def __init__(self) -> None:
        self.content: bytes | Exception = VALUE
        self.version = "aa01"
        self.read_keys: list[str] = []
        self.held: asyncio.Event | None = None

    async def read(self, source: SecretSource) -> Value:
        self.read_keys.append(source.key)
        content, version = self.content, self.version
        await (asyncio.sleep(0) if self.held is None else self.held.wait())
        if isinstance(content, Exception):
            raise content
        return Value(content, version)


class Scene:
    """Static secrets of an operator that leads, with one that a task asks for."""

    def __init__(self) -> None:
        self.sources, self.declared, self.metrics = Kept(), Declared(), Metrics()
        self.now, self.leads, self.used = 1000.0, True, {NAME}
        self.told: list[str] = []
        self.secrets = StaticSecrets(
            self.sources,
            self.metrics,
            declared=lambda _: self.declared,
            used=lambda: self.used,
            changed=self.told.append,
            leads=lambda: self.leads,
            interval_seconds=60,
            clock=lambda: self.now,
        )

    async def facts(self, *, started: bool = False) -> tuple[StaticSecretFacts, str | None]:
        (found,), blocked = await self.secrets.facts([NAME], started=started)
        return found, blocked.message if blocked else None

    async def later(self, seconds: float) -> None:
        self.now += seconds
        await self.secrets.read_again()


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_source_is_read_for_the_first_who_asks_and_not_for_the_next(scene: Scene) -> None:
    first, *others = await asyncio.gather(*(scene.facts() for _ in range(5)))

    assert first == (StaticSecretFacts(NAME, secret_spec(), "aa01"), None)
    assert others == [first] * 4
    assert scene.sources.read_keys == ["token"]
    assert scene.told == []


async def test_source_is_read_again_each_minute_while_a_task_asks_for_it(scene: Scene) -> None:
    await scene.facts()
    await scene.later(30)
    assert len(scene.sources.read_keys) == 1
    await scene.later(30)
    assert len(scene.sources.read_keys) == 2
    scene.used = set()
    await scene.later(60)
    assert len(scene.sources.read_keys) == 2


async def test_what_no_task_asks_for_is_forgotten_and_read_anew_for_the_next(scene: Scene) -> None:
    await scene.facts()
    scene.used = set()
    await scene.later(1)
    await scene.facts()
    assert len(scene.sources.read_keys) == 2


async def test_rotation_is_told_to_the_tasks_that_ask_for_it(scene: Scene) -> None:
    await scene.facts()
    scene.sources.version = "bb02"

    await scene.later(60)

    assert scene.told == [NAME]
    assert (await scene.facts())[0].version == "bb02"
    await scene.later(60)
    assert scene.told == [NAME]


async def test_another_source_in_the_agent_secret_is_read_at_once(scene: Scene) -> None:
    await scene.facts()
    scene.declared.shown[NAME] = secret_spec(source={"secretName": "legacy-crm", "key": "next"})

    await scene.facts()

    assert scene.sources.read_keys == ["token", "next"]


async def test_unusable_source_is_a_problem_that_is_looked_at_again_soon(scene: Scene) -> None:
    scene.sources.content = UnusableSourceError("is not there")

    found, blocked = await scene.facts()

    assert (blocked, found.version) == (None, None)
    assert found.problem == (
        "static secret legacy-crm-key can't be copied: its source is not there. Have the platform team look "
        "at AgentSecret legacy-crm-key."
    )
    scene.sources.content = VALUE
    await scene.later(5)
    assert scene.told == [NAME]
    assert (await scene.facts())[0].problem is None


@pytest.mark.parametrize("error", [ConnectionLostError("no answer"), ForbiddenError("403")])
async def test_source_that_nobody_can_say_anything_of_only_keeps_from_issuing(
    scene: Scene, error: Exception
) -> None:
    await scene.facts()
    scene.sources.content = error
    await scene.later(60)

    found, blocked = await scene.facts()

    assert (found.version, found.problem) == (None, None)
    assert blocked is not None
    assert blocked.startswith(
        "static secret legacy-crm-key can't be copied just now: its source can't be read."
    )
    assert scene.told == [NAME]


async def test_agent_secret_that_a_running_task_needs_is_looked_for_before_its_absence_counts(
    scene: Scene,
) -> None:
    scene.declared.shown, scene.declared.really = {}, {NAME: secret_spec()}

    assert (await scene.facts())[0].spec is None
    assert scene.declared.looks == []
    assert (await scene.facts(started=True))[0].spec == secret_spec()


async def test_absence_that_cannot_be_looked_at_is_not_believed(scene: Scene) -> None:
    scene.declared.shown = {}

    with pytest.raises(ConnectionLostError):
        await scene.facts(started=True)


async def test_copies_are_what_is_there_now(scene: Scene) -> None:
    found, _ = await scene.facts()
    scene.sources.content, scene.sources.version = b"rotated", "bb02"

    copies = await scene.secrets.copies([found])

    assert copies is not None
    assert copies.files == {NAME: b"rotated"}
    assert [(each.name, each.version) for each in copies.held] == [(NAME, "bb02")]
    assert "rotated" not in repr(copies)
    assert scene.told == [NAME], "others have the value before"


async def test_answer_that_was_overtaken_by_a_later_read_does_not_count(scene: Scene) -> None:
    found, _ = await scene.facts()
    scene.sources.held = held = asyncio.Event()
    slow = asyncio.create_task(scene.secrets.copies([found]))
    await asyncio.sleep(0)
    scene.sources.held, scene.sources.version = None, "bb02"
    await scene.later(60)
    held.set()

    copies = await slow

    assert copies is not None
    assert copies.held[0].version == "aa01", "which is told to be another one than there is, and copied anew"
    assert (await scene.facts())[0].version == "bb02"
    assert scene.told == [NAME]


async def test_no_copy_is_made_of_what_cannot_be_read_and_the_reason_is_known_then(scene: Scene) -> None:
    found, _ = await scene.facts()
    scene.sources.content = UnusableSourceError("is empty under its key")

    assert await scene.secrets.copies([found]) is None
    assert (await scene.facts())[0].problem is not None


async def test_no_value_is_kept_told_or_logged(scene: Scene) -> None:
    with capture_logs() as logs:
        found, _ = await scene.facts()
        scene.sources.version = "bb02"
        await scene.later(60)
        scene.sources.content = UnusableSourceError("is not there")
        await scene.later(60)
        await scene.facts()

    assert [each["event"] for each in logs] == ["static secret changed", "static secret not readable"]
    assert "hunter2" not in str(logs)
    assert "hunter2" not in repr(found)
    assert "hunter2" not in str(vars(scene.secrets))
    assert "agentid_static_secret_read_failures_total 1.0" in scene.metrics.text().decode()


async def test_after_a_time_without_leading_nothing_known_before_counts(scene: Scene) -> None:
    await scene.facts()
    scene.now += 200

    await scene.facts()

    assert len(scene.sources.read_keys) == 2


async def test_standby_reads_nothing(scene: Scene) -> None:
    await scene.facts()
    scene.leads = False
    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        scene.now += 60
        if turns > 3:
            scene.leads = True
        if turns > 4:
            raise asyncio.CancelledError

    scene.secrets._sleep = sleep  # noqa: SLF001 - the one thing that a run waits for
    with pytest.raises(asyncio.CancelledError):
        await scene.secrets._keep_reading()  # noqa: SLF001 - without its watch
    assert len(scene.sources.read_keys) == 2


def test_names_of_a_namespace_are_those_that_its_agents_may_have(scene: Scene) -> None:
    scene.declared.shown["payments"] = secret_spec(agents=[{"namespace": "sales", "name": "refund-agent"}])
    scene.declared.shown["unreadable"] = None

    assert scene.secrets.names_in("support") == (NAME,)
    assert scene.secrets.names_in("elsewhere") == ()


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"name": NAME}, "spec": {"source": {}}},
        {"metadata": {"name": NAME}},
        {"metadata": {"name": NAME, "deletionTimestamp": "2026-05-31T14:00:00Z"}, "spec": {}},
    ],
    ids=["unreadable", "no spec", "going"],
)
def test_agent_secret_that_cannot_be_read_or_is_going_is_none(body: dict[str, object]) -> None:
    assert declared_spec(body) is None


def test_agent_secret_is_what_it_says() -> None:
    body = {"metadata": {"name": NAME}, "spec": secret_spec().model_dump(by_alias=True)}

    assert declared_spec(body) == secret_spec()
    assert cast("Callable[[object], object]", declared_spec)({"metadata": None, "spec": None}) is None
