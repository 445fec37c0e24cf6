"""Whether the task is allowed: by its Agent, which is there, reviewed and not exceeded, and by policy."""

from collections.abc import Iterator, Mapping
from typing import Final

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec, DesiredState
from agentid.api.reasons import IssueReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.attestation import has_to_run_first
from agentid.lifecycle.errors import UnjudgedTaskError
from agentid.lifecycle.model import Judgement, Observation, PolicyAction
from agentid.lifecycle.patterns import covered
from agentid.lifecycle.pods import (
    bound_pod,
    is_between_its_parents_pods,
    is_replaced,
    mismatch,
    next_holder,
)
from agentid.lifecycle.record import (
    asked,
    current,
    has_started,
    is_emergency,
    is_finished,
    is_granted,
    was_suspended,
    workload,
)
from agentid.lifecycle.renewal import is_in_doubt, renew_at
from agentid.lifecycle.static_secrets import beyond_static_secrets, static_secrets
from agentid.lifecycle.wording import at, name, names

_ASKED_FOR: Final[Mapping[IssueReason, PolicyAction]] = {
    IssueReason.ISSUED: PolicyAction.ISSUE,
    IssueReason.INTENT_CHANGED: PolicyAction.ISSUE,
    IssueReason.POD_REPLACED: PolicyAction.ISSUE,
    IssueReason.RENEWED: PolicyAction.RENEW,
    IssueReason.RESUMED: PolicyAction.RESUME,
}
"""What has to be allowed for what; a credential that was lost is made again by whatever made it."""


def is_disabled(observation: Observation) -> bool:
    """Whether the Agent's off switch is set."""
    agent = observation.agent
    return agent is not None and agent.spec is not None and agent.spec.disabled


def agent_gap(observation: Observation) -> str | None:
    """Return why there is no Agent that could allow anything, with what to do; None if there is one."""
    agent = observation.agent
    which = f"Agent {observation.task.namespace}/{asked(observation).agent_ref.name}"
    if agent is None:
        return f"{which} does not exist. Have the platform team create it, or correct spec.agentRef."
    if agent.deleting:
        return f"{which} is being deleted."
    if agent.spec is None:
        return f"{which} cannot be read by this version of agentid. Have the platform team correct it."
    return None


def overdue_review(observation: Observation) -> str | None:
    """Return that the Agent's record had to be looked at, with who has to; None if it had not."""
    spec = observation.agent.spec if observation.agent else None
    if spec is None or spec.review_by is None or observation.now < spec.review_by:
        return None
    return (
        f"Agent {observation.task.namespace}/{asked(observation).agent_ref.name} was to be reviewed by "
        f"{at(spec.review_by)}. Have its owner {name(spec.owner)} review it and set spec.reviewBy anew."
    )


def ceiling_breach(observation: Observation) -> str | None:
    """Return the first thing in which the task asks for more than its Agent allows, with what to do."""
    agent = observation.agent.spec if observation.agent else None
    if agent is None:
        return None
    asks = f"AgentTask {observation.task.namespace}/{observation.task.name}: "
    breach = next(_breaches(observation, asked(observation), agent), None)
    return None if breach is None else f"{asks}{breach}"


def asks(observation: Observation) -> PolicyAction | None:
    """Return what policy is to be asked about the task now; None: nothing depends on the answer.

    A credential that counts stays only while that is allowed, or `stays_by`.
    """
    spec, agent = observation.task.spec, observation.agent
    if spec is None or spec.requester is None or spec.state is not DesiredState.ACTIVE:
        return None
    if agent is None or agent.spec is None or observation.task.deleting or is_finished(observation):
        return None
    if observation.task.status_invalid is not None:
        return None
    if was_suspended(observation):
        return PolicyAction.RESUME
    if _is_another(observation, spec):
        return PolicyAction.ISSUE
    renews = _is_to_be_renewed(observation) or _runs(observation)
    return PolicyAction.RENEW if renews else _made_by(observation)


def stays_by(observation: Observation) -> PolicyAction | None:
    """Return by what else a running task may keep its credential, where no rule says anything of `renew`.

    Who permits `issue` alone permits one credential, for its life: it stays by what it was made by. One that
    is in doubt is made again by that too, so that an operator that stops costs nobody the task.
    """
    if asks(observation) is not PolicyAction.RENEW:
        return None
    made_by = _made_by(observation)
    return None if made_by is PolicyAction.RENEW else made_by


def is_not_renewed(observation: Observation) -> bool:
    """Whether a credential that counts is the last: in an emergency, or where no rule permits the next one.

    A running task then keeps it by what allowed that.
    """
    if observation.judgement is None or current(observation) is None:
        return False
    is_asked = is_emergency(observation.task) or asks(observation) is PolicyAction.RENEW
    return is_asked and not may_be_renewed(observation)


def may_be_renewed(observation: Observation) -> bool:
    """Whether policy was asked for `renew` and permits it, so that what is made may prolong what there is."""
    judgement = observation.judgement
    is_permitted = judgement is not None and judgement.action is PolicyAction.RENEW
    return is_permitted and not is_emergency(observation.task)


def is_resumed_as_another(observation: Observation) -> bool:
    """Whether a suspended task goes on with another intent or pod, which has to be allowed like a new one."""
    spec = observation.task.spec
    return spec is not None and was_suspended(observation) and _is_another(observation, spec)


def has_what_it_asks_for(observation: Observation) -> bool:
    """Whether a credential counts, or a grant, that is for this intent and this pod."""
    has = is_granted(observation.task) or current(observation) is not None
    return has and not _is_another(observation, asked(observation))


def verdict_on_its_pod(observation: Observation) -> Judgement | None:
    """Return what policy says, unless it was asked about a task that had a pod and waits for the next one.

    Rules about images and accounts then said something of no pod, or of one that does not suit the task. That
    must not end a Job's task between two pods, or before the Job tells that it is complete; nor a step, which
    is done in its parent's pod. The same holds of a pod that has to run again first, the parent's as well.
    """
    if not has_started(observation):
        return observation.judgement
    if workload(observation) is None:
        is_without = is_between_its_parents_pods(observation) or _is_resumed_while_it_starts(observation)
        return None if is_without else observation.judgement
    pod = next_holder(observation)
    if pod is None or has_to_run_first(observation):
        return None
    is_unsuited = is_replaced(observation) and mismatch(observation, pod) is not None
    return None if is_unsuited else observation.judgement


def lost_permission(observation: Observation) -> str | None:
    """Return why policy does not allow the task any more; None if it does, or if that may still come."""
    judgement = verdict_on_its_pod(observation)
    if judgement is None or judgement.allowed or judgement.awaits_approval or judgement.in_doubt:
        return None
    return judgement.message


def permission(observation: Observation, why: IssueReason) -> Judgement:
    """Return what allows a credential that is made for the reason `why`, and all that is written beside it.

    Raises:
        UnjudgedTaskError: policy was not asked about that, or does not allow it.
    """
    judgement = observation.judgement
    action = None if judgement is None else _ASKED_FOR.get(why, judgement.action)
    is_allowed = judgement is not None and judgement.allowed and judgement.action is action
    if judgement is None or not is_allowed or not set(static_secrets(observation)) <= judgement.secrets:
        raise UnjudgedTaskError(
            f"AgentTask {observation.task.namespace}/{observation.task.name} is not allowed by policy"
        )
    return judgement


def _is_resumed_while_it_starts(observation: Observation) -> bool:
    """Whether policy was asked for a step's `resume` while its parent's pod had containers still to come."""
    judgement, pod = observation.judgement, observation.family.parents_pod
    is_resumed = judgement is not None and judgement.action is PolicyAction.RESUME
    return is_resumed and pod is not None and not pod.all_run


def _is_another(observation: Observation, spec: AgentTaskSpec) -> bool:
    """Whether its intent or its pod is another one than a credential was issued for."""
    return observation.task.status.spec_hash != spec_hash(spec) or is_replaced(observation)


def _is_to_be_renewed(observation: Observation) -> bool:
    due = renew_at(observation)
    return (due is not None and due <= observation.now) or is_in_doubt(observation)


def _runs(observation: Observation) -> bool:
    """Whether there is a credential to keep, and containers that all run, where it is for a pod.

    While a pod starts, its init containers may run alone: a rule that demands an image would miss one that
    is still to come, and end the task for good. Such rules are heard once all are there, or at the renewal.
    """
    pod = next_holder(observation)
    return current(observation) is not None and (pod is None or pod.all_run)


def _made_by(observation: Observation) -> PolicyAction:
    """Return what the newest credential was made by, or a grant; where there is none, one is to be issued."""
    task, newest = observation.task, current(observation)
    if is_granted(task) and task.status.decision is not None:
        return PolicyAction(task.status.decision.action)
    return PolicyAction.ISSUE if newest is None else PolicyAction(newest.made_by)


def _breaches(observation: Observation, task: AgentTaskSpec, agent: AgentSpec) -> Iterator[str]:
    which = f"Agent {task.agent_ref.name}"
    owner = f"have the owner {name(agent.owner)}"
    for field, actions in (("actions", task.intent.actions), ("grantable", task.intent.grantable)):
        if beyond := [each for each in actions if not covered(agent.actions, each)]:
            yield (
                f"intent.{field} asks for {names(beyond)}, which {which} does not list "
                f"(it lists {names(agent.actions) or 'nothing'}). Ask for less, or {owner} add it."
            )
    if task.intent.sensitivity.rank > agent.max_sensitivity.rank:
        yield (
            f"intent.sensitivity is {task.intent.sensitivity}, but {which} allows at most "
            f"{agent.max_sensitivity}. Ask for less, or {owner} raise spec.maxSensitivity."
        )
    if task.active_deadline_seconds > agent.max_active_deadline_seconds:
        yield (
            f"activeDeadlineSeconds is {task.active_deadline_seconds}, but {which} allows at most "
            f"{agent.max_active_deadline_seconds}. Ask for less, or {owner} raise "
            "spec.maxActiveDeadlineSeconds."
        )
    if (account := _account(observation, task, agent)) is not None:
        yield (
            f"{account}, but {which} lists {names(agent.service_accounts) or 'no service account'}. "
            f"Use one that is listed, or {owner} add it to spec.serviceAccounts."
        )
    yield from beyond_static_secrets(observation)


def _account(observation: Observation, task: AgentTaskSpec, agent: AgentSpec) -> str | None:
    """Say which service account the task uses that the Agent does not list."""
    if task.workload is None:
        return None
    wanted = task.workload.service_account_name
    if wanted is not None and wanted not in agent.service_accounts:
        return f"workload.serviceAccountName is {wanted}"
    bound = bound_pod(observation)
    if bound is not None and bound.service_account not in agent.service_accounts:
        return f"its pod {bound.name} runs as service account {bound.service_account}"
    if not agent.service_accounts:
        return "spec.workload asks for a pod"
    return None
