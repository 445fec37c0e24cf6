"""The rules by which a task ends because of its pods; each returns the cause, or None."""

from agentid.api.agenttask_status import BoundPod
from agentid.api.reasons import EndReason
from agentid.lifecycle.attestation import runs_something_else
from agentid.lifecycle.model import Observation, PodEnd, PodFacts, PodPhase
from agentid.lifecycle.pods import bound_pod, claimants, ends_with_its_pod, is_over, mismatch, what_became_of
from agentid.lifecycle.record import has_started, workload
from agentid.lifecycle.verdict import End

_ONE_POD = "a task is worked on by one pod at a time, since two must not share a key"


def end_when_second_pod_claims_the_task(observation: Observation) -> End | None:
    """A pod that is not leaving claims the task beside the one that has it, whether it suits or not."""
    holder = _holder(observation)
    if holder is None:
        return None
    second = next((pod for pod in claimants(observation) if pod.uid != holder.uid), None)
    if second is None:
        return None
    return End(
        EndReason.SECOND_POD,
        f"pod {second.name} claims the task (label agentid.dev/task) while pod {holder.name} holds it; "
        f"{_ONE_POD}",
        second,
    )


def end_when_two_pods_claim_a_free_task(observation: Observation) -> End | None:
    """Neither of two pods that both suit can be told to be the one."""
    if workload(observation) is None or _holder(observation) is not None:
        return None
    suitable = [pod for pod in claimants(observation) if mismatch(observation, pod) is None]
    if len(suitable) < 2:  # noqa: PLR2004 - two
        return None
    first, second = suitable[:2]
    return End(
        EndReason.SECOND_POD, f"pods {first.name} and {second.name} both claim the task; {_ONE_POD}", second
    )


def end_when_pod_claims_an_unbound_task(observation: Observation) -> End | None:
    """A task that names no workload belongs to no pod, yet a labelled one could mount its Secret."""
    claiming = claimants(observation)
    if workload(observation) is not None or not has_started(observation) or not claiming:
        return None
    return End(
        EndReason.SECOND_POD,
        f"pod {claiming[0].name} claims the task (label agentid.dev/task), but the task names no workload "
        "and its credential is held elsewhere",
        claiming[0],
    )


def end_when_bound_pod_changed(observation: Observation) -> End | None:
    """What runs in the pod is no longer what was decided on, or it left the task."""
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    if bound is None or pod is None:
        return None
    if pod.fingerprint != bound.fingerprint:
        return End(
            EndReason.POD_CHANGED,
            f"the containers, images or controlling owner of pod {pod.name} are no longer those that the "
            "credential was issued for",
        )
    if runs_something_else(observation):
        return End(
            EndReason.POD_CHANGED,
            f"pod {pod.name} does not run the images that it ran when its credential was taken away",
        )
    if not pod.labelled:
        return End(EndReason.POD_CHANGED, f"pod {pod.name} lost its label agentid.dev/task")
    return None


def end_when_bound_pod_is_over(observation: Observation) -> End | None:
    """Without `ref` and without replacement, the task is its pod."""
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    if bound is None or not ends_with_its_pod(observation):
        return None
    reason = _reason_of_the_end(pod)
    return None if reason is None else End(reason, what_became_of(pod, bound.name))


def _reason_of_the_end(pod: PodFacts | None) -> EndReason | None:
    if pod is None:
        return EndReason.POD_DELETED
    if pod.phase is PodPhase.SUCCEEDED:
        return EndReason.COMPLETED
    if not (pod.leaving or pod.phase is PodPhase.FAILED):
        return None
    if pod.end is PodEnd.EVICTED:
        return EndReason.POD_EVICTED
    if pod.end is PodEnd.NODE_LOST:
        return EndReason.NODE_LOST
    return EndReason.FAILED if pod.phase is PodPhase.FAILED else EndReason.POD_DELETED


def _holder(observation: Observation) -> BoundPod | None:
    """Return the pod that has the task and is not over."""
    return None if is_over(bound_pod(observation)) else observation.task.status.bound_pod
