"""What a decision point tells of its log: where that stands, and which identities were used how often.

A report is made about once a minute, and the operator puts it into the ledger as the record `decisions`.
"""

from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentid.api.decisioncheckpoint import MAX_REPORT_LENGTH, LogName
from agentid.api.fields import (
    MAX_COUNT,
    Action,
    DnsLabel,
    Matches,
    TaskName,
    Uid,
    UtcSecond,
    format_time,
)
from agentid.api.ledgerbatch import Sha256
from agentid.ledger.canonical import canonical, decode
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.record import LedgerKind, Record, encode
from agentid.lifecycle.journal import SCHEMA

MAX_USES: Final = 256
"""In one report; what is left comes with the next ones."""

NO_HEAD: Final = "sha256:" + "0" * 64
"""What the first line of a log has in the place of the hash of the line before it."""

_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Word = Annotated[str, Field(max_length=64), Matches(r"[A-Z][A-Za-z]{0,63}", "one word, such as TaskEnded")]


class _Part(BaseModel):
    """Strict in what is known; what a newer version adds is left out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Use(_Part):
    """One action, as it was asked about with the identity of one task: allowed, or denied for one reason.

    Attributes:
        uid: UID of the task whose identity it is.
        namespace: Its namespace.
        task: Its name.
        agent: Name of its Agent.
        action: What was asked about; None: nothing that is written like an action, or too many were.
        reason: Why it was denied; None: it was allowed.
        step: UID of the step that granted it; None: it is the task's own.
        count: How often.
        first: When first.
        last: When last.
    """

    uid: Uid
    namespace: DnsLabel
    task: TaskName
    agent: DnsLabel
    action: Action | None = None
    reason: _Word | None = None
    step: Uid | None = None
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    first: UtcSecond
    last: UtcSecond


class Report(_Part):
    """What happened since the report before it, and where the log stands.

    Attributes:
        log: Which log: each start of a decision point begins one.
        number: Which report of that log, from 1.
        started: When the log began.
        since: The first moment that it tells of.
        until: The last one.
        allowed: How many calls were allowed.
        denied: How many were denied.
        first: Number of the first line of the log since the report before; None: there is none.
        through: That of the last one.
        head: Hash of that line.
        lost: How many lines there was no room for.
        unlisted: How many allowed and denied calls were too many to be told one by one.
        closed: Whether it is the last one: the decision point was stopped in an orderly way.
        uses: Who did what. What is too much for one report comes with the next ones.
    """

    log: LogName
    number: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    started: UtcSecond
    since: UtcSecond
    until: UtcSecond
    allowed: _Count
    denied: _Count
    first: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    through: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    head: Sha256 | None = None
    lost: _Count = 0
    unlisted: _Count = 0
    closed: bool = False
    uses: Annotated[list[Use], Field(max_length=MAX_USES)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _lines_go_together(self) -> Self:
        said = [each is not None for each in (self.first, self.through, self.head)]
        if any(said) and not all(said):
            raise ValueError("first, through and head go together")
        if self.first is not None and self.through is not None and self.first > self.through:
            raise ValueError("the last line comes before the first")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a report as it was written.

        Raises:
            InvalidRecordError: it is none.
        """
        raw = text.encode("utf-8", "surrogatepass")
        if len(raw) > MAX_REPORT_LENGTH:
            raise InvalidRecordError(f"has {len(raw)} bytes; a report has at most {MAX_REPORT_LENGTH}")
        return cls._of(decode(raw))

    @classmethod
    def of(cls, record: Record) -> Self:
        """Read what a record of kind `decisions` says.

        Raises:
            InvalidRecordError: it does not say what it has to.
        """
        return cls._of(dict(record.fields))

    @classmethod
    def _of(cls, fields: object) -> Self:
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise InvalidRecordError(f"is no report of a decision point: {where}: {first['msg']}") from error

    def to_json(self) -> bytes:
        """Return it as `parse` reads it."""
        return canonical(self.model_dump(mode="json", exclude_none=True))


def decisions(at: datetime, replica: str, report: Report) -> bytes:
    """Return the record of a report that the decision point `replica` wrote."""
    fields = report.model_dump(mode="json", exclude_none=True)
    head = {"schema": SCHEMA, "kind": LedgerKind.DECISIONS, "at": format_time(at), "replica": replica}
    return encode(head | fields)
