"""What the approvals of a task come to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Approver:
    """A person whose approval counts, with the groups that they had when they gave it."""

    username: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """What the approvals of a task come to.

    Attributes:
        approvers: The distinct people whose yes counts, by user name; none where somebody says no.
        denied: Who says no, and why; None: nobody.
        until: When the first yes that counts expires; None: none does.
        passed_over: Each approval of this task that does not count, by its name, with why.
    """

    approvers: tuple[Approver, ...] = ()
    denied: str | None = None
    until: datetime | None = None
    passed_over: tuple[tuple[str, str], ...] = ()


NOBODYS: Final = Consent()
"""Nobody has said anything."""
