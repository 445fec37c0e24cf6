"""Which records are asked for: by agent, person, kind, time, serial number and namespace."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentid.ledger.record import LedgerKind, Record
from agentid.lifecycle.journal import Kind
from agentid.watched.facts import mapping, sequence, text

KINDS = tuple(dict.fromkeys(each.value for each in (*Kind, *LedgerKind)))
"""The kinds of records that this version of agentid knows."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are meant. All that is given has to fit; of several kinds, one.

    Attributes:
        agent: Name of the Agent.
        delegator: For whom the task was done.
        requester: User name of who asked for it.
        kinds: What was done, or refused.
        since: Records of this time and later.
        until: Records before this time.
        serial: Serial number of a credential that was made, or counts no longer.
        namespace: Namespace of the task; None: any, and what is about none.
    """

    agent: str | None = None
    delegator: str | None = None
    requester: str | None = None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    serial: str | None = None
    namespace: str | None = None

    def fits(self, record: Record) -> bool:
        """Whether a record is meant."""
        fields = record.fields
        named = (("agent", self.agent), ("delegator", self.delegator), ("requester", self.requester))
        return (
            all(want is None or fields.get(name) == want for name, want in named)
            and (not self.kinds or record.kind in self.kinds)
            and (self.since is None or record.at >= self.since)
            and (self.until is None or record.at < self.until)
            and (self.serial is None or self.serial in serials(fields))
            and (self.namespace is None or fields.get("namespace") == self.namespace)
        )


def serials(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the serial numbers that a record names: of what was made first."""
    if serial := text(fields.get("serial")):
        yield serial
    for each in taken_away(fields):
        yield each[0]


def taken_away(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a record says counts no longer: the serial number, and until when it would have lasted."""
    for each in map(mapping, sequence(fields.get("revoked"))):
        yield text(each.get("serial")), text(each.get("not_after"))


def names(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return the list of names that a field holds; what is no text is left out."""
    return [each for each in sequence(fields.get(name)) if isinstance(each, str)]
