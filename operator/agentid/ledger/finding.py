"""What verification finds: where, of which kind, and in words that a person can act on."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What is wrong with a chain, or, where `is_notice`, what could not be told."""

    UNREADABLE = "unreadable"
    EDITED = "edited"
    REMOVED = "removed"
    REORDERED = "reordered"
    FORK = "fork"
    WRONG_KEY = "wrongKey"
    BAD_RECORD = "badRecord"
    BAD_CHECKPOINT = "badCheckpoint"
    NO_BEGINNING = "noBeginning"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    NOT_COMPARED = "notCompared"
    NOT_CHECKED = "notChecked"
    NOT_VOUCHED = "notVouched"

    @property
    def is_notice(self) -> bool:
        """Whether nothing is wrong, as far as can be told."""
        return self is FindingKind.NOT_VOUCHED


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verification found.

    Attributes:
        sequence: The batch that it is about; of those that are missing the first.
        kind: What kind of thing it is.
        message: A sentence: what is wrong, how it shows, and what to do where something can be done.
    """

    sequence: int
    kind: FindingKind
    message: str

    def __str__(self) -> str:
        return f"batch {self.sequence}: {self.kind}: {self.message}"
