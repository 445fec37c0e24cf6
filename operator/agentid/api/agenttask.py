"""`AgentTask`: one task of one agent, and the identity it asks for."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, Strict, model_validator

from agentid.api.agent import AgentReference, Sensitivity
from agentid.api.agentsecret import MAX_STATIC_SECRETS, StaticSecretReference
from agentid.api.agenttask_rules import AGREEMENTS, CHANGES
from agentid.api.fields import (
    Action,
    DnsLabel,
    DnsName,
    Matches,
    Model,
    Person,
    Resource,
    ShownText,
    TaskName,
    Uid,
    Unique,
    checked_by_server,
)
from agentid.api.stamps import Author, Requester, StateChange


class Replacement(StrEnum):
    """What happens to a task without `workload.ref` when its pod goes."""

    NEVER = "Never"
    ALLOW = "Allow"


class CredentialMode(StrEnum):
    """How the credential reaches the workload."""

    SECRET = "Secret"  # noqa: S105 - a mode, not a password
    NONE = "None"


class DesiredState(StrEnum):
    """What its people want of a task."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    ENDED = "Ended"


StateReason = Annotated[ShownText, Field(max_length=256)]
"""Why a state was set."""


class Intent(Model):
    """What the task is for. The only part that may change; every change is decided anew."""

    purpose: ShownText = Field(
        description="What the task is for, in one sentence that an approver understands."
    )
    session: (
        Annotated[
            str,
            Field(min_length=1, max_length=128),
            Matches(
                r"[A-Za-z0-9][A-Za-z0-9._:/@-]*",
                "a session name such as chat-83f1: letters, digits and . _ : / @ -",
            ),
        ]
        | None
    ) = Field(default=None, description="The conversation or run that this task belongs to.")
    actions: Annotated[list[Action], Unique()] = Field(
        min_length=1,
        max_length=32,
        description="What may be done with this identity, such as orders:read.",
    )
    grantable: Annotated[list[Action], Unique()] = Field(
        default_factory=list,
        max_length=32,
        description="What may be given to a child task, but never be done with this identity directly.",
    )
    resources: Annotated[list[Resource], Unique()] = Field(
        default_factory=list,
        max_length=32,
        description="What it may be done to, such as order/4711. Empty: not said.",
    )
    sensitivity: Annotated[Sensitivity, Strict(strict=False)] = Field(
        default=Sensitivity.INTERNAL, description="The most sensitive data that the task touches."
    )


class TaskReference(Model):
    """Names one AgentTask in the same namespace, and no other that is given its name later."""

    name: TaskName = Field(description="Name of the AgentTask, in the same namespace.")
    uid: Uid = Field(description="UID of the AgentTask: metadata.uid.")


class WorkloadReference(Model):
    """Names the object that runs the task, in the same namespace."""

    api_version: Annotated[
        str,
        Field(min_length=1, max_length=253),
        Matches(r"([a-z0-9][a-z0-9.-]*/)?v[0-9]+((alpha|beta)[0-9]+)?", "an API version such as batch/v1"),
    ] = Field(description="API version of the object, such as batch/v1.")
    kind: Annotated[
        str,
        Field(min_length=1, max_length=63),
        Matches(r"[A-Z][A-Za-z0-9]*", "a kind in CamelCase such as Job"),
    ] = Field(description="Kind of the object, such as Job; which kinds are allowed is set at installation.")
    name: DnsName = Field(description="Name of the object, in the same namespace.")


class Workload(Model):
    """Where the task runs. Its pods carry the label agentid.dev/task: <name of the task>."""

    service_account_name: DnsName | None = Field(
        default=None,
        description="The service account of the pod. Left out: any that the Agent lists.",
    )
    ref: WorkloadReference | None = Field(
        default=None,
        description="The object whose pods run the task; the task ends when that object is done or gone.",
    )
    replacement: Annotated[Replacement, Strict(strict=False)] = Field(
        default=Replacement.NEVER,
        description="Without ref, what happens when the pod is gone: Never ends the task, Allow waits for "
        "the next labelled pod.",
    )


class CredentialRequest(Model):
    """How the credential is delivered and how long each one lives."""

    mode: Annotated[CredentialMode, Strict(strict=False)] = Field(
        default=CredentialMode.SECRET,
        description="Secret: key and certificate in Secret agentid-<task>, mounted into the labelled pod. "
        "None: no credential; while the task lives, its parent's identity may do its actions too.",
    )
    ttl_seconds: int = Field(
        default=300,
        ge=30,
        le=86_400,
        description="Life of each credential in seconds; at most activeDeadlineSeconds.",
    )
    renew: bool = Field(
        default=True,
        description="true: renewed at two thirds of its life until the deadline; "
        "false: the task ends with it.",
    )


class BreakGlass(Model):
    """Says that the task is an emergency."""

    justification: Annotated[ShownText, Field(min_length=20)] = Field(
        description="Why it can't wait for an approval, in words that an auditor understands."
    )


class TemplateReference(Model):
    """Names the AgentTaskTemplate that a task was made from, and who had written it."""

    name: DnsLabel = Field(description="Name of the AgentTaskTemplate, in the same namespace.")
    uid: Uid = Field(description="UID of the AgentTaskTemplate.")
    author: Author = Field(description="Who had written the template when the task was made from it.")


class AgentTaskSpec(Model):
    """What is asked for."""

    model_config = checked_by_server(*(each.rule for each in AGREEMENTS), *CHANGES)

    agent_ref: AgentReference = Field(description="The agent that does the task.")
    intent: Intent = Field(
        description="What the task is for and what it may do. The only part that may change; whoever "
        "changes it becomes the requester, and the change is decided anew."
    )
    on_behalf_of: Person | None = Field(
        default=None,
        description="For whom the task is done. Other than oneself it takes the verb delegate on "
        "delegators.agentid.dev/<name>. A child has its parent's: leave it out there.",
    )
    parent_ref: TaskReference | None = Field(
        default=None,
        description="The task that this one is a child of: it may do no more than that, and ends with it. "
        "Named by the pod that is bound to the parent, or with the verb delegate on the parent.",
    )
    workload: Workload | None = Field(
        default=None, description="Where the task runs. Left out: the identity is bound to the task alone."
    )
    start_deadline_seconds: int = Field(
        default=600,
        ge=1,
        le=604_800,
        description="A task that has waited this many seconds for its first credential ends.",
    )
    active_deadline_seconds: int = Field(
        default=3600,
        ge=30,
        le=2_592_000,
        description="The task ends this many seconds after its first credential, whatever it is doing.",
    )
    ttl_seconds_after_finished: int = Field(
        default=86_400,
        ge=0,
        le=2_592_000,
        description="The finished task is deleted after this many seconds.",
    )
    credential: CredentialRequest = Field(
        default_factory=CredentialRequest,
        description="How the credential is delivered and how long each one lives.",
    )
    static_secrets: Annotated[list[StaticSecretReference], Unique()] = Field(
        default_factory=list,
        max_length=MAX_STATIC_SECRETS,
        description="Secrets that can't be short-lived, as AgentSecrets of the operator's namespace allow "
        "them: each is a file of that name beside the credential, for as long as there is one.",
    )
    break_glass: BreakGlass | None = Field(
        default=None,
        description="An emergency: neither approvals nor the namespace's policies are asked for. It takes "
        "the verb breakglass on the task, is short, is not renewed and can't be changed.",
    )
    state: Annotated[DesiredState, Strict(strict=False)] = Field(
        default=DesiredState.ACTIVE,
        description="Active; Suspended: the credential is taken away until it is Active again; "
        "Ended: the task is over, for good.",
    )
    state_reason: StateReason | None = Field(
        default=None,
        description="Why the state was changed. It stays until it is changed: give one with each state.",
    )
    requester: Requester | None = Field(
        default=None,
        description="Who created the task or last changed its intent. Stamped by admission; what is typed "
        "here is overwritten.",
    )
    state_changed_by: StateChange | None = Field(
        default=None,
        description="Who last changed the state. Stamped by admission; what is typed here is overwritten.",
    )

    template_ref: TemplateReference | None = Field(
        default=None,
        description="The template that this task was made from, for a Job; set by the operator only. Until "
        "somebody changes the intent, decisions look at the template's author in place of the requester.",
    )

    @property
    def asker(self) -> Requester | None:
        """Who answers for what is asked: the requester, or the author of the template.

        The author wrote what the operator asks for in the template's name; whoever changes that is the one
        who asks for it.
        """
        if self.requester is None or self.template_ref is None or self.requester.intent_generation != 1:
            return self.requester
        author = self.template_ref.author
        return Requester(username=author.username, groups=author.groups)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        for agreement in AGREEMENTS:
            if not agreement.holds(self):
                raise ValueError(agreement.rule.message)
        return self
