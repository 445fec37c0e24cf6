"""`DecisionCheckpoint`: what a decision point has decided since its last one, until the ledger has it."""

from typing import Annotated, Final

from pydantic import Field

from agentid.api.fields import MAX_COUNT, Matches, Model, Rule, checked_by_server

MAX_REPORT_LENGTH: Final = 64 * 1024
"""Characters of a report, and bytes: with what the operator adds it fits into one record of the ledger."""

LAST_SUFFIX: Final = ".end"
"""What a decision point writes when it stops has its pod's name and this."""

LogName = Annotated[
    str,
    Field(min_length=32, max_length=32),
    Matches(r"[0-9a-f]{32}", "the name of a log: 32 hexadecimal digits"),
]


class DecisionCheckpointSpec(Model):
    """Whose report it is, and the report."""

    model_config = checked_by_server(
        Rule("self == oldSelf", "a DecisionCheckpoint never changes: the operator reads it once")
    )

    log: LogName = Field(description="Which log it is about: each start of a decision point begins one.")
    number: int = Field(
        ge=1, le=MAX_COUNT, description="Which report of that log it is. The first is 1, none is left out."
    )
    report: Annotated[str, Field(min_length=2, max_length=MAX_REPORT_LENGTH)] = Field(
        description="What was allowed and denied, how often, and where the log stands, as one line of "
        "canonical JSON (RFC 8785)."
    )


def replica_of(name: str) -> str:
    """Return which decision point wrote the object of that name: the name of its pod."""
    return name.removesuffix(LAST_SUFFIX)
