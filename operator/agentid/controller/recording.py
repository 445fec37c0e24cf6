"""Records what is given before it is given, and what is taken away once it is taken away."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import ConditionType
from agentid.controller.errors import LedgerUnavailableError
from agentid.controller.ledger_followers import Follower
from agentid.controller.packed_task import ACTIVE, PackedTask, Standing
from agentid.controller.records import Record, Unsure
from agentid.ledger.record import encode, read_time
from agentid.lifecycle.journal import GIVES, Entry, Kind, found_out, revoked, voided
from agentid.lifecycle.model import Blocked, TaskFacts
from agentid.lifecycle.record import condition
from agentid.process.tracing import span

_log = structlog.get_logger("agentid.ledger")

_MOST_UNSURE: Final = 8
"""How many attempts at a status are remembered that got no answer: the one before may be carried out late."""


class Ledger(Protocol):
    """What keeps records."""

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing can be written just now, or None."""

    @property
    def is_read(self) -> bool:
        """Whether it was compared with the statuses: what they lose from then on is for who sees it."""

    def has_ended(self, uid: str) -> bool:
        """Whether it held the end of that task when it was read, which went on as far as was known then."""

    async def append(self, record: bytes, undo: Callable[[], bytes] | None = None) -> None:
        """Return once `record` is durable; `undo` is recorded if it becomes so after this was given up."""

    def note(self, record: bytes) -> None:
        """Have `record` written, however long it takes."""


class Recorder:
    """Puts entries into the ledger, in the order that the statuses of tasks demand."""

    def __init__(
        self, ledger: Ledger, clock: Callable[[], datetime], followers: Sequence[Follower] = ()
    ) -> None:
        """`followers` are told of what is taken away before that is durable."""
        self._ledger = ledger
        self._followers = followers
        self._clock = clock

    async def before(self, record: Record, found: Entry | None) -> None:
        """Record what a status is about to say, once it is durable.

        Raises:
            LedgerUnavailableError: what is to be given is not known to be recorded: it must not be given.
            NotLeadingError: another operator may be the active one by now.
        """
        if found is None:
            return
        if found.kind in GIVES:
            with span("agentid.ledger"):
                await self._ledger.append(encode(found.fields()), lambda: self._void(found))
            record.given = (*self._within_its_time(record.given), found)
            return
        try:
            if self._ledger.blocked is None:
                await self._ledger.append(encode(found.fields()))
                return
        except LedgerUnavailableError as error:
            _log.info("recorded later", namespace=found.namespace, task=found.task, error=str(error))
        # What is refused is said in the status also where it cannot be recorded for now.
        self.note(found)

    def refused(self, record: Record, found: Entry | None, owed: Entry | None) -> None:
        """Void what was recorded for a status that was surely not written; `owed` was to come after it."""
        # Of this attempt alone: the fate of those before it is open.
        record.unsure = tuple(each for each in record.unsure if each.entry is not owed)
        if found in record.given and found is not None:
            record.given = tuple(each for each in record.given if each is not found)
            self._ledger.note(self._void(found))

    def settle(self, record: Record, uid: str, status: AgentTaskStatus | None) -> None:
        """Void what was recorded and is not in the status that is surely there; None: its task is gone."""
        if status is not None:
            # What was in doubt was to be written over the same version, and was not.
            record.unsure = ()
        if not record.given:
            return
        for each in record.given:
            if each.uid == uid and (status is None or not _is_given(each, status)):
                self._ledger.note(self._void(each))
        record.given = tuple(each for each in record.given if each.uid != uid)

    @staticmethod
    def doubt(record: Record, owed: Entry | None, version: str, status: AgentTaskStatus) -> None:
        """Keep in mind what a status says that is about to be written over `version`, answered or not."""
        if owed is None:
            return
        record.unsure = (*record.unsure, Unsure(owed, version, status))[-_MOST_UNSURE:]

    def make_sure(self, record: Record, task: TaskFacts, *, gone: bool = False) -> None:
        """Record what was in doubt, if `task` as it is now, or was when it went, shows that it is so."""
        here = (task.uid, task.resource_version)
        # Those over the version that is there may be written yet.
        kept = tuple(each for each in record.unsure if not gone and (each.entry.uid, each.version) == here)
        for each in record.unsure:
            if each not in kept and each.entry.uid == task.uid and each.status == task.status:
                self.note(each.entry)
        record.unsure = kept

    def overwritten(self, record: Record, before: PackedTask) -> None:
        """Record what the status that is there now takes away, unless this operator wrote it.

        A predecessor's may be carried out after the ledger was compared with the statuses: nobody else tells.
        """
        task = record.task
        if task is None or before.standing not in ACTIVE or not self._ledger.is_read:
            return
        if before.unpacked()["status"] == task.unpacked()["status"]:
            return
        was, now = before.facts().status, task.facts()
        if now.status_invalid is not None or any(each.status == now.status for each in record.unsure):
            return
        lost = tuple(revoked(was.credentials, now.status.credentials))
        if lost or task.standing is Standing.OVER:
            self.note(found_out(now, lost, self._clock()))

    def pay(self, record: Record, owed: Entry | None) -> None:
        """Record what a status says that was written before."""
        self.note(owed)
        record.owed = None

    def note(self, found: Entry | None) -> None:
        """Record, however long it takes."""
        if found is None:
            return
        if found.kind == Kind.ENDED and self._ledger.has_ended(found.uid):
            # Nothing but a watch that was behind makes it news.
            found = replace(found, kind=Kind.REVOKED)
        for follower in self._followers:
            follower.taken_away(found.fields())
        self._ledger.note(encode(found.fields()))

    def _within_its_time(self, given: Iterable[Entry]) -> Iterator[Entry]:
        """Yield those that may count yet, so that no more is remembered than can be given in their life.

        What no pass went on with was never in a Secret: it is void. A grant is by its status alone, and its
        task's end is recorded.
        """
        now = self._clock()
        for each in given:
            ends = each.not_after or each.deadline
            if ends is None or read_time(ends, "ends") > now:
                yield each
            elif each.serial is not None:
                self._ledger.note(self._void(each))

    def _void(self, found: Entry) -> bytes:
        return encode(voided(found, self._clock(), "it was recorded, and then not released").fields())


def _is_given(found: Entry, status: AgentTaskStatus) -> bool:
    if found.serial is not None:
        return any(each.serial == found.serial for each in status.credentials)
    granted = condition(status, ConditionType.GRANTED)
    return granted is not None and granted.status == "True"
