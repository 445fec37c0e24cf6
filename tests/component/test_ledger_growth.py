"""However many tasks there have been, the ledger holds those of some minutes, and is whole at any time."""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from agentid.api.fields import format_time
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.ledger_store import LedgerStore
from agentid.controller.ledger_upkeep import LedgerUpkeep
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.metrics import Metrics
from agentid.ledger.audit import Auditor
from agentid.ledger.batch import GENESIS, Batch
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.inventory import Inventory
from agentid.ledger.key import LedgerKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import Record, encode, ledger_started
from agentid.ledger.retention import KeptBatch, Retention
from agentid.lifecycle.journal import Entry, Kind, Revoked
from tests.unit.ledger_store_in_memory import KeysInMemory, StoreInMemory

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE, TTL = timedelta(seconds=5), timedelta(seconds=60)
KEEP = timedelta(seconds=60)
UPKEEP_SECONDS, LOOK_SECONDS = 30, 300


@dataclass
class Grown:
    """What the ledger came to: the most that it ever held, and what it holds in the end."""

    tasks: int
    records: int = 0
    batches: int = 0
    most_batches: int = 0
    most_bytes: int = 0
    live: int = 0
    rotations: int = 0
    looks: int = 0
    heads: list[KnownHead] = field(default_factory=list)


class Life:
    """An operator's ledger, with a clock of its own; it is verified again and again by who keeps heads."""

    def __init__(self, a_second: int) -> None:
        """So many tasks begin in each second."""
        self.a_second = a_second
        self.now = BEGAN
        self.store, self.keys = StoreInMemory(), KeysInMemory()
        self.retention = Retention(KEEP, 10**9)
        self.numbers = iter(range(1, 10**9))
        self.inventory, self.auditor = Inventory(BEGAN), Auditor(longest=TTL)
        self.last: Batch | None = None
        self.records = 0
        store = cast("LedgerStore", self.store)
        self.writer = LedgerWriter(
            store,
            writer="operator-1",
            clock=lambda: self.now,
            monotonic=lambda: 0.0,
            randomness=lambda: 0.0,
            nonce=lambda: f"{next(self.numbers):032x}",
            on_written=self.written,
            worth_waiting_for=lambda: 0,
            metrics=Metrics(),
        )
        self.upkeep = LedgerUpkeep(
            store,
            cast("LedgerKeyStore", self.keys),
            self.writer,
            self.retention,
            clock=lambda: self.now,
            delivered=lambda: self.last.sequence if self.last is not None else 0,
            key_life=timedelta(minutes=4),
        )

    def written(self, batch: Batch, uid: str) -> None:
        """Take in what is durable, as the operator and as who audits everything at once."""
        records = [Record.parse(each) for each in batch.records]
        self.records += len(records)
        self.retention.add(KeptBatch.of(batch, uid, records))
        self.upkeep.written(batch)
        self.inventory.feed(records)
        assert self.auditor.feed(batch, records) == []
        self.last = batch

    async def grow(self, tasks: int) -> Grown:
        """Have so many short tasks begin and end."""
        stored = await self.keys.load_or_create()
        key = LedgerKey.from_pem(stored.current)
        self.upkeep.begin(stored, BEGAN, None)
        self.writer.begin(GENESIS, key, [ledger_started(BEGAN, key.public, "example.org")])
        run = asyncio.create_task(self.writer.run())
        found = Grown(tasks)
        seconds = tasks // self.a_second + int((LIFE + TTL).total_seconds())
        for second in range(seconds):
            self.begin_and_end(second, tasks)
            await self.writer.drain()
            if second % UPKEEP_SECONDS == 0:
                await self.upkeep.once()
            found.most_batches = max(found.most_batches, len(self.store.kept))
            found.most_bytes = max(found.most_bytes, self.retention.size)
            if second % LOOK_SECONDS == LOOK_SECONDS - 1:
                self.verify(found)
            self.now += timedelta(seconds=1)
        self.verify(found)
        run.cancel()
        assert self.auditor.finish(self.now + timedelta(hours=10)) == []
        self.inventory.forget_past(self.now)
        found.records, found.live = self.records, len(list(self.inventory.tasks()))
        found.batches = self.last.sequence if self.last is not None else 0
        found.rotations = len({each.key_id for each in found.heads}) - 1
        return found

    def begin_and_end(self, second: int, tasks: int) -> None:
        """Record those that begin and those that end in this second."""
        ends = second - int(LIFE.total_seconds())
        for number in range(second * self.a_second, min((second + 1) * self.a_second, tasks)):
            self.writer.note(encode(self.entry(Kind.ISSUED, number, self.now).fields()))
        for number in range(max(ends, 0) * self.a_second, min((ends + 1) * self.a_second, tasks)):
            self.writer.note(encode(self.entry(Kind.ENDED, number, self.now - LIFE).fields()))

    def entry(self, kind: Kind, number: int, began: datetime) -> Entry:
        """What is recorded of a task that began then, with all that such an entry has."""
        serial, not_after = f"{number:032x}", format_time(began + TTL)
        is_over = kind is Kind.ENDED
        return Entry(
            kind=kind,
            at=format_time(self.now),
            namespace="support",
            task=f"refund-{number}",
            uid=f"5c0e0000-0000-4000-8000-{number:012d}",
            generation=1,
            agent="refund-agent",
            rule="end_when_pod_succeeded" if is_over else "issue_first_credential",
            reason="Completed" if is_over else "Running",
            message="Job refund reported Complete" if is_over else "ends by its deadline",
            spec_hash=f"v1:{number:064x}",
            actions=("orders:read", "refunds:create"),
            requester="system:serviceaccount:support:orchestrator",
            policies=("ClusterAgentPolicy/default",),
            policy_digest=f"sha256:{7:064x}",
            pod_uid=f"5c0e0000-0000-4000-9000-{number:012d}",
            serial=None if is_over else serial,
            not_before=None if is_over else format_time(began - timedelta(seconds=60)),
            not_after=None if is_over else not_after,
            public_key=None if is_over else f"sha256:{number:064x}",
            revoked=(Revoked(serial, not_after),) if is_over else (),
            started=format_time(began),
            deadline=format_time(began + timedelta(minutes=10)),
        )

    def verify(self, found: Grown) -> None:
        """Verify all that is there with the key alone, and with the head that was kept the last time."""
        stored = self.keys.stored
        assert stored is not None
        keys = [LedgerKey.from_pem(each).public for each in (stored.current, stored.following) if each]
        known = found.heads[-1] if found.heads else None
        for head in {None, known if known is not None and self.is_there(known) else None}:
            chain = ChainVerifier(keys=keys, known=head)
            for name, each in sorted(self.store.kept.items()):
                assert chain.feed(name, each["spec"]).findings == ()
            summary, wrong = chain.finish()
            assert (wrong, summary.vouched) == ((), True)
        assert self.last is not None
        found.heads.append(KnownHead.of(self.last))
        found.looks += 1

    def is_there(self, known: KnownHead) -> bool:
        """Whether a head can be compared still: it, or the one right after it, is there."""
        return min(int(name) for name in self.store.kept) <= known.head.sequence + 1


async def test_however_many_tasks_there_have_been_the_ledger_is_bounded_and_whole() -> None:
    some, more = await Life(10).grow(2_500), await Life(10).grow(6_000)

    # Each is needed until its certificates have ended, which others' clocks see two minutes later.
    assert some.most_batches < 300
    assert more.most_batches <= some.most_batches * 1.05
    assert more.most_bytes <= some.most_bytes * 1.05
    assert more.records > 12_000
    assert more.live == 0
    assert more.rotations > 0


if __name__ == "__main__":
    started_at = time.monotonic()
    grown = asyncio.run(Life(50).grow(int(sys.argv[1])))
    grown.heads.clear()
    sys.stdout.write(f"{grown} in {time.monotonic() - started_at:.0f} s\n")
