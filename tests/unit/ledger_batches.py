"""Ledgers for tests: keys, records, and chains of batches as the operator would have sealed them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from agentid.api.fields import format_time
from agentid.ledger.batch import GENESIS, Batch, Head, seal
from agentid.ledger.chain import ChainVerifier, Summary
from agentid.ledger.finding import Finding
from agentid.ledger.key import LedgerKey, LedgerPublicKey
from agentid.ledger.known_head import KnownHead
from agentid.ledger.record import Record, checkpoint, encode, key_rotated, ledger_started
from agentid.lifecycle.journal import SCHEMA

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = LedgerKey.create()
OTHER = LedgerKey.create()
UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000001"

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Text as it may stand in a record, line ends and control characters too."""


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def record(kind: str = "denied", seconds: float = 0, **fields: object) -> bytes:
    head = {"schema": SCHEMA, "kind": kind, "at": format_time(at(seconds)), "uid": UID}
    return encode(head | fields)


def started(key: LedgerKey = KEY) -> bytes:
    return ledger_started(NOW, key.public, "cluster.example.org")


def sealed(
    previous: Head,
    records: Sequence[bytes],
    *,
    key: LedgerKey = KEY,
    seconds: float = 0,
    writer: str = "op-0_1",
) -> Batch:
    nonce = f"{previous.sequence:032x}"
    return seal(previous, records, key=key, writer=writer, nonce=nonce, at=at(seconds))


def chain(batches: Iterable[Sequence[bytes]], *, key: LedgerKey = KEY, after: Head = GENESIS) -> list[Batch]:
    """Seal one batch after the other, all with one key."""
    made: list[Batch] = []
    for records in batches:
        made.append(sealed(made[-1].head if made else after, records, key=key, seconds=len(made)))
    return made


def revoked_list(*credentials: tuple[str, float]) -> list[dict[str, str]]:
    """What a record says of credentials that count no longer: serial, and when they end."""
    return [{"serial": serial, "not_after": format_time(at(ends))} for serial, ends in credentials]


def issued(
    serial: str,
    kind: str = "issued",
    *,
    seconds: float = 0,
    ends: float,
    uid: str = UID,
    started_at: float = 0,
    deadline: float = 3600,
    **fields: object,
) -> bytes:
    """Record a credential that is issued after so many seconds and ends after so many."""
    said: dict[str, object] = {
        "uid": uid,
        "namespace": "support",
        "task": "refund-4711",
        "agent": "refund-agent",
        "serial": serial,
        "not_before": format_time(at(seconds - 60)),
        "not_after": format_time(at(ends)),
        "started": format_time(at(started_at)),
        "deadline": format_time(at(deadline)),
        "pod_uid": "pod-1",
    }
    return record(kind, seconds, **(said | fields))


def ended(seconds: float, **fields: object) -> bytes:
    """Record the end of a task that had begun with the ledger."""
    said: dict[str, object] = {"reason": "Completed", "started": format_time(NOW)}
    return record("ended", seconds, **(said | fields))


def parsed(*lines: bytes) -> list[Record]:
    return [Record.parse(line) for line in lines]


Objects = list[tuple[str, dict[str, object]]]
"""The objects of a ledger by name, as they are read from a cluster or a file."""


def objects(batches: Iterable[Batch]) -> Objects:
    return [(batch.name, dict(batch.to_spec())) for batch in batches]


def with_rotation(prunes_through: int = 3) -> list[Batch]:
    """Seven batches: KEY signs three and hands on to OTHER in the third, the sixth has a checkpoint."""
    made = chain([[started(), record()], [record(task="a"), record(task="b")]])
    made.append(sealed(made[-1].head, [record(), key_rotated(at(2), KEY.public, OTHER.public)], seconds=2))
    for seconds in (3, 4):
        made.append(sealed(made[-1].head, [record(seconds=seconds)], key=OTHER, seconds=seconds))
    stands = checkpoint(at(5), prunes_through, made[prunes_through - 1].head.hash, OTHER.public, NOW)
    made.append(sealed(made[-1].head, [record(), stands], key=OTHER, seconds=5))
    made.append(sealed(made[-1].head, [record(), record(), record()], key=OTHER, seconds=6))
    return made


def verified(
    found: Objects, *, keys: Iterable[LedgerPublicKey] = (), known: KnownHead | None = None
) -> tuple[Summary, list[Finding]]:
    """What verification of these objects says, in the order in which it says it."""
    verifier = ChainVerifier(keys=keys, known=known)
    findings = [finding for name, spec in found for finding in verifier.feed(name, spec).findings]
    summary, last = verifier.finish()
    return summary, [*findings, *last]
