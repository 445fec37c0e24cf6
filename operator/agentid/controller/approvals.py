"""The approvals that there are, by the task that each is about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentid.api.agentapproval import AgentApprovalSpec
from agentid.lifecycle.approvals import ApprovalFacts
from agentid.watched.facts import Key, mapping, read, text, version_number


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """One AgentApproval as last seen."""

    uid: str
    version: int
    facts: ApprovalFacts


class Approvals:
    """All approvals; tells `changed` which task one is about that came, changed or went."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        self._changed = changed
        self._records: dict[Key, ApprovalRecord] = {}
        self._by_task: dict[Key, set[str]] = {}

    def of(self, task: Key) -> list[ApprovalFacts]:
        """Return those that are about tasks of that name, whatever their UID."""
        namespace = task[0]
        return [self._records[namespace, name].facts for name in self._by_task.get(task, ())]

    def record(self, key: Key) -> ApprovalRecord | None:
        """Return what is known under `key`, with its version."""
        return self._records.get(key)

    def all(self) -> dict[Key, ApprovalRecord]:
        """Return all of them, by namespace and name, as they are now."""
        return dict(self._records)

    def take(self, body: Mapping[str, Any]) -> None:
        """Take in an approval as a watch or a read showed it; older states than the known one are ignored."""
        metadata = mapping(body.get("metadata"))
        key = (text(metadata.get("namespace")), text(metadata.get("name")))
        old, version = self._records.get(key), version_number(body)
        if old is not None and version <= old.version:
            return
        new = ApprovalRecord(text(metadata.get("uid")), version, _facts(body))
        if old is not None:
            self._forget(key, old)
        self._records[key] = new
        self._by_task.setdefault((key[0], new.facts.task), set()).add(key[1])
        if old is None or old.facts != new.facts:
            for task in {new.facts.task} | ({old.facts.task} if old is not None else set()):
                self._changed((key[0], task))

    def drop(self, key: Key, uid: str) -> None:
        """Take in that the approval with that UID is gone."""
        known = self._records.get(key)
        if known is not None and known.uid == uid:
            self._forget(key, known)
            self._changed((key[0], known.facts.task))

    def _forget(self, key: Key, record: ApprovalRecord) -> None:
        del self._records[key]
        task = (key[0], record.facts.task)
        names = self._by_task[task]
        names.discard(key[1])
        if not names:
            del self._by_task[task]


def _facts(body: Mapping[str, Any]) -> ApprovalFacts:
    metadata = mapping(body.get("metadata"))
    spec, _ = read(AgentApprovalSpec, body.get("spec"))
    task = text(mapping(mapping(body.get("spec")).get("taskRef")).get("name"))
    return ApprovalFacts.of(text(metadata.get("name")), task, spec, deleting="deletionTimestamp" in metadata)
