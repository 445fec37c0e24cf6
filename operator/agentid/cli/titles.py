"""How a task stands, in one sentence."""

from typing import Final

from agentid.api.reasons import ConditionType, RunReason, WaitReason
from agentid.lifecycle.model import TaskFacts
from agentid.lifecycle.record import condition

_WAITS: Final = {
    WaitReason.AWAITING_AGENT: "waits for its Agent.",
    WaitReason.AWAITING_STATIC_SECRET: "waits for a static secret.",
    WaitReason.CEILING_EXCEEDED: "asks for more than its Agent allows.",
    WaitReason.AWAITING_POLICY: "is not allowed by policy.",
    WaitReason.AWAITING_APPROVAL: "waits for an approval.",
    WaitReason.AWAITING_WORKLOAD: "waits for its workload.",
    WaitReason.WORKLOAD_KIND_NOT_ALLOWED: "names a workload of a kind that is not allowed.",
    WaitReason.AWAITING_POD: "waits for its pod.",
    WaitReason.POD_MISMATCH: "is claimed by a pod that does not suit it.",
    WaitReason.ISSUANCE_BLOCKED: "waits, as nothing can be issued to it now.",
    WaitReason.SECRET_NAME_TAKEN: "waits for the name of its Secret.",
    WaitReason.AWAITING_QUOTA: "waits for room.",
    WaitReason.APPROVAL_DENIED: "was denied by somebody who may approve it.",
    WaitReason.DELEGATION_REFUSED: "asks for more than its parent may give.",
    WaitReason.AWAITING_PARENT: "waits for a task that it is under.",
    WaitReason.TOO_MANY_CHILDREN: "waits for a place among its parent's children.",
    WaitReason.SUSPENDED: "is suspended.",
}


def title_of(task: TaskFacts) -> tuple[str, str]:
    """Return how the task stands in one sentence, and its colour."""
    finished = condition(task.status, ConditionType.FINISHED)
    if finished is None:
        return f"{task.name} has not been looked at by an operator yet.", "bold yellow"
    if finished.status == "True":
        return f"{task.name} has ended: {finished.reason}.", "bold"
    if finished.reason == RunReason.RUNNING:
        return f"{task.name} is allowed, and runs.", "bold green"
    waits = {reason.value: said for reason, said in _WAITS.items()}
    return f"{task.name} {waits.get(finished.reason, f'waits: {finished.reason}.')}", "bold yellow"
