"""Puts together the tasks that one stands among; a loss above it is looked at before it is believed."""

from collections.abc import Mapping
from typing import Any

from agentid.api.agenttask import TaskReference
from agentid.cluster.paths import TASKS
from agentid.cluster.reads import Reads
from agentid.controller.world import World
from agentid.lifecycle.lineage import follow
from agentid.lifecycle.model import Family, Lineage, PodFacts, TaskFacts
from agentid.lifecycle.record import is_step
from agentid.watched.facts import Key


class Families:
    """Makes the family of a task from the world."""

    def __init__(self, world: World, reads: Reads) -> None:
        self._world = world
        self._reads = reads

    async def of(self, task: TaskFacts) -> Family:
        """Return the tasks above `task`, how many beside it come first, and its steps.

        Raises:
            ApiAnswerError: the API server did not say whether one above it is gone.
        """
        lineage = await self._lineage(task)
        parent = lineage.ancestors[0] if lineage.ancestors else None
        kinship = self._world.kinship
        return Family(
            lineage=lineage,
            ahead=0 if parent is None else kinship.ahead(task.namespace, parent.uid, task.uid),
            steps=tuple(each.facts() for each in kinship.steps(task.namespace, task.uid)),
            parents_pod=self._pod_of(parent) if parent is not None and is_step(task) else None,
        )

    async def _lineage(self, task: TaskFacts) -> Lineage:
        """Follow the parents; where that leads nowhere for a task that had one, a fresh look decides."""
        looked_for: set[str] = set()
        while True:
            lineage = follow(task, lambda name: self._task((task.namespace, name)))
            if lineage.flaw is None or task.status.delegation is None:
                return lineage
            last = lineage.ancestors[-1] if lineage.ancestors else task
            missing = last.spec.parent_ref if last.spec is not None else None
            if missing is None or missing.uid in looked_for:
                return lineage
            looked_for.add(missing.uid)
            await self._look_at((task.namespace, missing.name), missing)

    async def _look_at(self, key: Key, wanted: TaskReference) -> None:
        body: Mapping[str, Any] | None = await self._reads.get(TASKS, *key)
        if body is not None:
            self._world.take_task(body)
        else:
            self._world.drop_task(key, wanted.uid)

    def _task(self, key: Key) -> TaskFacts | None:
        record = self._world.record(key)
        return record.task.facts() if record is not None and record.task is not None else None

    def _pod_of(self, task: TaskFacts) -> PodFacts | None:
        """Return the pod that a task is bound to, as it is known now."""
        record, bound = self._world.record((task.namespace, task.name)), task.status.bound_pod
        found = record.pods.get(bound.uid) if record is not None and bound is not None else None
        return found.facts if found is not None else None
