"""What verification came to: how much there is, from when to when, whose keys, and how much is wrong."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from agentid.cli.audit.standing import Part
from agentid.ledger.audit_finding import AuditFinding
from agentid.ledger.chain import Summary
from agentid.ledger.finding import Finding
from agentid.ledger.known_head import KnownHead

MOST_TOLD: Final = 1000
"""How many findings are told; those after them are counted."""
_MOST_KEYS: Final = 16


@dataclass(slots=True)
class Verdict:
    """The sum of what was seen and found.

    Attributes:
        summary: What the chain comes to.
        wrong: How many things are wrong with the chain.
        missed: How many things should not have been, by its records.
        notices: How many things could not be told.
        begins: When the first batch was made.
        ends: When the last was.
        keys: IDs of the keys that batches name, in their order.
        is_sinks: Whether it is what a sink wrote.
        saved: Where the new checkpoint is kept now; None: it is not.
    """

    summary: Summary = field(default_factory=lambda: Summary(0, None, 0, 0, vouched=False))
    wrong: int = 0
    missed: int = 0
    notices: int = 0
    begins: datetime | None = None
    ends: datetime | None = None
    keys: list[str] = field(default_factory=list)
    is_sinks: bool = False
    saved: Path | None = None

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.wrong and not self.missed

    @property
    def more(self) -> int:
        """How many findings were counted only."""
        return max(0, self.wrong + self.missed + self.notices - MOST_TOLD)

    @property
    def head(self) -> KnownHead | None:
        """What may be kept for the next time; None where the chain is not whole.

        What tasks did wrong is no fault of the chain that tells of it.
        """
        return None if self.wrong else self.summary.last

    def see(self, part: Part) -> None:
        """Take in a batch."""
        self.begins = self.begins or part.at
        self.ends = part.at or self.ends
        if part.key_id is not None and part.key_id not in self.keys and len(self.keys) < _MOST_KEYS:
            self.keys.append(part.key_id)

    def take(self, found: Finding | AuditFinding) -> bool:
        """Count a finding, and return whether it is to be told."""
        if isinstance(found, AuditFinding):
            self.missed += 1
        elif found.kind.is_notice:
            self.notices += 1
        else:
            self.wrong += 1
        return self.wrong + self.missed + self.notices <= MOST_TOLD
