"""What an audit of the records finds: which task, of which kind, and in words that a person can act on."""

from dataclasses import dataclass
from enum import StrEnum


class AuditKind(StrEnum):
    """What can be wrong with what was recorded, though nobody touched the record."""

    NOT_ENDED = "notEnded"
    NOT_ISSUED = "notIssued"
    TOO_LONG = "tooLong"
    PAST_DEADLINE = "pastDeadline"
    ISSUED_AFTER_END = "issuedAfterEnd"
    ISSUED_WHILE_SUSPENDED = "issuedWhileSuspended"
    TWO_PODS = "twoPods"
    NOT_REVOKED = "notRevoked"
    SERIAL_TWICE = "serialTwice"
    SELF_APPROVED = "selfApproved"
    REPORTS_MISSING = "reportsMissing"
    RECORDS_LOST = "recordsLost"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that should not have been.

    Attributes:
        sequence: The batch whose records show it; of what is missing, the one from which on it is missed.
        kind: What kind of thing it is.
        uid: UID of the task; empty where it is about none.
        message: A sentence that says what, and when.
    """

    sequence: int
    kind: AuditKind
    uid: str
    message: str

    def __str__(self) -> str:
        return f"batch {self.sequence}: {self.kind}: {self.message}"
