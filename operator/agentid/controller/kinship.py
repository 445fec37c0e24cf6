"""Which task is a child of which, and whom a change of one concerns besides itself."""

from collections.abc import Callable, Iterator
from typing import Final

from agentid.api.reasons import ConditionType
from agentid.controller.packed_task import PackedTask, Standing
from agentid.controller.siblings import Parent, Siblings
from agentid.watched.facts import Key, mapping, sequence

_METADATA: Final = ("deletionTimestamp",)
_STATUS: Final = ("startTime", "deadline", "specHash", "boundPod", "delegation")
"""What of a task besides its spec and how it stands matters to those around it."""


class Kinship:
    """All children by their parent; tells `changed` whose decision a change may turn.

    Every link above a task counts for it, so that a change reaches all below at once, however deep. A step
    concerns its parent, which shows what it grants, and the end of a child those that wait for its place.
    """

    def __init__(self, changed: Callable[[Key], None]) -> None:
        self._changed = changed
        self._children: dict[Parent, dict[str, PackedTask]] = {}
        self._siblings = Siblings()

    def ahead(self, namespace: str, parent_uid: str, uid: str) -> int:
        """Return how many live children of that parent come before the one with that UID."""
        parent = (namespace, parent_uid)
        task = self._children.get(parent, {}).get(uid)
        return 0 if task is None or task.child is None else self._siblings.ahead(parent, task.child)

    def steps(self, namespace: str, uid: str) -> list[PackedTask]:
        """Return the steps of the task with that UID that have begun and are not over."""
        parent = (namespace, uid)
        return [self._children[parent][each] for each in self._siblings.steps(parent)]

    def take(self, old: PackedTask | None, new: PackedTask | None) -> None:
        """Take in that the task `old` is `new` now; None: it was not there, or is not any more."""
        for each in (old, new):
            if each is not None and each.parent is not None:
                self._index(each, is_there=each is new)
        self._take_place(old, new)
        task = new or old
        if task is None:
            return
        stays = old is not None and new is not None
        has_children = (task.namespace, task.uid) in self._children
        matters = has_children or (task.child is not None and task.child.is_step)
        if matters and not (stays and old and new and _standing(old) == _standing(new)):
            for each in self._below(task):
                self._changed((each.namespace, each.name))
            if task.parent is not None and task.child is not None and task.child.is_step:
                self._changed((task.namespace, task.parent[0]))

    def _index(self, task: PackedTask, *, is_there: bool) -> None:
        if task.parent is None:
            return
        parent = (task.namespace, task.parent[1])
        children = self._children.setdefault(parent, {})
        if is_there:
            children[task.uid] = task
        else:
            children.pop(task.uid, None)
        if not children:
            del self._children[parent]

    def _below(self, task: PackedTask) -> Iterator[PackedTask]:
        """Yield all descendants that are not over, each once, also where they go in a circle."""
        seen, waiting = {task.uid}, [task]
        while waiting:
            above = waiting.pop()
            for each in self._children.get((above.namespace, above.uid), {}).values():
                if each.uid not in seen:
                    seen.add(each.uid)
                    waiting.append(each)
                    if each.standing is not Standing.OVER:
                        yield each

    def _take_place(self, old: PackedTask | None, new: PackedTask | None) -> None:
        """Bring the order of its siblings up to date; who has its place now is looked at."""
        if old is not None and new is not None and old.parent != new.parent:
            self._take_place(old, None)
            old = None
        task = old or new
        if task is None or task.parent is None:
            return
        parent = (task.namespace, task.parent[1])
        before, after = (None if each is None else each.child for each in (old, new))
        follows = self._siblings.take(parent, before, after)
        if follows is not None:
            self._changed((task.namespace, self._children[parent][follows].name))


def _standing(task: PackedTask) -> object:
    """Return what of a task its children and its parent decide by."""
    body = task.unpacked()
    metadata, status = mapping(body["metadata"]), mapping(body["status"])
    conditions = [
        (condition.get("type"), condition.get("status"), condition.get("reason"))
        for condition in map(mapping, sequence(status.get("conditions")))
        if condition.get("type") in {ConditionType.FINISHED, ConditionType.GRANTED}
    ]
    return (
        body["spec"],
        [metadata.get(each) for each in _METADATA],
        [status.get(each) for each in _STATUS],
        conditions,
    )
