"""What the operator knows of the cluster, kept up to date by watches and compact enough for many tasks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from agentid.controller.agents import Agents
from agentid.controller.approvals import Approvals
from agentid.controller.census import Census
from agentid.controller.kinship import Kinship
from agentid.controller.packed_task import PackedTask, Standing, WorkloadKey
from agentid.controller.records import Departed, PodRecord, Record
from agentid.watched.facts import (
    Key,
    controller_of,
    mapping,
    pod_facts,
    pod_task,
    seen_before,
    text,
    version_number,
)
from agentid.watched.heartbeat import is_heartbeat

_K = TypeVar("_K")
_V = TypeVar("_V")


Overwritten = Callable[[Record, PackedTask], None]
"""Is told of a task that has changed, and how it was before."""


class World:
    """All tasks, pods and agents; tells `changed` which task names a change concerns.

    `census` counts the tasks. `overwritten` is told what a task was before, unless this operator changed it.
    """

    def __init__(
        self,
        changed: Callable[[Key], None],
        clock: Callable[[], datetime],
        overwritten: Overwritten = lambda _record, _before: None,
    ) -> None:
        self._changed = changed
        self._overwritten = overwritten
        self._clock = clock
        self.census = Census()
        self._records: dict[Key, Record] = {}
        self.agents = Agents(self._agent_changed)
        self._pod_keys: dict[str, Key] = {}
        self._by_agent: dict[Key, set[str]] = {}
        self._by_workload: dict[WorkloadKey, set[str]] = {}
        self._by_static_secret: dict[str, set[Key]] = {}
        self.approvals = Approvals(changed)
        self.kinship = Kinship(changed)

    def record(self, key: Key) -> Record | None:
        """Return what is known under `key`."""
        return self._records.get(key)

    def records(self) -> Iterator[tuple[Key, Record]]:
        """Return everything, as it is now."""
        return iter(list(self._records.items()))

    def workloads(self) -> set[WorkloadKey]:
        """Return every object that some task's `workload.ref` names."""
        return set(self._by_workload)

    def workload_changed(self, workload: WorkloadKey) -> None:
        """Tell that an object that tasks refer to has changed."""
        for name in self._by_workload.get(workload, ()):
            self._changed((workload.namespace, name))

    def static_secrets(self) -> set[str]:
        """Return the names of all static secrets that some task asks for that is not over."""
        return set(self._by_static_secret)

    def static_secret_changed(self, name: str) -> None:
        """Tell that something else is known of a static secret now."""
        for key in self._by_static_secret.get(name, ()):
            self._changed(key)

    def begin_anew(self) -> None:
        """Forget what was remembered of Secrets and opinions; another operator may have been at work."""
        for record in self._records.values():
            record.secret.forget()
            record.failed_write, record.failures, record.lost_writes = None, 0, 0
            record.unconfirmed = record.opinion = None
            record.given = record.unsure = ()
            # Those that went while another operator was at work, it has told of.
            for uid, each in record.departed.items():
                record.depart(uid, replace(each, task=None))
            if _may_hold_the_key_of_an_unknown_task(record) and "" not in record.departed:
                record.depart("", Departed(self._clock()))

    def forget_departed(self, key: Key) -> None:
        """Let go of tasks that are gone; for a standby, whose leader takes their Secrets away."""
        record = self._records.get(key)
        if record is not None:
            for uid in record.departed:
                record.forget_departed(uid)
            self.forget_if_empty(key)

    def _record(self, key: Key) -> Record:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record(key)
        return record

    def forget_if_empty(self, key: Key) -> None:
        """Let go of a name under which nothing is left."""
        record = self._records.get(key)
        if record is not None and record.empty:
            del self._records[key]

    # Tasks

    def take_task(self, body: Mapping[str, Any]) -> None:
        """Take in a task as a watch or a read showed it; older states than the known one are ignored.

        The operator's own heartbeat is none.
        """
        if is_heartbeat(body) or self._is_known(body):
            return
        new = PackedTask.of(body)
        record = self._record((new.namespace, new.name))
        if record.own_write:
            if record.during_write is None or new.version > record.during_write.version:
                record.during_write = new
            return
        self._put_task(record, new)

    def _is_known(self, body: Mapping[str, Any]) -> bool:
        """Whether it is no newer than what is known of this task: the watch shows our own writes too."""
        metadata = mapping(body.get("metadata"))
        record = self._records.get((text(metadata.get("namespace")), text(metadata.get("name"))))
        known = record.task if record is not None else None
        if known is None or known.uid != metadata.get("uid"):
            return False
        return version_number(body) <= known.version

    def begin_own_write(self, record: Record) -> None:
        """Hold back what the watch brings of this task until the reply to our own write is there."""
        record.own_write = True

    def end_own_write(self, record: Record, body: Mapping[str, Any] | None) -> None:
        """Take in the reply, without making work of it, and then what came meanwhile if it is newer."""
        record.own_write = False
        meanwhile, record.during_write = record.during_write, None
        if body is not None:
            self._put_task(record, PackedTask.of(body), own=True)
        if meanwhile is not None:
            self._put_task(record, meanwhile)

    def drop_task(self, key: Key, uid: str) -> None:
        """Take in that the task with that UID is gone."""
        record = self._records.get(key)
        if record is None:
            return
        if record.task is not None and record.task.uid == uid:
            self._depart(record, record.task)
            record.task = None
        if record.during_write is not None and record.during_write.uid == uid:
            record.during_write = None
        self._changed(key)

    def _put_task(self, record: Record, new: PackedTask, *, own: bool = False) -> None:
        old = record.task
        if old is not None and old.uid == new.uid and new.version <= old.version:
            return
        if (gone := record.departed.get(new.uid)) is not None:
            if own and gone.task is not None:
                # Our write came before its deletion: what it said of the end holds, and is told already.
                record.depart(new.uid, replace(gone, task=new))
            return
        if old is not None and old.uid != new.uid:
            if new.version < old.version:
                return
            self._depart(record, old)
        elif old is not None:
            self._unindex(old)
            # One string of each in memory, however often the task changes: others hold them too.
            new = replace(new, name=old.name, uid=old.uid)
        record.task = new
        self._index(new, record.key)
        self.kinship.take(old if old is not None and old.uid == new.uid else None, new)
        if not own:
            self._changed(record.key)
        if old is not None and old.uid == new.uid and not own:
            self._overwritten(record, old)

    def _depart(self, record: Record, task: PackedTask) -> None:
        self._unindex(task)
        self.kinship.take(task, None)
        record.depart(task.uid, Departed(self._clock(), task, task.static_secrets))
        record.failed_write, record.failures, record.lost_writes = None, 0, 0

    def _index(self, task: PackedTask, key: Key) -> None:
        self.census.add(task)
        self._by_agent.setdefault((task.namespace, task.agent), set()).add(task.name)
        if task.workload is not None:
            self._by_workload.setdefault(task.workload, set()).add(task.name)
        if task.standing is not Standing.OVER:
            for secret in task.static_secrets:
                self._by_static_secret.setdefault(secret, set()).add(key)

    def _unindex(self, task: PackedTask) -> None:
        self.census.remove(task)
        _discard(self._by_agent, (task.namespace, task.agent), task.name)
        if task.workload is not None:
            _discard(self._by_workload, task.workload, task.name)
        for secret in task.static_secrets:
            _discard(self._by_static_secret, secret, (task.namespace, task.name))

    # Pods

    def take_pod(self, body: Mapping[str, Any], *, fallback: Key | None = None) -> None:
        """Take in a pod. One without the label stays with `fallback`, the task that it carried it for."""
        metadata = mapping(body.get("metadata"))
        uid, namespace = text(metadata.get("uid")), text(metadata.get("namespace"))
        name = pod_task(body)
        key = (namespace, name) if name else fallback
        before = self._pod_keys.get(uid)
        if self._knows_newer_pod(before, uid, version_number(body)):
            return
        if before is not None and before != key:
            self._remove_pod(before, uid)
        if key is None:
            return
        record = self._record(key)
        new = PodRecord(pod_facts(body, labelled=bool(name)), controller_of(body), version_number(body))
        old = record.pods.get(uid)
        if old is not None:
            new.facts = seen_before(old.facts, new.facts)
        if old is not None and old.owner == new.owner and old.facts.controllers:
            new.facts = replace(new.facts, controllers=old.facts.controllers)
        record.pods[uid] = new
        self._pod_keys[uid] = key
        if old is None or old.facts != new.facts:
            self._pod_changed(key)

    def _knows_newer_pod(self, key: Key | None, uid: str, version: int) -> bool:
        record = self._records.get(key) if key is not None else None
        known = record.pods.get(uid) if record is not None else None
        return known is not None and version < known.version

    def drop_pod(self, uid: str) -> None:
        """Take in that the pod with that UID is gone."""
        key = self._pod_keys.get(uid)
        if key is not None:
            self._remove_pod(key, uid)

    def pod_key(self, uid: str) -> Key | None:
        """Return the task that a pod is kept for."""
        return self._pod_keys.get(uid)

    def _remove_pod(self, key: Key, uid: str) -> None:
        self._pod_keys.pop(uid, None)
        record = self._records.get(key)
        if record is not None and record.pods.pop(uid, None) is not None:
            self._pod_changed(key)

    def _pod_changed(self, key: Key) -> None:
        """Tell the task of a pod, and its steps, which are done in that pod too."""
        self._changed(key)
        record = self._records.get(key)
        if record is not None and record.task is not None:
            for step in self.kinship.steps(record.task.namespace, record.task.uid):
                self._changed((step.namespace, step.name))

    def _agent_changed(self, key: Key) -> None:
        for name in self._by_agent.get(key, ()):
            self._changed((key[0], name))


def _may_hold_the_key_of_an_unknown_task(record: Record) -> bool:
    """Whether a pod lives that was there before the task; its own may have been an earlier one."""
    lives = [pod.facts.created for pod in record.pods.values() if not pod.facts.containers_ended]
    return bool(lives) and (record.task is None or record.task.came_after(min(lives)))


def _discard(index: dict[_K, set[_V]], key: _K, value: _V) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]
