"""Verifies the ledger as it is in the cluster, as an auditor would: who changes it there asks nobody."""

import asyncio
from collections.abc import Iterable

from agentid.cluster.ledger_store import LedgerStore
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.finding import Finding
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.known_head import KnownHead


async def why_not_whole(store: LedgerStore, keys: Iterable[LedgerPublicKey], known: KnownHead) -> str:
    """Return what is wrong first with the ledger that `store` holds; empty: nothing.

    Args:
        store: Where its batches are. None may be deleted meanwhile.
        keys: Those that sign.
        known: A batch that has to be in it.

    Raises:
        ApiAnswerError: it could not be read.
    """
    chain = ChainVerifier(keys=keys, known=known)
    async for page in store.pages():
        for body in page:
            wrong = first_wrong(chain.feed(body["metadata"]["name"], body.get("spec")).findings)
            if wrong:
                return wrong
            # Ends go on meanwhile.
            await asyncio.sleep(0)
    return first_wrong(chain.finish()[1])


def first_wrong(findings: Iterable[Finding]) -> str:
    """Return the first of `findings` that is more than a notice, in words; empty: none is."""
    return next((str(each) for each in findings if not each.kind.is_notice), "")
