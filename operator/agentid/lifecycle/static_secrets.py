"""Which static secrets a task may have copies of: that they are there, are for it, and can be read."""

from collections.abc import Iterator

from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.reasons import EndReason, WaitReason
from agentid.lifecycle.model import Observation, StaticSecretFacts
from agentid.lifecycle.patterns import covered
from agentid.lifecycle.record import asked, has_started
from agentid.lifecycle.renewal import longest_life
from agentid.lifecycle.verdict import End, Hold
from agentid.lifecycle.wording import names


def static_secrets(observation: Observation) -> tuple[str, ...]:
    """Return the names of those that the task asks for."""
    return tuple(each.name for each in asked(observation).static_secrets)


def static_secret_gap(observation: Observation) -> str | None:
    """Return that there is none of a name for the task's Agent, with what to do; None if all are there.

    Whether there is one for others is nobody's business here, so that both read alike.
    """
    missing = next((name for name in static_secrets(observation) if _ours(observation, name) is None), None)
    if missing is None:
        return None
    namespace, agent = observation.task.namespace, asked(observation).agent_ref.name
    return (
        f"no AgentSecret {missing} is for Agent {agent} of namespace {namespace}. Have the platform team "
        "create it or add the Agent to its spec.agents, or make the task anew without it in "
        "spec.staticSecrets."
    )


def beyond_static_secrets(observation: Observation) -> Iterator[str]:
    """Yield in what the task asks for more than its static secrets allow, with what to do."""
    actions = asked(observation).intent.actions
    seconds = round(longest_life(observation).total_seconds())
    for name in static_secrets(observation):
        secret = _ours(observation, name)
        if secret is None:
            continue
        if not any(covered(secret.actions, action) for action in actions):
            yield (
                f"AgentSecret {name} is for {names(secret.actions)}, none of which intent.actions asks for "
                f"(it asks for {names(actions)}). Ask for what the secret is for, or make the task anew "
                "without it in spec.staticSecrets."
            )
        if seconds > secret.max_ttl_seconds:
            yield (
                f"AgentSecret {name} may be held for {secret.max_ttl_seconds} s at most, and this task may "
                f"run for {seconds} s. Make it anew with activeDeadlineSeconds {secret.max_ttl_seconds}, or "
                "have the platform team raise spec.maxTTLSeconds."
            )


def rotated(observation: Observation) -> tuple[str, ...]:
    """Return the names of those whose value is another one, or kept elsewhere, than when it was copied."""
    copied = {each.name: each.version for each in observation.task.status.static_secrets}
    return tuple(
        each.name
        for each in observation.static_secrets
        if each.version is not None and each.version != copied.get(each.name)
    )


def revoke_when_static_secret_is_no_longer_there(observation: Observation) -> End | None:
    """Its AgentSecret was deleted, or is for other Agents now: a copy must not outlive that."""
    gap = static_secret_gap(observation) if has_started(observation) else None
    return None if gap is None else End(EndReason.REVOKED, gap)


def hold_while_static_secret_is_missing(observation: Observation) -> Hold | None:
    """There is no AgentSecret that could allow a copy."""
    gap = static_secret_gap(observation)
    return None if gap is None else Hold(WaitReason.AWAITING_STATIC_SECRET, gap)


def hold_while_static_secret_is_unreadable(observation: Observation) -> Hold | None:
    """The value is not where it is kept: without it there is no credential, and a copy of it goes as well."""
    problem = next((each.problem for each in observation.static_secrets if each.problem), None)
    return None if problem is None else Hold(WaitReason.AWAITING_STATIC_SECRET, problem, stalled=True)


def _facts(observation: Observation, name: str) -> StaticSecretFacts | None:
    return next((each for each in observation.static_secrets if each.name == name), None)


def _ours(observation: Observation, name: str) -> AgentSecretSpec | None:
    """Return the AgentSecret of that name if it is for the task's Agent."""
    facts = _facts(observation, name)
    if facts is None or facts.spec is None:
        return None
    agent = (observation.task.namespace, asked(observation).agent_ref.name)
    is_ours = agent in {(each.namespace, each.name) for each in facts.spec.agents}
    return facts.spec if is_ours else None
