"""Which pods could hold a task's credential, and which one may.

A Secret can be mounted by every pod that carries the task's label, so each one that lives counts, whether it
suits the task or not.
"""

from datetime import datetime

from agentid.api.agenttask import Replacement
from agentid.lifecycle.model import Observation, PodEnd, PodFacts, PodPhase
from agentid.lifecycle.record import asked, is_step, workload, workload_uid


def lives(pod: PodFacts) -> bool:
    """Whether a container of it runs or may still start, so that it could have the Secret mounted."""
    return not pod.finished and not pod.containers_ended


def lingers(pod: PodFacts, now: datetime) -> bool:
    """Whether it is leaving, still lives, and its grace is not over."""
    return pod.leaving and lives(pod) and (pod.gone_by is None or now < pod.gone_by)


def claimants(observation: Observation) -> list[PodFacts]:
    """Return the living pods that claim the task by its label and are not leaving, oldest first."""
    claiming = [pod for pod in observation.pods if pod.labelled and lives(pod) and not pod.leaving]
    return sorted(claiming, key=lambda pod: (pod.created, pod.name))


def lingering(observation: Observation) -> list[PodFacts]:
    """Return the leaving pods for whose end a successor has to wait."""
    return [pod for pod in observation.pods if lingers(pod, observation.now)]


def bound_pod(observation: Observation) -> PodFacts | None:
    """Return the pod that the task is bound to, as it is now; None where there is none, or it is gone."""
    bound = observation.task.status.bound_pod
    if bound is None:
        return None
    return next((pod for pod in observation.pods if pod.uid == bound.uid), None)


def ends_with_its_pod(observation: Observation) -> bool:
    """Whether the task is its pod: it names a workload without `ref`, and no other pod may follow."""
    where = workload(observation)
    return where is not None and where.ref is None and where.replacement is Replacement.NEVER


def next_holder(observation: Observation) -> PodFacts | None:
    """Return the pod that a credential made now is for: the bound one, or else the one that claims it."""
    if workload(observation) is None:
        return None
    bound = bound_pod(observation)
    if not is_over(bound):
        return bound
    return next(iter(claimants(observation)), None)


def is_replaced(observation: Observation) -> bool:
    """Whether the pod that a credential made now is for is another one than the task is bound to."""
    bound, pod = observation.task.status.bound_pod, next_holder(observation)
    return pod is not None and (bound is None or bound.uid != pod.uid)


def is_between_its_parents_pods(observation: Observation) -> bool:
    """Whether a task is a step, which is done in its parent's pod, and there is none of these now."""
    family = observation.family
    if not is_step(observation.task) or not family.lineage.ancestors or family.parents_pod is not None:
        return False
    above = family.lineage.ancestors[0].spec
    return above is not None and above.workload is not None


def is_over(pod: PodFacts | None) -> bool:
    """Whether the pod that held the credential must hold it no longer: gone, leaving or at its end."""
    return pod is None or pod.leaving or not lives(pod)


def asks_for_a_template(pod: PodFacts) -> bool:
    """Whether it lives and wants a task that is made from a template."""
    return pod.template is not None and pod.labelled and lives(pod) and not pod.leaving


def is_of_its_template(observation: Observation, pod: PodFacts) -> bool:
    """Whether the task is what the pod asks for: one that was made from its template, if it asks for one."""
    spec = observation.task.spec
    made_from = spec.template_ref.name if spec is not None and spec.template_ref is not None else None
    return pod.template is None or pod.template == made_from


def mismatch(observation: Observation, pod: PodFacts) -> str | None:
    """Return why `pod` may not get this task's credential, with what to do; None if it may."""
    where = workload(observation)
    if where is None:
        return (
            f"pod {pod.name} carries this task's label, but the task names no workload, so no pod may "
            "work for it. Remove the pod, or make the task anew with spec.workload."
        )
    if not is_of_its_template(observation, pod):
        return (
            f"pod {pod.name} asks for a task made from AgentTaskTemplate {pod.template}, which this one was "
            "not. Delete it, or give the pod's Job another name."
        )
    wanted = where.service_account_name
    if wanted is not None and pod.service_account != wanted:
        return (
            f"pod {pod.name} runs as service account {pod.service_account}, but "
            f"spec.workload.serviceAccountName is {wanted}. Remove the pod or run it as {wanted}."
        )
    listed = observation.agent.spec.service_accounts if observation.agent and observation.agent.spec else []
    if pod.service_account not in listed:
        return (
            f"pod {pod.name} runs as service account {pod.service_account}, which Agent "
            f"{asked(observation).agent_ref.name} does not list in spec.serviceAccounts. "
            "Run it as one that is listed, or have the Agent's owner add it."
        )
    if where.ref is not None and workload_uid(observation) not in pod.controllers:
        return (
            f"pod {pod.name} does not belong to {where.ref.kind} {where.ref.name} with UID "
            f"{workload_uid(observation)}, which spec.workload.ref names. Remove the pod or its label."
        )
    return None


def what_became_of(pod: PodFacts | None, name: str) -> str:
    """Say how the pod `name`, which is over, stands now."""
    if pod is None:
        return f"pod {name} is gone"
    if pod.phase is PodPhase.SUCCEEDED:
        return f"pod {name} succeeded"
    if pod.end is not PodEnd.UNSAID:
        return f"pod {name} was evicted" if pod.end is PodEnd.EVICTED else f"the node of pod {name} is lost"
    if pod.phase is PodPhase.FAILED:
        return f"pod {name} failed"
    return f"pod {name} is being deleted" if pod.leaving else f"the containers of pod {name} have ended"
