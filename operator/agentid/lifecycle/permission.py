"""Whether the Agent allows the task: it is there, reviewed, not switched off, and its ceiling holds."""

from collections.abc import Iterable, Iterator

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.lifecycle.model import Observation
from agentid.lifecycle.pods import bound_pod
from agentid.lifecycle.record import asked
from agentid.lifecycle.wording import at, name, names


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


def allowed_by(observation: Observation) -> str:
    """Say who allows the task."""
    return f"allowed by Agent {asked(observation).agent_ref.name}"


def covers(pattern: str, action: str) -> bool:
    """Whether `pattern` of an Agent allows `action`; `orders:*` allows all that start with `orders:`."""
    return action.startswith(pattern[:-1]) if pattern.endswith(":*") else action == pattern


def _breaches(observation: Observation, task: AgentTaskSpec, agent: AgentSpec) -> Iterator[str]:
    which = f"Agent {task.agent_ref.name}"
    owner = f"have the owner {name(agent.owner)}"
    for field, actions in (("actions", task.intent.actions), ("grantable", task.intent.grantable)):
        if beyond := [each for each in actions if not _covered(agent.actions, each)]:
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


def _covered(patterns: Iterable[str], action: str) -> bool:
    return any(covers(pattern, action) for pattern in patterns)


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
