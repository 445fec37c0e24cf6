"""Whether the ledger is whole up to its head, and has room; of its key only what is public is used."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentid.api.names import LEDGER_KEY_SECRET
from agentid.cluster.errors import ForbiddenError, LedgerKeyStoreError
from agentid.cluster.ledger_key_store import stored_ledger_key
from agentid.cluster.ledger_store import LedgerStore
from agentid.cluster.paths import SECRETS
from agentid.doctor.finding import Finding, problem, unseen, warning, well
from agentid.doctor.look import Look
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.errors import LedgerError
from agentid.ledger.key import LedgerKey, LedgerPublicKey
from agentid.ledger.known_head import KnownHead

CHECK: Final = "ledger"
_MUCH_MEBIBYTES: Final = 256
"""Twice as much, escaped, is a quarter of what etcd takes by itself."""
_RUNBOOK: Final = "docs/operations.md, AgentidLedgerNotWhole"


@dataclass(frozen=True, slots=True)
class Vouching:
    """What the chain is held against: the public keys that may sign it, and a batch that was there once."""

    keys: tuple[LedgerPublicKey, ...]
    head: KnownHead | None


@dataclass(frozen=True, slots=True)
class LedgerSeen:
    """What reading all of it came to.

    Attributes:
        batches: How many there are.
        last: The number of the last one.
        last_at: When that was made.
        mebibytes: How much their records have.
        wrong: What is wrong first; empty: nothing.
        vouched: Whether its own key has signed it.
    """

    batches: int = 0
    last: int = 0
    last_at: datetime | None = None
    mebibytes: float = 0.0
    wrong: str = ""
    vouched: bool = False


async def look_at_ledger(look: Look, namespace: str) -> list[Finding]:
    """Read the key's Secret and every batch, verify them, and judge what that comes to."""
    title = f"Secret {namespace}/{LEDGER_KEY_SECRET}"
    try:
        secret = await look.find(SECRETS, namespace, LEDGER_KEY_SECRET)
        vouching = vouching_of(secret) if secret is not None else None
    except ForbiddenError:
        vouching = Vouching((), None)
    except (LedgerKeyStoreError, LedgerError) as error:
        remedy = "Restore it from a backup (docs/operations.md, The ledger)."
        return [problem(CHECK, f"{title} holds no key of a ledger: {error}", remedy)]
    # Nothing is written here.
    store = LedgerStore(look.connection, namespace, lambda: 0.0)
    return judge_ledger(await see(store.pages(), vouching), vouching, namespace)


def vouching_of(secret: Mapping[str, Any]) -> Vouching:
    """Return what the Secret of the ledger's key says of its chain.

    Raises:
        LedgerKeyStoreError: it does not hold what it should.
        LedgerError: what it holds is no key or head.
    """
    stored = stored_ledger_key(dict(secret))
    pems = [each for each in (stored.current, stored.following) if each is not None]
    keys = tuple(LedgerKey.from_pem(each).public for each in pems)
    return Vouching(keys, KnownHead.from_json(stored.head) if stored.head is not None else None)


async def see(pages: AsyncIterator[list[dict[str, Any]]], vouching: Vouching | None) -> LedgerSeen:
    """Verify all batches, one after the other."""
    against = vouching or Vouching((), None)
    chain = ChainVerifier(keys=against.keys, known=against.head)
    last, size, wrong = None, 0, ""
    async for page in pages:
        for body in page:
            checked = chain.feed(body["metadata"]["name"], body.get("spec"))
            last = checked.batch or last
            size += sum(map(len, checked.batch.records)) if checked.batch is not None else 0
            wrong = wrong or next((str(each) for each in checked.findings), "")
    summary, found = chain.finish()
    if summary.batches or against.head is not None:
        wrong = wrong or next((str(each) for each in found if not each.kind.is_notice), "")
    return LedgerSeen(
        summary.batches,
        last.sequence if last is not None else 0,
        last.at if last is not None else None,
        size / 1024 / 1024,
        wrong,
        summary.vouched,
    )


def judge_ledger(seen: LedgerSeen, vouching: Vouching | None, namespace: str) -> list[Finding]:
    """Say how the ledger stands; `vouching` is None where its key's Secret is not there."""
    if seen.wrong:
        return [
            problem(
                CHECK,
                f"The ledger is not whole: {seen.wrong}.",
                f"Look at all of it with agentid audit verify --cluster, then follow {_RUNBOOK}.",
            )
        ]
    if seen.last_at is None:
        said = f"There is no LedgerBatch in {namespace}: no operator has ever recorded anything."
        return [problem(CHECK, said, "See the operator's log for `ledger not read` or `ledger not written`.")]
    if vouching is None:
        said = (
            f"Secret {namespace}/{LEDGER_KEY_SECRET} is not there, so that nothing goes on with the ledger."
        )
        return [problem(CHECK, said, "Restore it from a backup (docs/operations.md, The ledger).")]
    told = (
        f"{seen.batches} batches up to {seen.last} of {seen.last_at:%Y-%m-%dT%H:%M:%SZ}, "
        f"{seen.mebibytes:.1f} MiB of records, are whole"
    )
    if not seen.vouched:
        said = f"{told} by their own word; you may not read the key, so nothing is known of who signed them."
        remedy = (
            "Ask as an administrator, or verify with your own key: agentid audit verify --cluster --key FILE."
        )
        return [unseen(CHECK, said, remedy)]
    if seen.mebibytes > _MUCH_MEBIBYTES:
        remedy = (
            "See agentid_sink_lag_batches: what a required sink does not have stays. Else lower "
            "ledger.keepSeconds or ledger.keepMebibytes, or watch the room that etcd has."
        )
        return [warning(CHECK, f"{told}; that is much for etcd.", remedy)]
    return [well(CHECK, f"{told}, and signed by the ledger's key.")]
