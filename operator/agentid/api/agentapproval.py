"""`AgentApproval`: one person's yes or no to one AgentTask as it is asked for now."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, Strict, model_validator

from agentid.api.agenttask import TaskReference
from agentid.api.fields import (
    MAX_COUNT,
    Model,
    Rule,
    ShownText,
    SpecHash,
    Timestamp,
    checked_by_server,
)
from agentid.api.stamps import Approver

MAX_PROJECTION_LENGTH: Final = 65_536
"""Characters of a projection: more than any that people write has."""

_EXPIRY_OF_YES: Final = (
    "expiresAt says until when an Approve counts, and a Deny counts until it is deleted: set it for the one, "
    "leave it out for the other"
)


class Decision(StrEnum):
    """Yes or no."""

    APPROVE = "Approve"
    DENY = "Deny"


class AgentApprovalSpec(Model):
    """What was said to what, and by whom. It never changes."""

    model_config = checked_by_server(
        Rule("has(self.expiresAt) == (self.decision == 'Approve')", _EXPIRY_OF_YES, ".expiresAt"),
        Rule("self == oldSelf", "what was decided can't be changed: create a new AgentApproval"),
    )

    task_ref: TaskReference = Field(description="The task that it is about.")
    spec_hash: SpecHash = Field(
        description="Hash of what was looked at: the task's spec without its state. It counts for no other."
    )
    intent_generation: int = Field(
        ge=1,
        le=MAX_COUNT,
        description="Which intent of the task was looked at: its spec.requester.intentGeneration. After a "
        "change of intent, also one and back, the approval counts no more.",
    )
    projection: Annotated[str, Field(min_length=2, max_length=MAX_PROJECTION_LENGTH)] = Field(
        description="What was looked at, as the canonical JSON whose SHA-256 is in specHash; agentid approve "
        "writes it."
    )
    decision: Annotated[Decision, Strict(strict=False)] = Field(
        description="Approve: yes, until expiresAt. Deny: no, whoever says yes, until this object is deleted."
    )
    comment: ShownText | None = Field(default=None, description="Why, for those who ask later.")
    expires_at: Timestamp | None = Field(
        default=None,
        description="With Approve: until when it counts, such as 2027-05-31T14:00:00Z. A task that runs past "
        "it needs another.",
    )
    approver: Approver | None = Field(
        default=None,
        description="Who decided. Stamped by admission; what is typed here is overwritten.",
    )

    @model_validator(mode="after")
    def _yes_expires(self) -> Self:
        if (self.expires_at is not None) != (self.decision is Decision.APPROVE):
            raise ValueError(_EXPIRY_OF_YES)
        return self
