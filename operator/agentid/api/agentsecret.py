"""`AgentSecret`: a secret that can't be short-lived, where it is kept, and which tasks may have a copy."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from agentid.api.fields import (
    ActionPattern,
    DnsLabel,
    DnsName,
    Matches,
    Model,
    Rule,
    Unique,
    checked_by_server,
)
from agentid.api.names import OWN_SECRETS, SECRET_PREFIX, is_the_operators_own

MAX_STATIC_SECRETS: Final = 8
"""How many a task may ask for. With `MAX_VALUE_BYTES` each, its Secret stays well under the API's 1 MiB."""

MAX_VALUE_BYTES: Final = 65_536
"""The longest value that is copied; 64 KiB."""

_NOT_OURS: Final = (
    f"must be another Secret than the operator's own: not {' or '.join(OWN_SECRETS)}, and none that starts "
    f"with {SECRET_PREFIX}"
)


class SecretSource(Model):
    """Where the value is kept: one key of one Secret in the operator's namespace."""

    model_config = checked_by_server(
        Rule(
            f"!(self.secretName in {[*OWN_SECRETS]}) && !self.secretName.startsWith('{SECRET_PREFIX}')",
            _NOT_OURS,
            ".secretName",
        )
    )

    secret_name: DnsName = Field(
        description="Name of a Secret in the operator's namespace. The operator reads it only if the chart's "
        "staticSecrets.sources lists it."
    )
    key: Annotated[
        str,
        Field(min_length=1, max_length=253),
        Matches(r"[-._a-zA-Z0-9]+", "a key of a Secret: letters, digits, '-', '_' and '.'"),
    ] = Field(description="Which of its keys is copied. The value may have 65536 bytes.")

    @model_validator(mode="after")
    def _is_not_the_operators_own(self) -> "SecretSource":
        if is_the_operators_own(self.secret_name):
            raise ValueError(_NOT_OURS)
        return self


class NamespacedAgent(Model):
    """Names an Agent in some namespace."""

    namespace: DnsLabel = Field(description="Namespace of the Agent.")
    name: DnsLabel = Field(description="Name of the Agent.")


class AgentSecretSpec(Model):
    """Which value, for whom, for what and for how long."""

    source: SecretSource = Field(
        description="Where the value is kept. It is read again each minute while a task has a copy."
    )
    agents: Annotated[list[NamespacedAgent], Unique()] = Field(
        min_length=1, max_length=64, description="The Agents whose tasks may have a copy; no others."
    )
    actions: Annotated[list[ActionPattern], Unique()] = Field(
        min_length=1,
        max_length=32,
        description="What it is for: a task may have a copy only if its intent.actions hold one of these. "
        "crm:* stands for every action that starts with crm:.",
    )
    max_ttl_seconds: int = Field(
        alias="maxTTLSeconds",
        default=900,
        ge=30,
        le=86_400,
        description="The longest that one task may hold a copy, in seconds. A task that could run longer "
        "gets none.",
    )


class StaticSecretReference(Model):
    """Names an AgentSecret of the operator's namespace."""

    name: DnsLabel = Field(
        description="Name of the AgentSecret, and of the file with the value beside the task's credential."
    )
