"""The status of an `AgentTask`: how it stands, as the operator alone writes it."""

from typing import Annotated, Final, Literal

from pydantic import Field, Strict

from agentid.api.agentsecret import MAX_STATIC_SECRETS
from agentid.api.fields import (
    MAX_COUNT,
    Action,
    DnsLabel,
    DnsName,
    Matches,
    Model,
    Resource,
    TaskName,
    Timestamp,
    Uid,
    Username,
)
from agentid.api.reasons import ConditionType

MAX_DEPTH: Final = 5
"""How many tasks may stand above one."""

MAX_CHILDREN: Final = 64
"""How many children of one task, steps not counted, may be live at once."""

MAX_GRANTS: Final = 16
"""How many steps of one task may be live at once."""


class Credential(Model):
    """One credential that is within its life."""

    generation: int = Field(
        ge=1, le=MAX_COUNT, description="1 for the task's first credential, then counting up."
    )
    serial: Annotated[
        str, Field(max_length=40), Matches(r"[0-9a-f]+", "a serial number in hexadecimal digits")
    ] = Field(description="Serial number of the certificate, in hexadecimal.")
    not_before: Timestamp = Field(description="Valid from.")
    not_after: Timestamp = Field(description="Valid until.")
    made_by: Literal["issue", "renew", "resume"] = Field(
        default="issue", description="What policy was asked and allowed when it was made."
    )


class BoundPod(Model):
    """The one pod that holds the credential."""

    name: DnsName = Field(description="Name of the pod.")
    uid: Uid = Field(description="UID of the pod.")
    node: Annotated[str, Field(max_length=253)] | None = Field(default=None, description="Node it runs on.")
    fingerprint: Annotated[str, Field(max_length=64)] = Field(
        description="Digest over the images, containers and controlling owner that the decision was made on."
    )
    running_images: (
        Annotated[str, Field(max_length=64), Matches(r"[0-9a-f]+", "a digest in hexadecimal digits")] | None
    ) = Field(
        default=None,
        description="Digest over the digests of the images that ran in it when its credential was taken "
        "away: it gets one again only while it runs these. Not there while it has one, or where none ran.",
    )


class HeldSecret(Model):
    """One static secret that was written beside the newest credential."""

    name: DnsLabel = Field(description="Name of its AgentSecret.")
    version: Annotated[
        str, Field(max_length=64), Matches(r"[0-9a-f]+", "a version in hexadecimal digits")
    ] = Field(
        description="Another one with each rotation. It is made of where and in which version the value is "
        "kept, not of the value."
    )


class Ancestor(Model):
    """A task above this one, as it was when this one's authority was last found good."""

    name: TaskName = Field(description="Name of the task.")
    uid: Uid = Field(description="UID of the task.")
    agent: DnsLabel = Field(description="Name of its Agent.")
    requester: Username = Field(description="User name of its requester.")


class Delegation(Model):
    """From whom a child has its authority. Written once it was found good."""

    intent_generation: int = Field(
        ge=1,
        le=MAX_COUNT,
        description="For which intent (spec.requester.intentGeneration) the requester was found to be the "
        "parent's pod, or to have the verb delegate on the parent.",
    )
    delegator: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="For whom the task is done: inherited from its parent."
    )
    chain: list[Ancestor] = Field(
        min_length=1,
        max_length=MAX_DEPTH,
        description="The tasks above it, its parent first, up to the one without a parent.",
    )


class Grant(Model):
    """What a step lets this task's identity do besides its own actions."""

    name: TaskName = Field(description="Name of the step.")
    uid: Uid = Field(description="UID of the step.")
    actions: list[Action] = Field(max_length=32, description="What may be done too.")
    resources: list[Resource] = Field(
        default_factory=list, max_length=32, description="What it may be done to. Empty: not said."
    )
    until: Timestamp = Field(description="When the grant ends at the latest.")


MAX_POLICIES: Final = 16
"""How many of the rules that allowed a credential a status names."""


MAX_APPROVERS: Final = 16
"""How many of the people who approved a status names."""


class Decision(Model):
    """What the newest credential, or a step's grant, was issued by."""

    action: Literal["issue", "renew", "resume"] = Field(description="What policy was asked.")
    policies: list[Annotated[str, Field(max_length=400)]] = Field(
        max_length=MAX_POLICIES,
        description="The rules that allowed it, each as kind and name of its object and its own name.",
    )
    digest: Annotated[str, Field(max_length=71)] = Field(
        description="Digest of all policies that were asked; that of each is in its own status."
    )
    approvers: list[Username] = Field(
        default_factory=list,
        max_length=MAX_APPROVERS,
        description="Whose approvals counted then, by user name.",
    )
    break_glass: bool | None = Field(
        default=None, description="true: it was an emergency, for which nobody's approval was asked."
    )
    at: Timestamp = Field(description="When it was decided.")


class Condition(Model):
    """A condition as in meta/v1."""

    type: Annotated[ConditionType, Strict(strict=False)] = Field(description="Which condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[
        str, Field(max_length=64), Matches(r"[A-Za-z][A-Za-z0-9]*", "a reason: one word in CamelCase")
    ] = Field(description="One word of a fixed set, for machines.")
    message: Annotated[str, Field(max_length=1024)] = Field(description="A sentence for people.")
    observed_generation: int = Field(
        ge=0, le=MAX_COUNT, description="metadata.generation that this was decided on."
    )
    last_transition_time: Timestamp = Field(description="When `status` last changed.")


class AgentTaskStatus(Model):
    """How the task stands. Written by the operator only."""

    observed_generation: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="metadata.generation that this was decided on."
    )
    spec_hash: Annotated[str, Field(max_length=80)] | None = Field(
        default=None, description="Hash of what was decided on: the spec without its state."
    )
    spiffe_id: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, alias="spiffeID", description="The identity of this task."
    )
    bound_pod: BoundPod | None = Field(default=None, description="The pod that holds the credential.")
    workload_uid: Uid | None = Field(
        default=None, alias="workloadUID", description="UID of the object in workload.ref once it was seen."
    )
    credential_generation: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="Number of credentials issued to this task so far."
    )
    credentials: list[Credential] = Field(
        default_factory=list,
        max_length=8,
        description="Credentials that count, the newest last: the current one, and those still in their life "
        "after a renewal.",
    )
    static_secrets: list[HeldSecret] = Field(
        default_factory=list,
        max_length=MAX_STATIC_SECRETS,
        description="Static secrets that are beside the newest credential.",
    )
    delegation: Delegation | None = Field(
        default=None, description="From whom the task has its authority, where spec.parentRef names a parent."
    )
    grants: list[Grant] = Field(
        default_factory=list,
        max_length=MAX_GRANTS,
        description="Live steps, which let this task's identity do more for a while.",
    )
    decision: Decision | None = Field(
        default=None,
        description="By which policies, and whose approvals, a credential or grant was last decided on, also "
        "where it could not be written.",
    )
    start_time: Timestamp | None = Field(default=None, description="When the first credential was issued.")
    deadline: Timestamp | None = Field(default=None, description="When the running task ends at the latest.")
    end_time: Timestamp | None = Field(default=None, description="When the task ended.")
    heartbeat_time: Timestamp | None = Field(
        default=None,
        description="Of the AgentTask agentid-heartbeat only: when the operator last showed that it lives.",
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Approved, Bound, CredentialIssued, Granted, Finished, Succeeded and Stalled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
