"""The rules by which a task waits without a credential; each returns what for, or None if it does not."""

from agentid.api.agenttask import DesiredState
from agentid.api.names import TASK_LABEL, secret_name
from agentid.api.reasons import WaitReason
from agentid.lifecycle.attestation import has_to_run_first
from agentid.lifecycle.model import Observation, SecretState, WorkloadState
from agentid.lifecycle.permission import (
    agent_gap,
    ceiling_breach,
    is_disabled,
    overdue_review,
)
from agentid.lifecycle.pods import (
    bound_pod,
    claimants,
    ends_with_its_pod,
    is_over,
    lingering,
    mismatch,
    what_became_of,
)
from agentid.lifecycle.record import asked, has_started, is_step, may_write, workload
from agentid.lifecycle.verdict import Hold, LeaveAlone
from agentid.lifecycle.wording import at, name


def leave_alone_while_status_is_unreadable(observation: Observation) -> LeaveAlone | None:
    """A newer version wrote the status: it may be running, so what it holds is neither lost nor overwritten.

    Whoever wants the credential gone still gets that, by the task itself or its Agent's off switch.
    """
    task = observation.task
    if task.status_invalid is None:
        return None
    unwanted = task.spec is not None and (
        task.spec.state is not DesiredState.ACTIVE or is_disabled(observation)
    )
    return LeaveAlone(wipe=task.deleting or unwanted)


def hold_while_task_is_unreadable(observation: Observation) -> Hold | None:
    """What the task asks for does not fit its model: a newer or a tampered object."""
    task = observation.task
    if task.spec is not None:
        return None
    return Hold(
        WaitReason.ISSUANCE_BLOCKED,
        f"this version of agentid cannot read the AgentTask: {task.invalid or 'unknown form'}",
        stalled=True,
    )


def hold_while_suspended(observation: Observation) -> Hold | None:
    """Somebody set `state: Suspended`; the deadlines run on."""
    spec = asked(observation)
    if spec.state is not DesiredState.SUSPENDED:
        return None
    by = f" by {name(spec.state_changed_by.username)}" if spec.state_changed_by else ""
    why = f": {spec.state_reason}" if spec.state_reason else ""
    return Hold(WaitReason.SUSPENDED, f"spec.state was set to Suspended{by}{why}")


def hold_while_nobody_is_known_to_have_asked(observation: Observation) -> Hold | None:
    """The task was made while admission was not in force, so whoever asked was not stamped."""
    if asked(observation).requester is not None:
        return None
    return Hold(
        WaitReason.ISSUANCE_BLOCKED,
        "spec.requester is not there, so nobody knows who asked for this task: it was created before "
        "agentid's admission rules were in force. Delete it and create it anew.",
        stalled=True,
    )


def hold_while_agent_is_missing(observation: Observation) -> Hold | None:
    """There is no Agent that could allow anything."""
    gap = agent_gap(observation)
    return None if gap is None else Hold(WaitReason.AWAITING_AGENT, gap)


def hold_while_review_is_overdue(observation: Observation) -> Hold | None:
    """Nobody has looked at the Agent's record in time."""
    overdue = overdue_review(observation)
    return None if overdue is None else Hold(WaitReason.AWAITING_AGENT, overdue, stalled=True)


def hold_while_ceiling_is_exceeded(observation: Observation) -> Hold | None:
    """The task asks for more than its Agent allows."""
    breach = ceiling_breach(observation)
    return None if breach is None else Hold(WaitReason.CEILING_EXCEEDED, breach, stalled=True)


def hold_while_policy_denies(observation: Observation) -> Hold | None:
    """Policy does not allow it, or could not be asked. Nothing else speaks against it by now."""
    judgement = observation.judgement
    if judgement is None:
        defect = "policy was not asked; this is a defect of agentid"
        return Hold(WaitReason.AWAITING_POLICY, defect, stalled=True)
    return None if judgement.allowed else Hold(WaitReason.AWAITING_POLICY, judgement.message, stalled=True)


def hold_while_workload_kind_is_not_allowed(observation: Observation) -> Hold | None:
    """The installation does not watch that kind of object."""
    where = workload(observation)
    if where is None or where.ref is None or observation.workload.state is not WorkloadState.KIND_NOT_ALLOWED:
        return None
    return Hold(
        WaitReason.WORKLOAD_KIND_NOT_ALLOWED,
        f"spec.workload.ref names kind {where.ref.kind} of {where.ref.api_version}, which is not among the "
        "kinds allowed at installation. Name one that is, or have the platform team add it.",
        stalled=True,
    )


def hold_while_workload_is_missing(observation: Observation) -> Hold | None:
    """The object in `workload.ref` is not there yet."""
    where = workload(observation)
    if where is None or where.ref is None or observation.workload.state is WorkloadState.LIVE:
        return None
    return Hold(
        WaitReason.AWAITING_WORKLOAD,
        f"waits for {where.ref.kind} {where.ref.name} in namespace {observation.task.namespace}",
    )


def hold_while_another_pod_could_mount_it(observation: Observation) -> Hold | None:
    """A pod that does not suit the task carries its label, so it could mount the Secret."""
    if not _is_free(observation):
        return None
    for pod in claimants(observation):
        if (reason := mismatch(observation, pod)) is not None:
            cause = _what_became_of_bound(observation)
            return Hold(WaitReason.POD_MISMATCH, reason, cause, pod, stalled=True)
    return None


def hold_while_a_pod_is_leaving(observation: Observation) -> Hold | None:
    """A pod that could have the Secret mounted still runs; its successor waits for its end."""
    leaving = lingering(observation)
    if not leaving or not _is_free(observation):
        return None
    pod = leaving[0]
    until = f", at the latest at {at(pod.gone_by)}" if pod.gone_by else ""
    return Hold(
        WaitReason.AWAITING_POD,
        f"waits until the containers of pod {pod.name}, which is leaving, have ended{until}",
        _what_became_of_bound(observation),
        pod,
    )


def hold_while_pod_is_awaited(observation: Observation) -> Hold | None:
    """No pod works for the task now, or none that was given a node."""
    if workload(observation) is None or not _is_free(observation):
        return None
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    cause = _what_became_of_bound(observation)
    if bound is not None and ends_with_its_pod(observation):
        return Hold(
            WaitReason.AWAITING_POD,
            f"the containers of pod {bound.name} have ended; waits for the pod's own end",
            cause=cause,
            quiet=True,
        )
    claiming = claimants(observation)
    if claiming and claiming[0].scheduled:
        return None
    message = (
        f"pod {claiming[0].name} has no node yet"
        if claiming
        else f"waits for a pod with the label {TASK_LABEL}: {observation.task.name}"
    )
    # A Job tells of its pod's end itself, a moment later, and that is the Event.
    told_by_workload = _has_ref(observation) and pod is not None and not pod.leaving
    return Hold(WaitReason.AWAITING_POD, message, cause=cause, quiet=told_by_workload)


def hold_while_its_pod_does_not_run(observation: Observation) -> Hold | None:
    """It had a credential, or was to have one: it gets the next only once it can be told what runs in it."""
    bound = observation.task.status.bound_pod
    if bound is None or not has_to_run_first(observation):
        return None
    return Hold(
        WaitReason.AWAITING_POD,
        f"waits until all containers of pod {bound.name} run: what runs in it is looked at before it gets a "
        "credential again",
    )


def hold_while_secret_name_is_taken(observation: Observation) -> Hold | None:
    """A Secret that is not this task's has the reserved name: planted, or a predecessor's on its way out."""
    if observation.secret.state is not SecretState.TAKEN or is_step(observation.task):
        return None
    if observation.secret.predecessors:
        grace = round(observation.limits.wipe_grace.total_seconds())
        return Hold(
            WaitReason.SECRET_NAME_TAKEN,
            f"Secret {secret_name(observation.task.name)} is an earlier task's of this name; waits until it "
            f"is deleted, at the latest {grace} s after it was emptied",
            mends_itself=True,
            probe=may_write(observation),
        )
    return Hold(
        WaitReason.SECRET_NAME_TAKEN,
        f"Secret {secret_name(observation.task.name)} exists and is not this task's. One of an earlier task "
        "of this name goes by itself; any other has to be deleted.",
        stalled=True,
        probe=may_write(observation),
    )


def hold_while_there_is_no_room(observation: Observation) -> Hold | None:
    """As many tasks as may be active at once are. All else is as it should be by now.

    An emergency waits for no room; it counts as active like any other.
    """
    if observation.crowded is None or has_started(observation) or asked(observation).break_glass is not None:
        return None
    return Hold(WaitReason.AWAITING_QUOTA, observation.crowded)


def _is_free(observation: Observation) -> bool:
    """Whether the next pod may be chosen: none is bound, or the bound one is over."""
    if workload(observation) is None:
        return not has_started(observation)
    return is_over(bound_pod(observation))


def _has_ref(observation: Observation) -> bool:
    where = workload(observation)
    return where is not None and where.ref is not None


def _what_became_of_bound(observation: Observation) -> str | None:
    bound = observation.task.status.bound_pod
    return None if bound is None else what_became_of(bound_pod(observation), bound.name)
