"""Reads what earlier passes wrote into the status of a task, and what the task asks for."""

from datetime import datetime, timedelta
from typing import Final

from agentid.api.agenttask import AgentTaskSpec, CredentialMode, Workload
from agentid.api.agenttask_status import AgentTaskStatus, Condition, Credential
from agentid.api.reasons import ConditionType, IssueReason, WaitReason
from agentid.lifecycle.errors import UnreadableTaskError
from agentid.lifecycle.model import Observation, SecretState, TaskFacts

DEFAULT_START_DEADLINE_SECONDS: Final[int] = AgentTaskSpec.model_fields["start_deadline_seconds"].default


def asked(observation: Observation) -> AgentTaskSpec:
    """Return what the task asks for; the rules about unreadable tasks come before those that call this.

    Raises:
        UnreadableTaskError: the object does not fit its model.
    """
    if observation.task.spec is None:
        raise UnreadableTaskError(
            f"AgentTask {observation.task.namespace}/{observation.task.name} cannot be read"
        )
    return observation.task.spec


def condition(status: AgentTaskStatus, wanted: ConditionType) -> Condition | None:
    """Return the condition of type `wanted`, if there is one."""
    return next((each for each in status.conditions if each.type is wanted), None)


def is_finished(observation: Observation) -> bool:
    """Whether an earlier pass ended the task."""
    finished = condition(observation.task.status, ConditionType.FINISHED)
    return finished is not None and finished.status == "True"


def wait_reason(observation: Observation) -> str | None:
    """Return the reason that the last pass gave for Finished=False."""
    finished = condition(observation.task.status, ConditionType.FINISHED)
    return finished.reason if finished is not None and finished.status == "False" else None


def is_step(task: TaskFacts) -> bool:
    """Whether a task is a grant for its parent's identity, and has no credential."""
    return task.spec is not None and task.spec.credential.mode is CredentialMode.NONE


def is_emergency(task: TaskFacts) -> bool:
    """Whether nobody's approval is asked for it, and it is one credential."""
    return task.spec is not None and task.spec.break_glass is not None


def holding(task: TaskFacts) -> ConditionType:
    """Return the condition that says whether a task has what it is for: its credential, or its grant."""
    return ConditionType.GRANTED if is_step(task) else ConditionType.CREDENTIAL_ISSUED


def is_granted(task: TaskFacts) -> bool:
    """Whether the last pass said that a step lets its parent's identity do more."""
    granted = condition(task.status, ConditionType.GRANTED)
    return granted is not None and granted.status == "True"


def was_suspended(observation: Observation) -> bool:
    """Whether the task was suspended after a credential and has had none since, whatever came then."""
    issued = condition(observation.task.status, holding(observation.task))
    is_the_last = issued is not None and issued.status == "False" and issued.reason == WaitReason.SUSPENDED
    return is_the_last and has_started(observation)


def has_started(observation: Observation) -> bool:
    """Whether a credential was ever issued to the task."""
    return observation.task.status.start_time is not None


def current(observation: Observation) -> Credential | None:
    """Return the newest credential that the status counts."""
    return max(observation.task.status.credentials, key=lambda each: each.generation, default=None)


def held(observation: Observation) -> tuple[Credential, ...]:
    """Return those of the status' credentials that the Secret can be holding or have held.

    A credential that was written into the status but never into the Secret is none of them. Where it is in
    doubt what the Secret holds, all are.
    """
    credentials = observation.task.status.credentials
    secret = observation.secret
    if secret.state is SecretState.DOUBTFUL:
        return tuple(credentials)
    generation = secret.generation if secret.state is SecretState.FILLED else None
    if generation is None or generation not in {each.generation for each in credentials}:
        return ()
    return tuple(each for each in credentials if each.generation <= generation)


def was_never_released(observation: Observation) -> bool:
    """Whether the task's first credential was refused by the API server, so that it never had one."""
    issued = condition(observation.task.status, ConditionType.CREDENTIAL_ISSUED)
    failed = observation.failed_write
    is_the_first = issued is not None and issued.status == "True" and issued.reason == IssueReason.ISSUED
    refused = failed is not None and failed.refused
    return is_the_first and refused and observation.secret.state is SecretState.ABSENT


def may_write(observation: Observation) -> bool:
    """Whether a write to the Secret may be tried: none failed, or its pause is over."""
    failed = observation.failed_write
    return failed is None or failed.retry_at <= observation.now


def start_deadline(observation: Observation) -> datetime:
    """Return until when the task may wait for its first credential; the default where it cannot be read."""
    spec = observation.task.spec
    seconds = DEFAULT_START_DEADLINE_SECONDS if spec is None else spec.start_deadline_seconds
    return observation.task.created + timedelta(seconds=seconds)


def workload_uid(observation: Observation) -> str | None:
    """Return the UID of the object in `workload.ref`: the one first seen, whatever is there now."""
    return observation.task.status.workload_uid or observation.workload.uid


def workload(observation: Observation) -> Workload | None:
    """Return where the task runs; None: it is bound to no pod."""
    return asked(observation).workload


def this_second(observation: Observation) -> datetime:
    """Return `now` as a status can hold it: in whole seconds, never later than it is."""
    return observation.now.replace(microsecond=0)
