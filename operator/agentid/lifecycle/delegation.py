"""Whether a child is within its parent, and that within its own, up to the task without a parent."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from agentid.api.agenttask import AgentTaskSpec, CredentialMode
from agentid.lifecycle.lineage import delegator, ending, title
from agentid.lifecycle.model import Lineage, TaskFacts
from agentid.lifecycle.wording import name, names


def delegation_breach(task: TaskFacts, lineage: Lineage, now: datetime) -> str | None:
    """Return the first reason for which a task may not have what it asks for from those above it.

    Every link is looked at, not only the task's own: what became too wide further up reaches it without
    waiting for the tasks between. A task without a parent has none.
    """
    breach = next(_breaches(task, lineage, now), None)
    return None if breach is None else f"{title(task)}: {breach}"


def longest_life(spec: AgentTaskSpec) -> int:
    """Return how many seconds after its beginning a task ends at the latest."""
    if spec.credential.renew:
        return spec.active_deadline_seconds
    return min(spec.credential.ttl_seconds, spec.active_deadline_seconds)


def _breaches(task: TaskFacts, lineage: Lineage, now: datetime) -> Iterator[str]:
    if lineage.flaw is not None:
        yield lineage.flaw
    for child, parent in pairwise((task, *lineage.ancestors)):
        where = "" if child is task else f"{title(child)}, which it is under: "
        for breach in _of_link(child, parent, delegator(task, lineage), now):
            yield f"{where}{breach}"


def _of_link(child: TaskFacts, parent: TaskFacts, inherited: str | None, now: datetime) -> Iterator[str]:
    which = f"its parent {title(parent)}"
    if (over := ending(parent, now)) is not None:
        yield f"{which} {over}. Create a task of its own, or a child of one that lives."
    if child.spec is None or parent.spec is None:
        yield f"{title(child if child.spec is None else parent)} cannot be read by this version of agentid."
        return
    if (unfit := _no_parent(parent.spec)) is not None:
        yield f"{which} is {unfit}. Name another parent."
    if not _has_the_right(child, parent):
        asker = child.spec.asker
        yield (
            f"{name(asker.username) if asker else 'nobody who is known'} asked for it, and is neither the "
            f'pod bound to {which} nor had the verb "delegate" on it. Have that pod create it, or somebody '
            "who has the verb (ClusterRole agentid-delegate-task)."
        )
    yield from _too_wide(child.spec, parent.spec, which)
    if child.spec.on_behalf_of not in {None, inherited}:
        yield (
            f"onBehalfOf is {name(str(child.spec.on_behalf_of))}, but {which} is done "
            f"{f'for {name(inherited)}' if inherited else 'on behalf of nobody'}, and a child inherits that. "
            "Leave onBehalfOf out."
        )


def _no_parent(spec: AgentTaskSpec) -> str | None:
    if spec.credential.mode is CredentialMode.NONE:
        return "a step, which has no identity to give from"
    return "an emergency, which has no children" if spec.break_glass is not None else None


def _has_the_right(child: TaskFacts, parent: TaskFacts) -> bool:
    """Whether who asked for the child may name that parent; what was found once stays so for that intent.

    The parent's pod may have been replaced since; nobody can become its pod afterwards by that.
    """
    asker = child.spec.asker if child.spec is not None else None
    if asker is None:
        return False
    found = child.status.delegation
    if found is not None and found.intent_generation == asker.intent_generation:
        return found.chain[0].uid == parent.uid
    bound = parent.status.bound_pod
    is_its_pod = asker.pod_uid is not None and bound is not None and asker.pod_uid == bound.uid
    return is_its_pod or asker.may_delegate is True


def _too_wide(child: AgentTaskSpec, parent: AgentTaskSpec, which: str) -> Iterator[str]:
    yield from _intent_too_wide(child, parent, which)
    if longest_life(child) > longest_life(parent):
        yield (
            f"it may live for {longest_life(child)} s, but {which} for {longest_life(parent)} s at most. "
            "Ask for a shorter activeDeadlineSeconds."
        )
    has = {each.name for each in parent.static_secrets}
    if beyond := [each.name for each in child.static_secrets if each.name not in has]:
        yield f"staticSecrets asks for {names(beyond)}, which {which} has not. Leave it out."
    if child.credential.ttl_seconds > parent.credential.ttl_seconds:
        yield (
            f"credential.ttlSeconds is {child.credential.ttl_seconds}, but {which} has "
            f"{parent.credential.ttl_seconds}. Ask for less."
        )
    yield from _delivered_wider(child, parent, which)


def _intent_too_wide(child: AgentTaskSpec, parent: AgentTaskSpec, which: str) -> Iterator[str]:
    has = [*parent.intent.actions, *parent.intent.grantable]
    for field, actions in (("actions", child.intent.actions), ("grantable", child.intent.grantable)):
        if beyond := [each for each in actions if each not in has]:
            yield (
                f"intent.{field} asks for {names(beyond)}, which {which} neither has nor may grant "
                f"(it has and may grant {names(has)}). Ask for less."
            )
    given = parent.intent.resources
    if given and not child.intent.resources:
        yield f"intent.resources is empty, but {which} is limited to {names(given)}. Name some of these."
    if given and (beyond := [each for each in child.intent.resources if each not in given]):
        yield (
            f"intent.resources asks for {names(beyond)}, but {which} is limited to {names(given)}. "
            "Ask for less."
        )
    if child.intent.sensitivity.rank > parent.intent.sensitivity.rank:
        yield (
            f"intent.sensitivity is {child.intent.sensitivity}, but that of {which} is "
            f"{parent.intent.sensitivity}. Ask for less."
        )


def _delivered_wider(child: AgentTaskSpec, parent: AgentTaskSpec, which: str) -> Iterator[str]:
    if child.credential.mode is CredentialMode.NONE:
        if child.agent_ref.name != parent.agent_ref.name:
            yield (
                f"agentRef is {child.agent_ref.name}, but a step is a grant to the identity of {which}, "
                f"whose Agent is {parent.agent_ref.name}. Name that one."
            )
        return
    if child.credential.mode is not parent.credential.mode:
        yield (
            f"credential.mode is {child.credential.mode}, but that of {which} is {parent.credential.mode}. "
            "Ask for the same, or for None."
        )
    if child.workload is None and parent.workload is not None:
        yield f"it is bound to no pod, but {which} is. Say in workload where it runs."
