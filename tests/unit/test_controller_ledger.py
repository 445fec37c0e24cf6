"""A takeover reads and checks the ledger, records what was left unrecorded, and goes on; upkeep bounds it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from agentid.cluster.errors import ConflictError, ServerError
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.paths import TASKS, Resource
from agentid.cluster.reads import Reads
from agentid.controller.errors import NotLeadingError
from agentid.controller.ledger import Ledger
from agentid.controller.ledger_followers import Follower
from agentid.controller.ledger_upkeep import LedgerUpkeep
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.metrics import Metrics
from agentid.controller.unrecorded import Comparison
from agentid.controller.world import World
from agentid.ledger.batch import Batch
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.finding import Finding
from agentid.ledger.inventory import Inventory
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import Record
from agentid.ledger.retention import KeptBatch, Retention
from tests.unit.ledger_batches import ended, issued, record
from tests.unit.ledger_store_in_memory import KeysInMemory, StoreInMemory

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000001"
_OTHER_UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000002"
_LIMIT_SECONDS = 10


class Scene:
    """One ledger and those who lead in turn."""

    def __init__(self) -> None:
        self.store, self.keys, self.now = StoreInMemory(), KeysInMemory(), _NOW
        self.delivered = 10**9
        self.world = World(lambda _: None, lambda: self.now)
        self.nonces = count()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.followers: list[Follower] = []
        self.on_get: Callable[[], None] = lambda: None

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """What the API server says of a task."""
        assert (resource, namespace) == (TASKS, "support")
        self.on_get()
        return self.tasks.get(name)

    def operator(self) -> tuple[Ledger, LedgerUpkeep, LedgerWriter]:
        """The ledger as a process that has just started knows it."""
        store, keys = cast("LedgerStore", self.store), cast("LedgerKeyStore", self.keys)
        retention = Retention(timedelta(hours=1), 10**9)

        def written(batch: Batch, uid: str) -> None:
            retention.add(KeptBatch.of(batch, uid, [Record.parse(each) for each in batch.records]))
            upkeep.written(batch)

        writer = LedgerWriter(
            store,
            writer="operator-1",
            clock=lambda: self.now,
            monotonic=lambda: 0.0,
            randomness=lambda: 0.0,
            nonce=lambda: f"{next(self.nonces):032x}",
            on_written=written,
            worth_waiting_for=lambda: 0,
            metrics=Metrics(),
        )
        upkeep = LedgerUpkeep(
            store,
            keys,
            writer,
            retention,
            clock=lambda: self.now,
            delivered=lambda: self.delivered,
            key_life=timedelta(days=90),
        )
        ledger = Ledger(
            store,
            keys,
            writer,
            upkeep,
            retention,
            self.world,
            cast("Reads", self),
            self.followers,
            trust_domain="example.org",
            clock=lambda: self.now,
        )
        return ledger, upkeep, writer

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[tuple[Ledger, LedgerUpkeep]]:
        """An operator that has just taken over, and all that it had to record is recorded."""
        ledger, upkeep, writer = self.operator()
        run = asyncio.create_task(ledger.run())
        ledger.take_over()
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                while writer.head is None and ledger.blocked is None:  # noqa: ASYNC110 - plain attributes
                    await asyncio.sleep(0)
                await ledger.drain()
                yield ledger, upkeep
        finally:
            run.cancel()

    async def wrote(self, *records: bytes) -> None:
        """What an operator recorded before it was ended."""
        async with self.leading() as (ledger, _):
            for each in records:
                ledger.note(each)
            await ledger.drain()

    def kinds(self) -> list[str]:
        return [each.kind for each in self.store.records()]

    def findings(self) -> list[Finding]:
        """What somebody finds who has the key that signs now."""
        stored = self.keys.stored
        assert stored is not None
        known = KnownHead.from_json(stored.head) if stored.head else None
        chain = ChainVerifier(keys=[LedgerKey.from_pem(stored.current).public], known=known)
        found = [
            finding
            for name, each in sorted(self.store.kept.items())
            for finding in chain.feed(name, each["spec"]).findings
        ]
        return [*found, *chain.finish()[1]]

    def task(self, uid: str = _UID, *serials: str, finished: str | None = None, watched: bool = True) -> None:
        """There is a task, as its status says; where it is not `watched`, no watch has shown it yet."""
        conditions = [
            {
                "type": "Finished",
                "status": "False" if finished is None else "True",
                "reason": finished or "Running",
                "message": "so it is",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-05-31T14:00:00Z",
            }
        ]
        credentials = [
            {
                "generation": number,
                "serial": serial,
                "notBefore": "2026-05-31T14:00:00Z",
                "notAfter": "2026-05-31T14:05:00Z",
            }
            for number, serial in enumerate(serials, start=1)
        ]
        metadata = {"name": "refund", "namespace": "support", "uid": uid, "resourceVersion": "5"}
        status: dict[str, Any] = {"conditions": conditions, "credentials": credentials}
        self.tasks["refund"] = {
            "metadata": {**metadata, "creationTimestamp": "2026-05-31T13:59:00Z"},
            "status": status,
        }
        if watched:
            self.world.take_task(self.tasks["refund"])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _issued(serial: str = "0a") -> bytes:
    return issued(serial, ends=300, uid=_UID, task="refund")


async def test_ledger_begins_with_the_key_that_signs_it(scene: Scene) -> None:
    await scene.wrote(record())
    assert scene.kinds() == ["ledgerStarted", "denied"]
    assert scene.findings() == []


async def test_whoever_comes_next_goes_on_with_it(scene: Scene) -> None:
    await scene.wrote(record())
    await scene.wrote(record())
    assert scene.kinds() == ["ledgerStarted", "denied", "denied"]
    assert scene.findings() == []


async def test_what_was_recorded_and_is_in_no_status_is_revoked_before_anything_else(scene: Scene) -> None:
    await scene.wrote(_issued("0a"), _issued("0b"))
    scene.task(_UID, "0b")
    await scene.wrote(record())
    *_, revoked, other = scene.store.records()
    assert (revoked.kind, revoked.text("uid"), other.kind) == ("revoked", _UID, "denied")
    assert [serial for serial, _ in revoked.revoked()] == ["0a"]
    await scene.wrote()
    assert scene.kinds().count("revoked") == 1, "once"


async def test_end_that_was_not_recorded_is_recorded_as_the_status_says_it(scene: Scene) -> None:
    await scene.wrote(_issued())
    scene.task(finished="Completed")
    await scene.wrote()
    *_, ended = scene.store.records()
    assert (ended.kind, ended.text("reason"), ended.text("message")) == ("ended", "Completed", "so it is")
    assert [serial for serial, _ in ended.revoked()] == ["0a"]
    await scene.wrote()
    assert scene.kinds().count("ended") == 1, "once"


@pytest.mark.parametrize("there", [None, "5b0c3a3e-3a33-4b4b-9c9c-000000000002"], ids=["gone", "another"])
async def test_task_that_is_gone_without_a_record_has_ended(scene: Scene, there: str | None) -> None:
    await scene.wrote(_issued())
    if there is not None:
        scene.task(there, "0a")
    await scene.wrote()
    *_, ended = scene.store.records()
    assert (ended.kind, ended.text("uid"), ended.text("reason")) == ("ended", _UID, "Deleted")


async def test_task_that_goes_on_as_recorded_is_not_recorded_again(scene: Scene) -> None:
    await scene.wrote(_issued())
    scene.task(_UID, "0a")
    await scene.wrote()
    assert scene.kinds() == ["ledgerStarted", "issued"]


async def test_beginning_that_came_into_no_status_is_said_to_be_none_though_its_credential_is_past(
    scene: Scene,
) -> None:
    await scene.wrote(_issued())
    scene.now += timedelta(hours=1)
    scene.task()
    await scene.wrote()
    revoked = scene.store.records()[-1]
    assert (revoked.kind, revoked.text("uid"), revoked.time("started")) == ("revoked", _UID, None)
    await scene.wrote()
    assert scene.kinds().count("revoked") == 1, "once"


async def test_end_that_is_recorded_and_no_watch_has_shown_is_known(scene: Scene) -> None:
    await scene.wrote(_issued(), record("ended", uid=_UID))
    async with scene.leading() as (ledger, _):
        assert not ledger.has_ended(_UID), "only what seems to go on matters"
    scene.task(_UID, "0a")
    async with scene.leading() as (ledger, _):
        assert ledger.has_ended(_UID)
        assert ledger.is_read
        ledger.step_down()
        assert not ledger.is_read


async def test_what_an_end_did_not_name_is_revoked_by_whoever_leads_next(scene: Scene) -> None:
    await scene.wrote(_issued(), ended(10, uid=_UID, task="refund"))
    await scene.wrote()
    revoked = scene.store.records()[-1]
    assert (revoked.kind, revoked.text("uid")) == ("revoked", _UID)
    assert [serial for serial, _ in revoked.revoked()] == ["0a"]
    await scene.wrote()
    assert scene.kinds().count("revoked") == 1, "once"


async def test_what_only_a_watch_that_is_behind_does_not_show_is_no_loss(scene: Scene) -> None:
    await scene.wrote(_issued())
    scene.task(_UID, "0a", watched=False)
    await scene.wrote()
    assert scene.kinds() == ["ledgerStarted", "issued"]


async def test_what_is_lost_while_others_are_looked_at_is_recorded(scene: Scene) -> None:
    await scene.wrote(_issued(), issued("0b", ends=300, uid=_OTHER_UID, task="other"))
    scene.task(_UID, "0a")

    def lose() -> None:
        scene.tasks["refund"]["metadata"]["resourceVersion"] = "6"
        scene.tasks["refund"]["status"]["credentials"] = []
        scene.world.take_task(scene.tasks["refund"])

    scene.on_get = lose
    await scene.wrote()
    found = {each.text("uid"): each.kind for each in scene.store.records()[3:]}
    assert found == {_UID: "revoked", _OTHER_UID: "ended"}


async def test_everybody_else_has_turns_while_thousands_of_tasks_are_compared(scene: Scene) -> None:
    inventory, world, turns = Inventory(_NOW), scene.world, 0
    for number in range(1000):
        uid = f"5b0c3a3e-3a33-4b4b-9c9c-{number:012d}"
        inventory.feed([Record.parse(issued(f"{number:04x}", ends=300, uid=uid, task=f"t{number}"))])
        scene.task(uid, f"{number:04x}", watched=False)
        scene.tasks["refund"]["metadata"]["name"] = f"t{number}"
        world.take_task(scene.tasks["refund"])

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    comparison = Comparison(inventory, world)
    await comparison.look(cast("Reads", scene), _NOW)
    counting.cancel()
    assert turns >= 5
    assert [*comparison.unrecorded(_NOW)] == []


def _without(scene: Scene, name: str) -> None:
    del scene.store.kept[f"{int(name):016d}"]


def _edited(scene: Scene, name: str) -> None:
    spec = scene.store.kept[f"{int(name):016d}"]["spec"]
    spec["records"] = spec["records"].replace("denied", "issued")


@pytest.mark.parametrize(
    ("tamper", "which", "says"),
    [
        (_without, "2", "batch 2: removed"),
        (_edited, "2", "batch 2: edited"),
        (_without, "1", "batch 2: noBeginning"),
    ],
)
async def test_ledger_that_is_not_whole_is_told_and_not_gone_on_with(
    scene: Scene, tamper: Callable[[Scene, str], None], which: str, says: str
) -> None:
    for _ in range(3):
        await scene.wrote(record())
    tamper(scene, which)
    before = dict(scene.store.kept)
    async with scene.leading() as (ledger, _):
        assert says in str(ledger.blocked)
        assert "agentid audit verify" in str(ledger.blocked)
    assert scene.store.kept == before


@pytest.mark.parametrize("left", [0, 2], ids=["all of it", "its end"])
async def test_ledger_whose_end_is_cut_off_is_found_by_the_head_beside_the_key(
    scene: Scene, left: int
) -> None:
    for _ in range(3):
        await scene.wrote(record())
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    scene.store.kept = dict(sorted(scene.store.kept.items())[:left])
    async with scene.leading() as (ledger, _):
        assert "the ledger can't be used: batch " in str(ledger.blocked)


async def test_ledger_that_cannot_be_read_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.wrote(record())
    monkeypatch.setattr("agentid.controller.ledger._RETRY_SECONDS", 0.0)
    scene.store.failing = [ServerError("500"), ServerError("500")]
    async with scene.leading() as (ledger, _):
        while ledger.blocked is not None:  # noqa: ASYNC110 - a plain attribute
            await asyncio.sleep(0)
        ledger.note(record())
        await ledger.drain()
    assert scene.kinds() == ["ledgerStarted", "denied", "denied"]


async def test_who_has_stepped_down_writes_nothing(scene: Scene) -> None:
    async with scene.leading() as (ledger, upkeep):
        ledger.step_down()
        ledger.note(record())
        await upkeep.once()
        waiting = asyncio.ensure_future(ledger.append(record()))
        await asyncio.sleep(0)
        ledger.step_down()
        with pytest.raises(NotLeadingError):
            await waiting
    assert scene.kinds() == ["ledgerStarted"]


async def test_batches_that_nothing_needs_go_and_what_is_left_is_whole(scene: Scene) -> None:
    for _ in range(4):
        await scene.wrote(record())
    scene.now += timedelta(hours=2)
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
        assert [each.sequence for each in scene.store.batches()] == [5, 6]
    assert scene.kinds() == ["denied", "checkpoint"]
    assert scene.findings() == []
    scene.now += timedelta(hours=2)
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
        scene.now += timedelta(hours=2)
        await upkeep.once()
    assert [each.sequence for each in scene.store.batches()] == [6, 7], "there is nothing but checkpoints"
    assert scene.findings() == []


async def test_what_has_not_been_delivered_stays(scene: Scene) -> None:
    for _ in range(4):
        await scene.wrote(record())
    scene.now, scene.delivered = scene.now + timedelta(hours=2), 2
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    assert [each.sequence for each in scene.store.batches()] == [3, 4, 5, 6]


@pytest.mark.parametrize("number", range(5))
async def test_pruning_that_is_ended_anywhere_is_gone_on_with(scene: Scene, number: int) -> None:
    for _ in range(4):
        await scene.wrote(record())
    scene.now += timedelta(hours=2)
    scene.keys.failing = [ConflictError("killed")] if number == 0 else []
    async with scene.leading() as (_, upkeep):
        kept, scene.store.delete = scene.store.delete, _fails_after(scene.store.delete, number - 1)  # type: ignore[method-assign]
        with suppress(ServerError, ConflictError):
            await upkeep.once()
        scene.store.delete = kept  # type: ignore[method-assign]
    assert scene.findings() == []
    async with scene.leading() as (ledger, upkeep):
        assert ledger.blocked is None
        await upkeep.once()
    assert len(scene.store.kept) <= 3
    assert scene.findings() == []


def _fails_after(delete: Callable[[int, str], Any], times: int) -> Callable[[int, str], Any]:
    calls = count()

    async def failing(sequence: int, uid: str) -> None:
        if next(calls) >= times:
            raise ServerError("killed")
        await delete(sequence, uid)

    return failing


async def test_old_key_is_followed_by_another_and_the_ledger_says_so(scene: Scene) -> None:
    await scene.wrote(record())
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    first = scene.keys.stored
    scene.now += timedelta(days=91)
    async with scene.leading() as (ledger, upkeep):
        await upkeep.once()
        ledger.note(record())
        await ledger.drain()
        assert scene.kinds()[-2:] == ["keyRotated", "denied"]
        await upkeep.once()
    second = scene.keys.stored
    assert first is not None
    assert second is not None
    assert (second.current != first.current, second.following) == (True, None)
    assert scene.store.batches()[-1].key_id == LedgerKey.from_pem(second.current).key_id
    assert scene.findings() == []
    await scene.wrote(record())
    assert scene.findings() == []


async def test_what_is_changed_while_an_operator_leads_is_found_within_the_hour_and_nothing_is_issued(
    scene: Scene,
) -> None:
    await scene.wrote(record())
    async with scene.leading() as (ledger, upkeep):
        ledger.note(record())
        await ledger.drain()
        # No sink has any of it, so that all of it has to be there.
        scene.delivered, name = 0, min(scene.store.kept)
        there = scene.store.kept.pop(name)
        await upkeep.once()
        assert (ledger.blocked, ledger.is_whole) == (None, True)

        scene.now += timedelta(minutes=60)
        with capture_logs() as logs:
            await upkeep.once()
        assert not ledger.is_whole
        assert "batch 2: noBeginning" in str(ledger.blocked)
        assert [each["event"] for each in logs] == ["ledger not whole"]
        # Nothing more is deleted of what is evidence; ends are recorded all the same.
        scene.now += timedelta(minutes=10)
        kept = len(scene.store.kept)
        ledger.note(record())
        await ledger.drain()
        await upkeep.once()
        assert len(scene.store.kept) == kept + 1

        scene.store.kept[name] = there
        scene.now += timedelta(minutes=5)
        await upkeep.once()
        assert (ledger.blocked, ledger.is_whole) == (None, True)


async def test_ledger_that_cannot_be_looked_through_is_not_said_to_be_whole_or_not(scene: Scene) -> None:
    async with scene.leading() as (ledger, upkeep):
        await upkeep.once()
        scene.now += timedelta(minutes=60)
        scene.store.failing = [ServerError("etcd is slow")]
        with pytest.raises(ServerError):
            await upkeep.once()
        assert ledger.is_whole
        scene.store.kept.clear()
        await upkeep.once()
        assert not ledger.is_whole


@pytest.mark.parametrize("stage", [0, 1, 2])
async def test_rotation_that_is_ended_anywhere_is_gone_on_with(scene: Scene, stage: int) -> None:
    await scene.wrote(record())
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    scene.now += timedelta(days=91)
    async with scene.leading() as (_, upkeep):
        # Before the next key is kept, before the record of it, before it stands alone.
        if stage == 0:
            scene.keys.failing = [ServerError("killed")]
        real, calls = scene.keys.replace, count(1)

        async def ends(seen: Any, **changed: bytes | None) -> Any:  # noqa: ANN401 - as in the store
            if stage == 2 and next(calls) == 2:
                raise ServerError("killed")
            kept = await real(seen, **changed)
            if stage == 1:
                raise ServerError("killed")
            return kept

        scene.keys.replace = ends  # type: ignore[method-assign]
        with pytest.raises(ServerError):
            await upkeep.once()
        scene.keys.replace = real  # type: ignore[method-assign]
    async with scene.leading() as (ledger, upkeep):
        assert ledger.blocked is None
        await upkeep.once()
        ledger.note(record())
        await ledger.drain()
        await upkeep.once()
    assert scene.kinds().count("keyRotated") == 1
    assert scene.keys.stored is not None
    assert scene.keys.stored.following is None
    assert scene.findings() == []


@pytest.mark.parametrize("takeovers", [1, 2])
async def test_key_before_is_kept_until_the_next_one_has_signed(scene: Scene, takeovers: int) -> None:
    await scene.wrote(record())
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    scene.now += timedelta(days=91)
    async with scene.leading() as (_, upkeep):
        await upkeep.once()
    assert scene.kinds()[-1] == "keyRotated"
    for _ in range(takeovers):
        async with scene.leading() as (ledger, upkeep):
            assert ledger.blocked is None, "its own ledger is not taken for another's"
            await upkeep.once()
    await scene.wrote(record())
    assert scene.findings() == []


async def test_without_the_key_that_has_to_sign_nothing_is_written(scene: Scene) -> None:
    await scene.wrote(record())
    assert scene.keys.stored is not None
    scene.keys.stored = replace(scene.keys.stored, current=LedgerKey.create().to_pem())
    async with scene.leading() as (ledger, _):
        assert "the ledger can't be used" in str(ledger.blocked)
        assert not ledger.is_whole
    assert scene.kinds() == ["ledgerStarted", "denied"]
