"""Puts the records of a task together to its story; the task itself may be long gone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from agentid.cli.audit.filtering import names
from agentid.cli.audit.standing import Placed
from agentid.cli.audit.uses import Reports, Uses
from agentid.cli.selecting import plain_name
from agentid.lifecycle.journal import GIVES, Kind
from agentid.watched.facts import text

_is_uid: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_OF_CHILDREN: Final = GIVES - {Kind.RENEWED} | {Kind.ENDED}
"""What is told of the tasks right below one."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose story is asked for.

    Attributes:
        name: Name of a task, or its UID.
        namespace: Where a task of that name is; None: anywhere.
        uid: Its UID, where several had the name.
    """

    name: str
    namespace: str | None = None
    uid: str | None = None

    def fits(self, record: Placed) -> bool:
        """Whether a record is one of the task's."""
        fields = record.record.fields
        if not fields.get("task") or self.uid not in {None, fields.get("uid")}:
            return False
        if _is_uid(self.name) and fields.get("uid") == self.name:
            return True
        is_there = self.namespace is None or fields.get("namespace") == self.namespace
        return is_there and fields.get("task") == plain_name(self.name)


@dataclass(slots=True)
class Story:
    """What is recorded of one task.

    Attributes:
        uid: Its UID.
        namespace: Its namespace.
        task: Its name.
        records: Its records in the order of the ledger, with those of its children that tell of it.
        uses: What its identity was used for, and refused.
        is_watched: Whether any decision point reports to this ledger.
    """

    uid: str
    namespace: str
    task: str
    records: list[Placed] = field(default_factory=list)
    uses: Uses = field(default_factory=Uses)
    is_watched: bool = False

    def is_own(self, record: Placed) -> bool:
        """Whether a record is about the task itself, not about a child."""
        return record.record.fields.get("uid") == self.uid

    @property
    def own(self) -> list[Placed]:
        """Those about the task itself."""
        return [each for each in self.records if self.is_own(each)]

    def last_of(self, kinds: Iterable[str]) -> Placed | None:
        """Return the last one of these kinds about the task itself."""
        wanted = set(kinds)
        return next((each for each in reversed(self.own) if each.record.kind in wanted), None)

    @property
    def ended(self) -> Placed | None:
        """The record of its end."""
        return self.last_of({Kind.ENDED})


class Stories:
    """Collects the records of what is sought; others are not kept."""

    def __init__(self, sought: Sought) -> None:
        """Begin with nothing."""
        self._sought = sought
        self._found: dict[str, Story] = {}
        self._reports = Reports()

    def take(self, records: Iterable[Placed]) -> None:
        """Take the next records of the ledger."""
        for each in records:
            for use in self._reports.uses_in(each.record):
                # A record of what a task was given is older than all that it did with it.
                for about in {use.uid, use.step}:
                    if about is not None and about in self._found:
                        self._found[about].uses.take(use)
            fields = each.record.fields
            uid = text(fields.get("uid"))
            if uid in self._found or self._sought.fits(each):
                told = (uid, text(fields.get("namespace")), text(fields.get("task")))
                self._found.setdefault(uid, Story(*told)).records.append(each)
            elif self._found and each.record.kind in _OF_CHILDREN:
                above = names(fields, "chain")[:1]
                if above and (parent := self._found.get(above[0])) is not None:
                    parent.records.append(each)

    def told(self) -> list[Story]:
        """Return the stories, the newest task last."""
        for each in self._found.values():
            each.is_watched = self._reports.is_any
        return list(self._found.values())

    def notes(self) -> list[str]:
        """Return what reports of decision points are missing."""
        return self._reports.notes()
