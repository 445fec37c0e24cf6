"""Which task is a child of which, and whom a change of one concerns besides itself."""

from collections.abc import Callable, Iterator
from typing import Final

from agentid.api.reasons import ConditionType
from agentid.controller.facts import mapping, sequence
from agentid.controller.packed_task import PackedTask
from agentid.controller.records import Key
from agentid.lifecycle.children import limit_of, rank

_Parent = tuple[str, str]
"""Namespace and UID of a task that others name as their parent, whether it is there or not."""

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
        self._children: dict[_Parent, dict[str, PackedTask]] = {}

    def children(self, namespace: str, uid: str) -> list[PackedTask]:
        """Return those that name the task with that UID as their parent."""
        return list(self._children.get((namespace, uid), {}).values())

    def take(self, old: PackedTask | None, new: PackedTask | None) -> None:
        """Take in that the task `old` is `new` now; None: it was not there, or is not any more."""
        for each in (old, new):
            if each is not None and each.parent is not None:
                self._index(each, is_there=each is new)
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
        was_counted = old is not None and old.child is not None and not old.child.is_over
        if was_counted and (new is None or new.child is None or new.child.is_over):
            self._make_room(task)

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
        """Yield all descendants, each once, also where they go in a circle."""
        seen, waiting = {task.uid}, [task]
        while waiting:
            above = waiting.pop()
            for each in self._children.get((above.namespace, above.uid), {}).values():
                if each.uid not in seen:
                    seen.add(each.uid)
                    waiting.append(each)
                    yield each

    def _make_room(self, gone: PackedTask) -> None:
        """Have those looked at that have a place now, which one of their siblings had."""
        if gone.parent is None or gone.child is None:
            return
        siblings = self.children(gone.namespace, gone.parent[1])
        rivals = [
            (rank(each.child), each)
            for each in siblings
            if each.child is not None and each.child.is_step == gone.child.is_step and not each.child.is_over
        ]
        rivals.sort(key=lambda rival: rival[0])
        for _, each in rivals[: limit_of(gone.child)]:
            if each.child is not None and not each.child.has_begun:
                self._changed((each.namespace, each.name))


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
