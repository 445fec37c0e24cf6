"""The Agents that there are, as last seen."""

from collections.abc import Callable, Mapping
from typing import Any

from agentid.api.agent import AgentStatus
from agentid.controller.records import AgentRecord
from agentid.lifecycle.model import AgentFacts
from agentid.watched.facts import Key, agent_facts, mapping, read, text, version_number


class Agents:
    """All Agents; tells `changed` which one came, changed or went."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        self._changed = changed
        self._records: dict[Key, AgentRecord] = {}

    def of(self, key: Key) -> AgentFacts | None:
        """Return the Agent of that namespace and name."""
        found = self._records.get(key)
        return found.facts if found is not None else None

    def record(self, key: Key) -> AgentRecord | None:
        """Return what is known under `key`, with its version."""
        return self._records.get(key)

    def all(self) -> dict[Key, AgentRecord]:
        """Return all of them, by namespace and name, as they are now."""
        return dict(self._records)

    def take(self, body: Mapping[str, Any]) -> None:
        """Take in an Agent as a watch or a read showed it; older states than the known one are ignored."""
        metadata = mapping(body.get("metadata"))
        key = (text(metadata.get("namespace")), text(metadata.get("name")))
        status, _ = read(AgentStatus, body.get("status"))
        generation = metadata.get("generation")
        new = AgentRecord(
            agent_facts(body),
            version_number(body),
            generation if isinstance(generation, int) else 1,
            status,
        )
        old = self._records.get(key)
        if old is not None and new.version <= old.version:
            return
        self._records[key] = new
        if old is None or old.facts != new.facts:
            self._changed(key)

    def drop(self, key: Key, uid: str) -> None:
        """Take in that the Agent with that UID is gone."""
        known = self._records.get(key)
        if known is not None and known.facts.uid == uid:
            del self._records[key]
            self._changed(key)
