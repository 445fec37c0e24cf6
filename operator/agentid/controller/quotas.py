"""How many tasks a namespace and an Agent may have active at once, and who waits until there is room."""

from collections.abc import Callable, Mapping
from typing import Final

from agentid.api.names import MAX_ACTIVE_TASKS_LABEL
from agentid.controller.census import Scope
from agentid.controller.packed_task import PackedTask, Standing
from agentid.controller.places import Limit, Places
from agentid.lifecycle.model import AgentFacts, Observation
from agentid.lifecycle.plan import Plan
from agentid.watched.facts import Key

_DIGITS: Final = 7


class Quotas:
    """The limits as they are now, and what passes do with the places that they leave."""

    def __init__(
        self, places: Places, labels: Callable[[str], Mapping[str, str] | None], most_of_namespace: int
    ) -> None:
        self._places = places
        self._labels = labels
        self._most_of_namespace = most_of_namespace

    def crowded(self, task: PackedTask, agent: AgentFacts | None) -> str | None:
        """Return why there is no room for a task that is not active yet; None if there is."""
        if task.standing is not Standing.WAITING:
            return None
        limit = self._places.full(_key(task), self._limits(task, agent))
        return None if limit is None else limit.message

    def decided(self, task: PackedTask, observation: Observation, plan: Plan) -> None:
        """Hold a place for a task that is to be active, or have it wait for one.

        It is called before anything else has its turn after `crowded`, so that what that said still holds.
        """
        key, limits = _key(task), self._limits(task, observation.agent)
        full = self._places.full(key, limits) if plan.awaits_room else None
        if full is not None:
            self._places.wait(key, full)
        elif task.standing is Standing.WAITING and _begins(plan):
            self._places.hold(key, limits)
        else:
            self._places.leave(key)

    def active(self, key: Key) -> None:
        """Take in that a task is known to be active: it is counted as that, and needs nothing held."""
        self._places.let_go(key)

    def settle(self, key: Key, *, is_there: bool) -> None:
        """End a pass over a name, under which there may be no task any more."""
        if not is_there:
            self._places.leave(key)
        self._places.settle(key)

    def _limits(self, task: PackedTask, agent: AgentFacts | None) -> tuple[Limit, ...]:
        most = agent.spec.max_active_tasks if agent is not None and agent.spec is not None else None
        labels = self._labels(task.namespace) or {}
        return (
            limit_of_namespace(task.namespace, labels, self._most_of_namespace),
            *limit_of_agent(task.namespace, task.agent, most),
        )


def _begins(plan: Plan) -> bool:
    """Whether a plan gives a task what it is for: a credential, or a step its grant."""
    return plan.issue is not None or (plan.report is not None and plan.report.status.start_time is not None)


def limit_of_namespace(namespace: str, labels: Mapping[str, str], default: int) -> Limit:
    """Return how many active tasks a namespace may have: what its label says, or else `default`.

    A label that says no number is a limit that is not known, so that no task begins.
    """
    scope, told = Scope(namespace), labels.get(MAX_ACTIVE_TASKS_LABEL)
    if told is None:
        return Limit(
            scope, default, _full(f"namespace {namespace}", default, "limits.maxActiveTasks of the chart")
        )
    where = f"label {MAX_ACTIVE_TASKS_LABEL} of namespace {namespace}"
    if not (told.isascii() and told.isdigit() and len(told) <= _DIGITS):
        return Limit(scope, 0, f"{where} is not a number. Have the platform team correct it.")
    return Limit(
        scope, int(told), _full(f"namespace {namespace}", int(told), f"its label {MAX_ACTIVE_TASKS_LABEL}")
    )


def limit_of_agent(namespace: str, agent: str, most: int | None) -> tuple[Limit, ...]:
    """Return how many active tasks an Agent may have, if its record says."""
    if most is None:
        return ()
    message = _full(f"Agent {namespace}/{agent}", most, "its spec.maxActiveTasks")
    return (Limit(Scope(namespace, agent), most, message),)


def _full(who: str, most: int, where: str) -> str:
    return f"{who} has as many active tasks as it may have at once: {most} ({where}). Waits until one ends."


def _key(task: PackedTask) -> Key:
    return task.namespace, task.name
