"""The rules by which a task ends whatever its pods do; each returns the cause, or None."""

from agentid.api.agenttask import DesiredState
from agentid.api.reasons import EndReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import end_above
from agentid.lifecycle.model import Observation, WorkloadState
from agentid.lifecycle.permission import (
    agent_gap,
    ceiling_breach,
    is_disabled,
    lost_permission,
    overdue_review,
)
from agentid.lifecycle.record import asked, has_started, is_finished, start_deadline, wait_reason, workload
from agentid.lifecycle.verdict import End, StayFinished
from agentid.lifecycle.wording import at, name


def stay_finished(observation: Observation) -> StayFinished | None:
    """An end is final; what is left is to clean up."""
    return StayFinished() if is_finished(observation) else None


def end_when_task_is_deleted(observation: Observation) -> End | None:
    """Somebody deleted the AgentTask, or its namespace."""
    if not observation.task.deleting:
        return None
    return End(EndReason.DELETED, "the AgentTask was deleted")


def end_when_deadline_is_past(observation: Observation) -> End | None:
    """The hard end, from the first credential on; without renewal, the end of the first one's life."""
    deadline = observation.task.status.deadline
    if deadline is None or observation.now < deadline:
        return None
    spec = observation.task.spec
    if spec is not None and not spec.credential.renew:
        cause = "the task was to end with its credential (spec.credential.renew is false)"
    else:
        cause = "the task's deadline (spec.activeDeadlineSeconds) passed"
    return End(EndReason.EXPIRED, f"{cause} at {at(deadline)}")


def revoke_when_task_is_unreadable(observation: Observation) -> End | None:
    """What a running task asks for can no longer be read."""
    task = observation.task
    if task.spec is not None or not has_started(observation):
        return None
    return End(EndReason.REVOKED, f"the AgentTask can no longer be read: {task.invalid or 'unknown form'}")


def end_when_unreadable_task_has_waited_too_long(observation: Observation) -> End | None:
    """Whoever waits for the end of a task that cannot be read does so no longer than for others."""
    task = observation.task
    if task.spec is not None or has_started(observation) or observation.now < start_deadline(observation):
        return None
    return End(
        EndReason.START_DEADLINE_EXCEEDED,
        f"no credential could be issued by {at(start_deadline(observation))}: this version of agentid cannot "
        f"read the AgentTask: {task.invalid or 'unknown form'}",
    )


def end_when_state_is_ended(observation: Observation) -> End | None:
    """Somebody set `state: Ended`."""
    spec = asked(observation)
    if spec.state is not DesiredState.ENDED:
        return None
    by = f" by {name(spec.state_changed_by.username)}" if spec.state_changed_by else ""
    why = f": {spec.state_reason}" if spec.state_reason else ""
    return End(EndReason.ENDED, f"spec.state was set to Ended{by}{why}")


def end_when_a_task_above_has_ended(observation: Observation) -> End | None:
    """A task ends with its parent, and with what that is under, whether it waits or runs."""
    lineage = observation.family.lineage
    over = end_above(lineage, observation.now)
    if over is None and observation.task.status.delegation is not None:
        # It was found good once, and parentRef never changes: what cannot be found now is gone.
        over = lineage.flaw
    return None if over is None else End(EndReason.PARENT_ENDED, over)


def end_when_start_deadline_is_past(observation: Observation) -> End | None:
    """The task waited too long for its first credential."""
    status = observation.task.status
    never_written = (
        wait_reason(observation) == WaitReason.SECRET_NAME_TAKEN and status.credential_generation == 1
    )
    if (has_started(observation) and not never_written) or observation.now < start_deadline(observation):
        return None
    waited = wait_reason(observation)
    what_for = f"; it last waited with reason {waited}" if waited is not None else ""
    return End(
        EndReason.START_DEADLINE_EXCEEDED,
        f"no credential could be issued within {asked(observation).start_deadline_seconds} s "
        f"(spec.startDeadlineSeconds){what_for}",
    )


def end_when_agent_is_disabled(observation: Observation) -> End | None:
    """The Agent's off switch ends all its tasks, those that wait as well."""
    if not is_disabled(observation):
        return None
    reason = EndReason.REVOKED if has_started(observation) else EndReason.DENIED
    which = f"Agent {observation.task.namespace}/{asked(observation).agent_ref.name}"
    return End(reason, f"{which} is switched off (spec.disabled)")


def revoke_when_agent_no_longer_allows_it(observation: Observation) -> End | None:
    """After the first credential, loss of permission ends the task for good."""
    if not has_started(observation):
        return None
    lost = agent_gap(observation) or overdue_review(observation) or ceiling_breach(observation)
    return None if lost is None else End(EndReason.REVOKED, lost)


def revoke_when_its_parents_no_longer_allow_it(observation: Observation) -> End | None:
    """What it is under was narrowed or is gone: a child never has more than its parent."""
    if not has_started(observation):
        return None
    breach = delegation_breach(observation.task, observation.family.lineage, observation.now)
    return None if breach is None else End(EndReason.REVOKED, breach)


def revoke_when_an_emergency_was_changed(observation: Observation) -> End | None:
    """It was decided on once, without anybody's approval; the API server refuses any change of it."""
    spec, decided = asked(observation), observation.task.status.spec_hash
    if spec.break_glass is None or not has_started(observation) or decided == spec_hash(spec):
        return None
    return End(
        EndReason.REVOKED, "a task with breakGlass was changed, which is not possible: create a new one"
    )


def revoke_when_policy_no_longer_allows_it(observation: Observation) -> End | None:
    """A rule forbids now what it allowed, or none allows it any more."""
    lost = lost_permission(observation) if has_started(observation) else None
    return None if lost is None else End(EndReason.REVOKED, lost)


def revoke_when_workload_kind_is_no_longer_allowed(observation: Observation) -> End | None:
    """The end of such an object can no longer be seen."""
    where = workload(observation)
    if (
        where is None
        or where.ref is None
        or not has_started(observation)
        or observation.workload.state is not WorkloadState.KIND_NOT_ALLOWED
    ):
        return None
    return End(
        EndReason.REVOKED,
        f"kind {where.ref.kind} of {where.ref.api_version} is no longer among the kinds that "
        "spec.workload.ref may name",
    )


def end_when_workload_is_gone(observation: Observation) -> End | None:
    """The object in `workload.ref` was seen and is not there any more; one of the same name is another."""
    where, seen = workload(observation), observation.task.status.workload_uid
    if where is None or where.ref is None or seen is None:
        return None
    which = f"{where.ref.kind} {where.ref.name}"
    if observation.workload.state is WorkloadState.NOT_FOUND:
        return End(EndReason.WORKLOAD_DELETED, f"{which} is gone")
    if observation.workload.uid is not None and observation.workload.uid != seen:
        return End(EndReason.WORKLOAD_DELETED, f"{which} is gone; another one has taken its name")
    return None


def end_when_workload_reports_its_end(observation: Observation) -> End | None:
    """The object in `workload.ref` says of itself that it is done or has failed."""
    where, facts = workload(observation), observation.workload
    if where is None or where.ref is None:
        return None
    which = f"{where.ref.kind} {where.ref.name}"
    if facts.state is WorkloadState.SUCCEEDED:
        return End(EndReason.COMPLETED, f"{which} reported {facts.message or 'that it is complete'}")
    if facts.state is WorkloadState.FAILED:
        return End(EndReason.FAILED, f"{which} reported {facts.message or 'that it failed'}")
    return None
