"""How many tasks each Agent and each namespace has, by how they stand: counted as they change."""

from collections import Counter
from dataclasses import dataclass

from agentid.controller.packed_task import PackedTask, Standing


@dataclass(frozen=True, slots=True)
class Scope:
    """What tasks are counted in: a namespace, or, where one is named, an Agent of it."""

    namespace: str
    agent: str | None = None


class Census:
    """The tasks that are known, counted."""

    def __init__(self) -> None:
        self._counts: dict[Scope, Counter[Standing]] = {}

    def add(self, task: PackedTask) -> None:
        """Count a task."""
        for scope in scopes_of(task):
            self._counts.setdefault(scope, Counter())[task.standing] += 1

    def remove(self, task: PackedTask) -> None:
        """Count a task no longer, which was added as it is."""
        for scope in scopes_of(task):
            counts = self._counts[scope]
            counts[task.standing] -= 1
            if not counts.total():
                del self._counts[scope]

    def count(self, scope: Scope, *standings: Standing) -> int:
        """Return how many tasks of `scope` stand in one of these ways."""
        counts = self._counts.get(scope)
        return sum(counts[each] for each in standings) if counts is not None else 0


def scopes_of(task: PackedTask) -> tuple[Scope, Scope]:
    """Return in what a task is counted."""
    return Scope(task.namespace), Scope(task.namespace, task.agent)
