"""Puts the ledger together: where it is kept, who writes it, and what looks after it."""

import random
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

from agentid.api.fields import MAX_COUNT
from agentid.cluster.connection import Connection
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.reads import Reads
from agentid.controller.leader import Leader
from agentid.controller.ledger import Ledger
from agentid.controller.ledger_followers import Follower
from agentid.controller.ledger_upkeep import LedgerUpkeep
from agentid.controller.ledger_writer import LedgerWriter
from agentid.controller.metrics import Metrics
from agentid.controller.settings import Settings
from agentid.controller.world import World
from agentid.ledger.batch import Batch
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import Record
from agentid.ledger.retention import KeptBatch, Retention
from agentid.process.clocks import Clock, boottime


def ledger_of(  # noqa: PLR0913 - where it is, who writes it, and what it is compared with
    settings: Settings,
    connection: Connection,
    clock: Clock,
    world: World,
    metrics: Metrics,
    *,
    writer: str,
    leader: Leader,
    worth_waiting_for: Callable[[], int],
    followers: Sequence[Follower],
) -> Ledger:
    """Return the ledger that this process, `writer`, keeps while it leads; `followers` are told of it.

    `worth_waiting_for` returns of how many records a batch is full enough to be sent at once.
    """
    store = LedgerStore(connection, settings.namespace, leader.require)
    keys = LedgerKeyStore(connection, settings.namespace, lambda: LedgerKey.create().to_pem())
    retention = Retention(
        timedelta(seconds=settings.ledger_keep_seconds), settings.ledger_keep_mebibytes * 1024 * 1024
    )

    def written(batch: Batch, uid: str) -> None:
        records = [Record.parse(each) for each in batch.records]
        for each in records:
            metrics.ledger_records.labels(kind=each.kind).inc()
        retention.add(KeptBatch.of(batch, uid, records))
        upkeep.written(batch)
        for follower in followers:
            follower.written(batch, records)

    ledger_writer = LedgerWriter(
        store,
        writer=writer,
        clock=clock.now,
        monotonic=boottime,
        randomness=random.random,
        nonce=lambda: secrets.token_hex(16),
        on_written=written,
        worth_waiting_for=worth_waiting_for,
        metrics=metrics,
    )
    upkeep = LedgerUpkeep(
        store,
        keys,
        ledger_writer,
        retention,
        clock=clock.now,
        delivered=lambda: min((each.reached() for each in followers), default=MAX_COUNT),
        key_life=timedelta(days=settings.ledger_key_days),
    )
    ledger = Ledger(
        store,
        keys,
        ledger_writer,
        upkeep,
        retention,
        world,
        Reads(connection),
        followers,
        trust_domain=settings.trust_domain,
        clock=clock.now,
    )
    _add_gauges(metrics, ledger, ledger_writer, retention)
    return ledger


def _add_gauges(metrics: Metrics, ledger: Ledger, writer: LedgerWriter, retention: Retention) -> None:
    metrics.watch(
        "agentid_ledger_sequence",
        "Number of the last batch of the ledger; 0 where this operator does not write it.",
        lambda: writer.head.sequence if writer.head is not None else 0,
    )
    metrics.watch(
        "agentid_ledger_waiting_records", "Records that are not durable yet.", lambda: writer.waiting
    )
    metrics.watch(
        "agentid_ledger_lag_seconds",
        "For how long the oldest of them has waited.",
        lambda: writer.lag_seconds,
    )
    metrics.watch("agentid_ledger_batches", "Batches of the ledger in the cluster.", lambda: len(retention))
    metrics.watch("agentid_ledger_bytes", "Bytes of their records.", lambda: retention.size)
    metrics.watch(
        "agentid_ledger_usable",
        "0 while nothing is issued because the ledger can't be read, is not whole, or can't be written.",
        lambda: float(ledger.blocked is None),
    )
    metrics.watch(
        "agentid_ledger_whole",
        "0 where the chain was not whole when this operator last looked through it.",
        lambda: float(ledger.is_whole),
    )
