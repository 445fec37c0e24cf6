"""`AgentTaskTemplate`: what each run of a labelled Job or CronJob gets as its own task."""

from copy import copy
from typing import Any, Final, Self

from pydantic import Field, model_validator

from agentid.api.agent import AgentReference
from agentid.api.agentsecret import StaticSecretReference
from agentid.api.agenttask import (
    AgentTaskSpec,
    CredentialRequest,
    Intent,
    Workload,
)
from agentid.api.fields import Model, Person, Rule, checked_by_server
from agentid.api.stamps import Author

_NO_REF: Final = "workload.ref can't be said in a template: it is the Job that each task is made for"
_TTL_WITHIN_DEADLINE: Final = (
    "credential.ttlSeconds must be at most activeDeadlineSeconds: lower it, or raise the deadline"
)


def _as_of_a_task(name: str) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """Return the field of an AgentTask's spec with its bounds, its default and its description."""
    return copy(AgentTaskSpec.model_fields[name])


class TemplatedSpec(Model):
    """What of an AgentTask's spec a template may say; all else is said of one task, by who asks for it."""

    model_config = checked_by_server(
        Rule(
            "self.credential.ttlSeconds <= self.activeDeadlineSeconds",
            _TTL_WITHIN_DEADLINE,
            ".credential.ttlSeconds",
        ),
        Rule("!has(self.workload) || !has(self.workload.ref)", _NO_REF, ".workload.ref"),
    )

    agent_ref: AgentReference = _as_of_a_task("agent_ref")
    intent: Intent = _as_of_a_task("intent")
    on_behalf_of: Person | None = _as_of_a_task("on_behalf_of")
    workload: Workload | None = _as_of_a_task("workload")
    start_deadline_seconds: int = _as_of_a_task("start_deadline_seconds")
    active_deadline_seconds: int = _as_of_a_task("active_deadline_seconds")
    ttl_seconds_after_finished: int = _as_of_a_task("ttl_seconds_after_finished")
    credential: CredentialRequest = _as_of_a_task("credential")
    static_secrets: list[StaticSecretReference] = _as_of_a_task("static_secrets")

    @model_validator(mode="after")
    def _is_of_no_one_job(self) -> Self:
        if self.workload is not None and self.workload.ref is not None:
            raise ValueError(_NO_REF)
        return self

    @model_validator(mode="after")
    def _ttl_within_deadline(self) -> Self:
        if self.credential.ttl_seconds > self.active_deadline_seconds:
            raise ValueError(_TTL_WITHIN_DEADLINE)
        return self


class TaskTemplate(Model):
    """The task that is made for each Job."""

    spec: TemplatedSpec = Field(description="The spec of each task, but for the Job that it is made for.")


class AgentTaskTemplateSpec(Model):
    """What is asked for in each run, and who asks."""

    template: TaskTemplate = Field(
        description="The task that is made for each Job whose pods carry the label agentid.dev/template. "
        "Whoever changes it becomes the author."
    )
    author: Author | None = Field(
        default=None,
        description="Who wrote the template as it is. Stamped by admission; what is typed here is "
        "overwritten.",
    )
