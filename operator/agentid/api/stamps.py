"""Who did something, as admission stamps it onto an object: never typed, always replaced as a whole."""

from typing import Annotated

from pydantic import Field

from agentid.api.fields import MAX_COUNT, Model, Username

_Groups = list[Annotated[str, Field(max_length=253)]]


class Requester(Model):
    """Who created the task or last changed its intent. Stamped by admission, never typed."""

    username: Username = Field(description="User name as the API server authenticated it.")
    groups: _Groups = Field(
        default_factory=list, max_length=64, description="Groups as the API server authenticated them."
    )
    pod_uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        alias="podUID",
        description="UID of the pod whose service-account token was used, if one was.",
    )
    may_delegate: bool | None = Field(
        default=None,
        description="With parentRef: whether they had the verb delegate on that AgentTask. Without it, they "
        "have to be the pod that is bound to the parent.",
    )
    intent_generation: int = Field(
        default=1, ge=1, le=MAX_COUNT, description="metadata.generation at the last change of intent."
    )


class StateChange(Model):
    """Who last changed `state`. Stamped by admission, never typed."""

    username: Username = Field(description="User name as the API server authenticated it.")


class Author(Model):
    """Who wrote a template as it is. Stamped by admission, never typed."""

    username: Username = Field(description="User name as the API server authenticated it.")
    groups: _Groups = Field(
        default_factory=list, max_length=64, description="Groups as the API server authenticated them."
    )


class Approver(Model):
    """Who said yes or no. Stamped by admission, never typed."""

    username: Username = Field(description="User name as the API server authenticated it.")
    groups: _Groups = Field(
        default_factory=list, max_length=64, description="Groups as the API server authenticated them."
    )
