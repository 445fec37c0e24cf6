"""Whether a pod runs what it ran when its credential was taken away: only then it gets one again."""

import hashlib

from agentid.api.agenttask_status import BoundPod
from agentid.api.reasons import WaitReason
from agentid.lifecycle.model import Observation, PodFacts, PodPhase, SecretState
from agentid.lifecycle.pods import bound_pod, is_over
from agentid.lifecycle.record import current, wait_reason, was_suspended
from agentid.lifecycle.verdict import Hold


def noted(observation: Observation, hold: Hold) -> BoundPod | None:
    """Return the bound pod, with what runs in it where its credential is taken away or its task suspended.

    That is written with what is written anyway, and not while containers are still to come.
    """
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    was, now = wait_reason(observation), hold.reason
    is_news = current(observation) is not None or (now is WaitReason.SUSPENDED and was != now)
    if bound is None or bound.running_images is not None or pod is None or not (is_news and _runs(pod)):
        return bound
    return bound.model_copy(update={"running_images": _digest(pod)})


def runs_something_else(observation: Observation) -> bool:
    """Whether all of the bound pod runs, and not what was noted of it."""
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    if bound is None or bound.running_images is None or pod is None:
        return False
    return _runs(pod) and _digest(pod) != bound.running_images


def has_to_run_first(observation: Observation) -> bool:
    """Whether the bound pod gets a credential again and does not run, so that it cannot be told what runs.

    Where nothing was noted of it, it is judged as it is, once all of it runs: a rule that demands an image
    would miss one that is still to come. One that waits for a Secret that was never made could wait for
    ever: it runs nothing, and gets its first credential.
    """
    bound, pod = observation.task.status.bound_pod, bound_pod(observation)
    if bound is None or pod is None or is_over(pod) or current(observation) is not None:
        return False
    is_there = observation.secret.state is not SecretState.ABSENT
    is_judged_anew = bound.running_images is not None or (was_suspended(observation) and is_there)
    return is_judged_anew and not _runs(pod)


def _runs(pod: PodFacts) -> bool:
    return pod.phase is PodPhase.RUNNING and pod.all_run


def _digest(pod: PodFacts) -> str:
    """Return a digest over those of its images; by which name each was pulled makes no difference."""
    digests = sorted({image.rpartition("@")[2] for image in pod.running_images})
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
