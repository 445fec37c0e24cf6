"""`Agent`: the platform team's record of one agent, and the ceiling over everything its tasks may ask for."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, Strict, model_validator

from agentid.api.fields import (
    MAX_COUNT,
    ActionPattern,
    DnsLabel,
    DnsName,
    Model,
    Rule,
    ShownText,
    Timestamp,
    Unique,
    checked_by_server,
)


class Sensitivity(StrEnum):
    """How sensitive the data is that a task touches, from least to most."""

    PUBLIC = "Public"
    INTERNAL = "Internal"
    CONFIDENTIAL = "Confidential"
    RESTRICTED = "Restricted"

    @property
    def rank(self) -> int:
        """0 for Public up to 3 for Restricted."""
        return list(Sensitivity).index(self)


class AgentClass(StrEnum):
    """Whether an agent works for one purpose for a while, or again and again."""

    EPHEMERAL = "Ephemeral"
    RECURRING = "Recurring"


_REVIEW_BY_REQUIRED = "class Recurring needs reviewBy: say when somebody looks at this record again"


class AgentSpec(Model):
    """What this agent is, who answers for it and how far its tasks may go."""

    model_config = checked_by_server(
        Rule("self.class != 'Recurring' || has(self.reviewBy)", _REVIEW_BY_REQUIRED, ".reviewBy")
    )

    owner: Annotated[ShownText, Field(max_length=253)] = Field(
        description="Who answers for this agent: a team or person that can be reached."
    )
    agent_class: Annotated[AgentClass, Strict(strict=False)] = Field(
        alias="class",
        description="Ephemeral: for one purpose, for a while. Recurring: runs again and again; "
        "then reviewBy is required.",
    )
    review_by: Timestamp | None = Field(
        default=None,
        description="When somebody has to have looked at this record again, such as 2027-05-31T00:00:00Z. "
        "Past it no task of this agent gets an identity, and running ones end.",
    )
    actions: Annotated[list[ActionPattern], Unique()] = Field(
        max_length=64,
        description="The most that a task of this agent may ask for, as actions or grantable. "
        "orders:* allows every action that starts with orders:.",
    )
    service_accounts: Annotated[list[DnsName], Unique()] = Field(
        default_factory=list,
        max_length=32,
        description="Service accounts, in the same namespace, whose pods may work for a task of this agent. "
        "Empty: only tasks without a pod.",
    )
    max_active_deadline_seconds: int = Field(
        default=3600,
        ge=30,
        le=2_592_000,
        description="The longest activeDeadlineSeconds, in seconds, that a task of this agent may ask for.",
    )
    max_active_tasks: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="How many tasks of this agent may be active at once, each from its first credential to "
        "its end; others wait until one ends. Left out: as many as its namespace may have.",
    )
    max_sensitivity: Annotated[Sensitivity, Strict(strict=False)] = Field(
        default=Sensitivity.INTERNAL,
        description="The most sensitive data that a task of this agent may touch.",
    )
    disabled: bool = Field(
        default=False,
        description="The off switch: true ends all tasks of this agent now, and no new one gets an identity.",
    )

    @model_validator(mode="after")
    def _recurring_is_reviewed(self) -> Self:
        if self.agent_class is AgentClass.RECURRING and self.review_by is None:
            raise ValueError(_REVIEW_BY_REQUIRED)
        return self


class TaskCounts(Model):
    """How many tasks an Agent has, by how they stand."""

    waiting: int = Field(ge=0, le=MAX_COUNT, description="Tasks that have had no credential yet.")
    live: int = Field(ge=0, le=MAX_COUNT, description="Tasks between their first credential and their end.")
    recent: int = Field(
        ge=0,
        le=MAX_COUNT,
        description="Tasks that have ended and are still there, each for its ttlSecondsAfterFinished.",
    )


class AgentStatus(Model):
    """What the operator says of an Agent: every ten seconds at most, if it has changed."""

    observed_generation: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="metadata.generation when this was written."
    )
    tasks: TaskCounts | None = Field(default=None, description="How many tasks it has.")


class AgentReference(Model):
    """Names an Agent in the same namespace."""

    name: DnsLabel = Field(description="Name of the Agent, in the same namespace.")
