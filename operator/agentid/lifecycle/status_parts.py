"""What every report on a task is made of: the status as it is written, and what it says is missing."""

from collections.abc import Iterable
from typing import Final

from agentid.api.agenttask_status import AgentTaskStatus, Credential
from agentid.api.reasons import ConditionType, EventReason, IssueReason
from agentid.lifecycle.conditions import Said, merge
from agentid.lifecycle.events import BESIDE_EARLIER_ONES
from agentid.lifecycle.model import Observation
from agentid.lifecycle.record import (
    condition,
    has_started,
    held,
    holding,
    is_granted,
    is_step,
    this_second,
    workload_uid,
)

MAX_CREDENTIALS: Final = 8
"""How many credentials a status lists; the oldest ones of a task that is renewed faster are revoked."""


def status_after(
    observation: Observation,
    said: Iterable[Said],
    dropped: Iterable[ConditionType],
    **changes: object,
) -> AgentTaskStatus:
    """Return the status with what is said and changed now."""
    before, generation = observation.task.status, observation.task.generation
    conditions = merge(
        before.conditions, said, dropped=dropped, generation=generation, now=this_second(observation)
    )
    update = {
        "observed_generation": generation,
        "workload_uid": workload_uid(observation),
        "conditions": conditions,
        **changes,
    }
    return before.model_copy(update=update)


def nothing_held(observation: Observation, reason: str, cause: str, until: str = "") -> Said:
    """Say that a task has no credential, or a step no grant; how the last one went stays told."""
    task = observation.task
    if is_granted(task):
        return Said(ConditionType.GRANTED, False, reason, f"granted no longer: {cause}")
    kind = holding(task)
    before = condition(task.status, kind)
    was_held = task.status.credential_generation or (is_step(task) and has_started(observation))
    none = "nothing was granted" if is_step(task) else "no credential was issued"
    is_told = before is not None and before.status == "False" and was_held
    message = before.message if before is not None and is_told else f"{none} {until}".rstrip()
    return Said(kind, False, reason, message)


def stalled(reason: str | None, message: str, cleanup_delayed: str | None) -> list[Said]:
    """Say what a person has to mend; a Secret that cannot be taken away comes first."""
    if cleanup_delayed is not None:
        return [Said(ConditionType.STALLED, True, EventReason.CLEANUP_DELAYED, cleanup_delayed)]
    return [] if reason is None else [Said(ConditionType.STALLED, True, reason, message)]


def counting(observation: Observation, why: IssueReason, new: Credential) -> list[Credential]:
    """Return the credentials that count once `new` is there; earlier ones only beside a renewal."""
    if why not in BESIDE_EARLIER_ONES:
        return [new]
    in_life = [each for each in held(observation) if observation.now < each.not_after]
    return [*sorted(in_life, key=lambda each: each.generation), new][-MAX_CREDENTIALS:]
