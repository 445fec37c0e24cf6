"""What is out by the records of a ledger: live credentials, tasks that go on, what is revoked until when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from sys import intern

from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.record import Record
from agentid.lifecycle.journal import GIVES, Kind


@dataclass(frozen=True, slots=True)
class LiveCredential:
    """A credential that was issued and nothing has ended yet."""

    serial: str
    not_after: datetime


@dataclass(slots=True)
class BegunTask:
    """A task that was given something, and whose end is not recorded.

    Attributes:
        uid: Its UID.
        namespace: Its namespace.
        task: Its name.
        agent: The name of its Agent.
        deadline: When it ends at the latest; None: it has not begun, whatever was recorded, or nobody knows.
        credentials: Those that count; some may be past.
        given: How often it was given something since the records begin, less what was voided.
        was_begun: Whether it had begun before those records.
    """

    uid: str
    namespace: str
    task: str
    agent: str
    deadline: datetime | None = None
    credentials: tuple[LiveCredential, ...] = ()
    given: int = 0
    was_begun: bool = False


@dataclass(frozen=True, slots=True)
class Revocation:
    """A credential that counts no longer though its own time is not over.

    Attributes:
        serial: Its serial number.
        not_after: When its time is over.
        revoked_at: Since when it does not count.
        kind: Kind of the record that says so.
        reason: The reason in that record.
    """

    serial: str
    not_after: datetime
    revoked_at: datetime
    kind: str
    reason: str


class Inventory:
    """What a stream of records comes to.

    It holds tasks that have not ended and credentials whose time is not over, however long the stream is.
    """

    def __init__(self, now: datetime) -> None:
        """Begin with nothing. Whatever is over by `now` is not kept."""
        self._now = now
        self._tasks: dict[str, BegunTask] = {}
        self._revoked: dict[str, Revocation] = {}
        self._ends: list[tuple[datetime, str]] = []
        self._unnamed: dict[str, BegunTask] = {}

    def feed(self, records: Iterable[Record]) -> None:
        """Take the next records.

        Raises:
            InvalidRecordError: one is signed, but does not say what a record of its kind has to.
        """
        for record in records:
            if record.kind in GIVES:
                self._give(record)
            for serial, not_after in record.revoked():
                self._revoke(record, serial, not_after)
            task = self._tasks.get(record.text("uid"))
            if task is not None and record.says_not_begun():
                task.deadline = None
            if record.kind == Kind.VOIDED:
                self._void(record)
            elif record.kind == Kind.ENDED:
                self._end(record)

    def tasks(self) -> Iterator[BegunTask]:
        """Yield each task that has begun and not ended."""
        return iter(self._tasks.values())

    def live(self) -> Iterator[tuple[BegunTask, LiveCredential]]:
        """Yield each credential that counts, with its task."""
        return (
            (task, each)
            for task in self._tasks.values()
            for each in task.credentials
            if each.not_after > self._now
        )

    def unnamed(self) -> Iterator[tuple[BegunTask, LiveCredential]]:
        """Yield each credential that its task's end did not name, nor anything since, with that task."""
        for serial, task in self._unnamed.items():
            yield task, LiveCredential(serial, self._revoked[serial].not_after)

    def revoked(self) -> Iterator[Revocation]:
        """Yield each credential that is revoked and whose own time is not over."""
        return iter(self._revoked.values())

    def forget_past(self, now: datetime) -> None:
        """Let go of the revoked credentials whose time is over by `now`."""
        self._now = now
        while self._ends and self._ends[0][0] <= now:
            _, serial = heappop(self._ends)
            del self._revoked[serial]
            self._unnamed.pop(serial, None)

    def _give(self, record: Record) -> None:
        uid = record.text("uid")
        if not uid:
            raise InvalidRecordError(f"is {record.kind} and has no uid")
        task = self._tasks.get(uid)
        if task is None:
            namespace, agent = intern(record.text("namespace")), intern(record.text("agent"))
            task = BegunTask(uid, namespace, record.text("task"), agent)
            self._tasks[uid] = task
        task.given += 1
        started, deadline = record.time("started"), record.time("deadline")
        task.was_begun = task.was_begun or (started is not None and started < record.at)
        task.deadline = deadline or task.deadline
        if serial := record.text("serial"):
            not_after = record.time("not_after")
            if not_after is None:
                raise InvalidRecordError(f"is {record.kind} and has no not_after")
            # Those whose time is over go, so that a long task holds no more than the last few.
            counting = (each for each in task.credentials if each.not_after > record.at)
            task.credentials = (*counting, LiveCredential(serial, not_after))

    def _revoke(self, record: Record, serial: str, not_after: datetime) -> None:
        task = self._tasks.get(record.text("uid"))
        if task is not None:
            task.credentials = tuple(each for each in task.credentials if each.serial != serial)
        self._unnamed.pop(serial, None)
        if not_after > self._now and serial not in self._revoked:
            reason = record.text("reason")
            self._revoked[serial] = Revocation(serial, not_after, record.at, record.kind, reason)
            heappush(self._ends, (not_after, serial))

    def _void(self, record: Record) -> None:
        """Take back what was recorded and never came into a status: without it, a task may not have begun."""
        serial, not_after = record.text("serial"), record.time("not_after")
        if serial and not_after is not None:
            self._revoke(record, serial, not_after)
        task = self._tasks.get(record.text("uid"))
        if task is None:
            return
        task.given -= 1
        if task.given <= 0 and not task.was_begun:
            del self._tasks[task.uid]

    def _end(self, record: Record) -> None:
        """Let go of the task. What it holds and the record does not name was never in its status."""
        task = self._tasks.get(record.text("uid"))
        if task is not None:
            for each in task.credentials:
                self._revoke(record, each.serial, each.not_after)
                if each.not_after > self._now:
                    self._unnamed[each.serial] = task
            del self._tasks[task.uid]
