"""`ClusterAgentPolicy` and `AgentPolicy`: Cedar text that says who may have an identity for what."""

from typing import Annotated, Final, Literal

from pydantic import Field, Strict

from agentid.api.fields import MAX_COUNT, Matches, Model, Timestamp
from agentid.api.reasons import PolicyConditionType, PolicyReason

MAX_CEDAR_LENGTH: Final = 65_536
"""Characters of one object's text; the operator holds it to as many bytes of UTF-8."""


class PolicySpec(Model):
    """What one object adds to its layer."""

    cedar: Annotated[str, Field(min_length=1, max_length=MAX_CEDAR_LENGTH)] = Field(
        description="Rules in Cedar, held to the schema that agentid publishes (docs/policy-schema.md). "
        "A text that is not accepted changes nothing: the last accepted one stays in force."
    )


class PolicyCondition(Model):
    """A condition as in meta/v1."""

    type: Annotated[PolicyConditionType, Strict(strict=False)] = Field(description="Which condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[PolicyReason, Strict(strict=False)] = Field(
        description="One word of a fixed set, for machines."
    )
    message: Annotated[str, Field(max_length=2048)] = Field(
        description="A sentence for people; where the text is refused, line and column."
    )
    observed_generation: int = Field(
        ge=0, le=MAX_COUNT, description="metadata.generation that this was decided on."
    )
    last_transition_time: Timestamp = Field(description="When `status` last changed.")


class AcceptedText(Model):
    """The text in force."""

    cedar: Annotated[str, Field(max_length=MAX_CEDAR_LENGTH)] = Field(
        description="The text as it was accepted."
    )
    digest: Annotated[
        str,
        Field(max_length=71),
        Matches(r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits"),
    ] = Field(description="SHA-256 over the text, as sha256sum prints it.")
    generation: int = Field(ge=1, le=MAX_COUNT, description="metadata.generation that the text is of.")
    rules: int = Field(ge=0, le=256, description="How many rules it holds.")


class PolicyStatus(Model):
    """What is in force of this object. Written by the operator only."""

    observed_generation: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="metadata.generation that this was decided on."
    )
    accepted: AcceptedText | None = Field(
        default=None,
        description="The last text that was accepted. It is in force, also while a newer one is refused.",
    )
    conditions: list[PolicyCondition] = Field(
        default_factory=list,
        max_length=4,
        description="Accepted: whether the text in spec is in force.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
