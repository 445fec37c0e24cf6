"""`agentid audit verify`: says whether a ledger is whole, or where and how it is not."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agentid.cli.audit.evidence import checkpoint_of, keep, key_of, refuse_unseen
from agentid.cli.audit.reading import Reading
from agentid.cli.audit.source import Source, opened
from agentid.cli.audit.verdict import Verdict
from agentid.cli.audit.verify_telling import Teller
from agentid.cli.errors import REFUSED, finish
from agentid.cli.options import Output
from agentid.cli.progress import Progress
from agentid.ledger.audit import Auditor
from agentid.ledger.audit_finding import AuditFinding
from agentid.ledger.finding import Finding


@dataclass(frozen=True, slots=True)
class Question:
    """What a ledger is held against.

    Attributes:
        keys: Files with public keys of the ledger that the caller trusts.
        since: File with a checkpoint that was kept before; None: none was.
        saved: Where the new checkpoint is kept, if the ledger is whole; None: nowhere.
        longest: How long a credential may live; None: no limit is held against it.
    """

    keys: tuple[Path, ...] = ()
    since: Path | None = None
    saved: Path | None = None
    longest: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    sequence: int
    at: datetime


def run(source: Source, asked: Question, output: Output) -> None:
    """Verify a ledger: exit code 0 where nothing is wrong with it, else 1."""
    finish("audit verify", _verify(source, asked, output))


async def _verify(source: Source, asked: Question, output: Output) -> int:
    keys = [key_of(each) for each in asked.keys]
    known = checkpoint_of(asked.since) if asked.since is not None else None
    if asked.saved is not None:
        refuse_unseen(asked.saved, asked.since)
    teller = Teller(output)
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            reading = Reading(ledger.parcels, progress.tell, keys=keys, known=known)
            verdict = await _examined(reading, Auditor(longest=asked.longest), ledger.now, teller)
    if asked.saved is not None and (head := verdict.head) is not None:
        keep(head, asked.saved)
        verdict.saved = asked.saved
    teller.finish(verdict, asked.saved)
    return 0 if verdict.is_right else REFUSED


async def _examined(reading: Reading, auditor: Auditor, now: datetime | None, teller: Teller) -> Verdict:
    verdict = Verdict()

    def say(found: Iterable[Finding | AuditFinding]) -> None:
        for each in found:
            teller.tell(each, is_told=verdict.take(each))

    async for part in reading.parts():
        verdict.see(part)
        say(part.findings)
        if part.at is not None:
            say(auditor.feed(_Made(part.sequence, part.at), (each.record for each in part.records)))
    verdict.summary, wrong = reading.finish()
    say(wrong)
    verdict.is_sinks = reading.is_sinks
    if (until := now or reading.ends) is not None:
        say(auditor.finish(until))
    return verdict
