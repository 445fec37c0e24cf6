"""What an auditor asks of the records themselves: did each task end, and hold no more than it might have?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import chain
from typing import Final, Protocol

from agentid.api.fields import format_time
from agentid.ledger.audit_finding import AuditFinding, AuditKind
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.record import LedgerKind, Record
from agentid.ledger.reported_logs import ReportedLogs
from agentid.lifecycle.journal import GIVES, Kind

GRACE: Final = timedelta(minutes=5)
"""How long after its deadline a task may end, and after its end a credential be revoked."""

DELAY: Final = timedelta(hours=1)
"""How much later than it happened something may be recorded, after an outage of the API server."""

BACKDATE: Final = timedelta(seconds=60)
"""How far before its issue a certificate may begin; its life is counted without that."""


class Made(Protocol):
    """What has to be known of a batch: its number, and when it was made."""

    @property
    def sequence(self) -> int:
        """Its number."""

    @property
    def at(self) -> datetime:
        """When it was made."""


@dataclass(slots=True)
class _Credential:
    serial: str
    not_after: datetime
    pod_uid: str


@dataclass(slots=True)
class _Task:
    """A task, remembered until some time after its deadline: what is issued later is past that anyway."""

    uid: str
    name: str
    deadline: datetime
    given: int = 0
    was_begun: bool = False
    """Whether something prolonged what it was given: the beginning it had then is in its status."""
    is_undone: bool = False
    """Whether it has not begun, whatever was recorded, so that its deadline is none."""
    suspended: bool = False
    ended: datetime | None = None
    credentials: list[_Credential] = field(default_factory=list)
    late: dict[str, tuple[datetime, AuditFinding]] = field(default_factory=dict)
    """What was given after the end, by serial number: told unless it is voided in time."""
    beside: dict[tuple[str, str], tuple[datetime, AuditFinding]] = field(default_factory=dict)
    """Two credentials for different pods: told unless a record takes one of the two back in time."""


class Auditor:
    """Looks at the records of a chain in their order; what it keeps is bounded by the tasks that are live."""

    def __init__(self, *, longest: timedelta | None = None, grace: timedelta = GRACE) -> None:
        """Begin before the first batch.

        Args:
            longest: How long a credential may live; None: no limit is held against it.
            grace: How late a task may end, and its credentials be revoked.
        """
        self._longest = longest
        self._grace = grace
        self._since: datetime | None = None
        self._sequence = 0
        self._tasks: dict[str, _Task] = {}
        self._overdue: set[str] = set()
        self._serials: set[str] = set()
        self._logs = ReportedLogs()
        self._due: list[tuple[datetime, str]] = []
        self._found: list[AuditFinding] = []

    def feed(self, batch: Made, records: Iterable[Record]) -> list[AuditFinding]:
        """Take the next batch and its records, and return what they show."""
        self._sequence = batch.sequence
        self._since = batch.at if self._since is None else self._since
        for record in records:
            try:
                self._look(record)
            except InvalidRecordError as error:
                self._say(AuditKind.UNUSABLE, "", f"a record {error}")
        self._miss_reports(batch.at)
        return self._told_by(batch.at - DELAY)

    def finish(self, now: datetime) -> list[AuditFinding]:
        """Return what is missed by `now`, after the last batch."""
        self._miss_reports(None)
        return self._told_by(now - self._grace)

    def _look(self, record: Record) -> None:
        task = self._tasks.get(record.text("uid"))
        if task is not None:
            taken = {serial for serial, _ in record.revoked()}
            self._take_back(task, taken)
            self._set_apart(task, taken, record.at)
            task.is_undone = task.is_undone or (record.says_not_begun() and not task.was_begun)
        if record.kind in GIVES:
            self._give(task, record)
        elif record.kind == Kind.ENDED:
            self._end(task, record)
        elif record.kind == Kind.SUSPENDED and task is not None:
            task.suspended = True
        elif record.kind == Kind.VOIDED and task is not None:
            self._void(task, record)
        elif record.kind == LedgerKind.DECISIONS:
            self._logs.take(record, self._since)
        elif record.kind == LedgerKind.LOST and record.number("count"):
            since = format_time(record.time("since") or record.at)
            self._say(
                AuditKind.RECORDS_LOST,
                "",
                f"{record.number('count')} records since {since} could not be kept",
            )

    def _give(self, task: _Task | None, record: Record) -> None:
        uid, deadline, started = record.text("uid"), record.time("deadline"), record.time("started")
        if not uid or deadline is None:
            raise InvalidRecordError(f"is {record.kind} and has no uid or no deadline")
        if task is None:
            self._miss_issue(record)
            task = _Task(uid, f"{record.text('namespace')}/{record.text('task')}", deadline)
            self._tasks[uid] = task
            heappush(self._due, (deadline, uid))
        elif not task.was_begun and deadline != task.deadline:
            # What was recorded before may never have come into its status: it begins with this then.
            task.deadline = deadline
            heappush(self._due, (deadline, uid))
        task.is_undone = False
        task.given += 1
        task.was_begun = task.was_begun or (started is not None and started < record.at)
        given = f"{task.name} was given something at {format_time(record.at)}"
        if task.ended is not None:
            # An operator may not know yet what another recorded; it voids that once it does.
            message = f"{given}, after it had ended at {format_time(task.ended)}"
            found = AuditFinding(self._sequence, AuditKind.ISSUED_AFTER_END, uid, message)
            task.late[record.text("serial")] = (record.at, found)
            heappush(self._due, (record.at, uid))
        for kind, message in chain(_wrong_by_state(task, record), _wrong_by_consent(record)):
            self._say(kind, uid, f"{given}, {message}")
        task.suspended = False
        if record.text("serial"):
            self._hold(task, record)

    def _hold(self, task: _Task, record: Record) -> None:
        """Look at the credential that was made, and keep it while it counts."""
        serial, pod_uid = record.text("serial"), record.text("pod_uid")
        begins, ends = record.time("not_before"), record.time("not_after")
        if ends is None:
            raise InvalidRecordError(f"is {record.kind} and has no not_after")
        past = {each.serial for each in task.credentials if each.not_after <= record.at}
        self._take_back(task, past)
        made = f"{task.name} has credential {serial}, which ends {format_time(ends)}"
        if self._longest is not None and ends - (begins or record.at) > self._longest + BACKDATE:
            self._say(AuditKind.TOO_LONG, task.uid, f"{made}: longer than {self._longest} after it began")
        if ends > task.deadline:
            self._say(
                AuditKind.PAST_DEADLINE, task.uid, f"{made}: after its deadline {format_time(task.deadline)}"
            )
        if serial in self._serials:
            self._say(AuditKind.SERIAL_TWICE, task.uid, f"{made}: there is another of that number")
        for other in task.credentials:
            if other.pod_uid != pod_uid:
                # What a status takes away is recorded once it does, after what it gives.
                message = f"{made}, for pod {pod_uid or '-'}; pod {other.pod_uid or '-'} has {other.serial}"
                found = AuditFinding(self._sequence, AuditKind.TWO_PODS, task.uid, message)
                task.beside[other.serial, serial] = (record.at, found)
                heappush(self._due, (record.at, task.uid))
        task.credentials.append(_Credential(serial, ends, pod_uid))
        self._serials.add(serial)

    def _end(self, task: _Task | None, record: Record) -> None:
        if task is None:
            self._miss_issue(record)
        elif task.ended is None:
            task.ended = record.at
            heappush(self._due, (record.at, task.uid))
            if record.at > task.deadline + self._grace and not task.is_undone:
                due, late = format_time(task.deadline), format_time(record.at)
                message = f"{task.name} had to end by {due}, and ended at {late}"
                self._say(AuditKind.NOT_ENDED, task.uid, message)

    def _miss_issue(self, record: Record) -> None:
        """Say so if the task had begun after the records do and before this one, and nothing tells of it."""
        uid, started = record.text("uid"), record.time("started")
        if uid in self._overdue:
            self._overdue.remove(uid)
        elif self._since is not None and started is not None and self._since < started < record.at:
            name = f"{record.text('namespace')}/{record.text('task')}"
            message = (
                f"{name} began at {format_time(started)}, and no record says that it was given anything then"
            )
            self._say(AuditKind.NOT_ISSUED, uid, message)

    def _miss_reports(self, by: datetime | None) -> None:
        for each in self._logs.missing(by):
            self._say(AuditKind.REPORTS_MISSING, "", each)

    def _void(self, task: _Task, record: Record) -> None:
        self._take_back(task, {record.text("serial")})
        self._set_apart(task, {record.text("serial")})
        task.late.pop(record.text("serial"), None)
        task.given -= 1
        if task.given <= 0 and not task.was_begun:
            self._forget(task)

    def _take_back(self, task: _Task, serials: set[str]) -> None:
        if serials:
            task.credentials = [each for each in task.credentials if each.serial not in serials]
            self._serials -= serials

    def _set_apart(self, task: _Task, taken: set[str], at: datetime | None = None) -> None:
        """Forget those that were `taken` at that time as two beside each other; None: they never were."""
        for both, (since, _) in list(task.beside.items()):
            if taken.intersection(both) and (at is None or at <= since + self._grace):
                del task.beside[both]

    def _forget(self, task: _Task) -> None:
        self._take_back(task, {each.serial for each in task.credentials})
        self._found += [found for _, found in task.beside.values()]
        del self._tasks[task.uid]

    def _told_by(self, moment: datetime) -> list[AuditFinding]:
        """Return what was found, and what should have been recorded of all that was due before `moment`."""
        while self._due and self._due[0][0] < moment:
            task = self._tasks.get(heappop(self._due)[1])
            if task is not None:
                self._settle(task, moment)
        found, self._found = self._found, []
        return found

    def _settle(self, task: _Task, moment: datetime) -> None:
        for serial in [each for each, (given_at, _) in task.late.items() if given_at < moment]:
            self._found.append(task.late.pop(serial)[1])
        for both in [each for each, (since, _) in task.beside.items() if since < moment]:
            self._found.append(task.beside.pop(both)[1])
        if task.ended is not None and task.ended < moment:
            for each in task.credentials:
                if each.not_after > task.ended:
                    message = (
                        f"{task.name} ended at {format_time(task.ended)}, and nothing revokes {each.serial}"
                    )
                    self._say(AuditKind.NOT_REVOKED, task.uid, message)
            self._take_back(task, {each.serial for each in task.credentials})
        if task.deadline < moment:
            if task.ended is None and not task.is_undone:
                message = (
                    f"{task.name} had to end by {format_time(task.deadline)}, and no record says that it did"
                )
                self._say(AuditKind.NOT_ENDED, task.uid, message)
                self._overdue.add(task.uid)
            self._forget(task)

    def _say(self, kind: AuditKind, uid: str, message: str) -> None:
        self._found.append(AuditFinding(self._sequence, kind, uid, message))


def _wrong_by_state(task: _Task, record: Record) -> Iterator[tuple[AuditKind, str]]:
    if task.suspended and record.kind == Kind.RENEWED:
        yield AuditKind.ISSUED_WHILE_SUSPENDED, "while it was suspended"
    if record.at > task.deadline:
        yield AuditKind.PAST_DEADLINE, f"after its deadline {format_time(task.deadline)}"


def _wrong_by_consent(record: Record) -> Iterator[tuple[AuditKind, str]]:
    approvers = record.fields.get("approvers", [])
    asked_by = {record.text("requester"), record.text("delegator")} - {""}
    if isinstance(approvers, list) and asked_by.intersection(
        each for each in approvers if isinstance(each, str)
    ):
        yield AuditKind.SELF_APPROVED, "approved by who had asked for it, or for whom it was done"
