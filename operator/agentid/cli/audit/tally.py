"""Counts the records of each agent: what its tasks were given, how long they took, and how they ended."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agentid.api.reasons import EndReason, WaitReason
from agentid.cli.audit.filtering import names
from agentid.cli.audit.uses import Reports
from agentid.ledger.decisions import Use
from agentid.ledger.record import Record
from agentid.lifecycle.journal import GIVES, Kind
from agentid.watched.facts import moment, text

Key = tuple[str, str]
"""Namespace and name of an Agent."""

_BY_ITSELF: Final = frozenset({EndReason.COMPLETED, EndReason.FAILED})
"""Ends of tasks whose work had ended, and nobody's decision."""


@dataclass(slots=True)
class Tally:
    """What is recorded of one agent's tasks.

    Attributes:
        tasks: How many were given something.
        credentials: How many credentials were issued, renewals included.
        actions: How many tasks were given each action.
        grantable: How many might give each action to a child.
        used: How often decision points allowed each action; of the calls that they were asked about.
        refused_uses: How often they denied one, for each reason.
        handed_on: How often each action was given to a child of one.
        sensitivities: How many tasks might touch data of each sensitivity.
        ends: How many that had begun ended for each reason.
        unbegun: How many ended for each reason without having been given anything.
        refusals: How often tasks were refused, for each reason.
        waited: How many waited for an approval.
        approved: How many were given something on an approval.
        suspended: How often one was suspended.
        emergencies: How many were given something in an emergency.
        asked: For how many seconds each task that ended was allowed to run.
        lasted: How many seconds each ran.
        by_itself: How many seconds each ran that ended because its work had.
    """

    tasks: int = 0
    credentials: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    grantable: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    refused_uses: Counter[str] = field(default_factory=Counter)
    handed_on: Counter[str] = field(default_factory=Counter)
    sensitivities: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    unbegun: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    waited: int = 0
    approved: int = 0
    suspended: int = 0
    emergencies: int = 0
    asked: "array[float]" = field(default_factory=lambda: array("d"))
    lasted: "array[float]" = field(default_factory=lambda: array("d"))
    by_itself: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def ended(self) -> int:
        """How many that had begun have ended."""
        return self.ends.total()

    @property
    def running(self) -> int:
        """How many have begun, and no record tells of their end."""
        return self.tasks - self.ended

    @property
    def denied_by_people(self) -> int:
        """How often somebody who may approve a task said no."""
        return self.refusals[WaitReason.APPROVAL_DENIED]


@dataclass(slots=True)
class _Task:
    key: Key
    started: datetime | None = None
    deadline: datetime | None = None
    seen: set[str] = field(default_factory=set)


class Tallies:
    """The tallies of all agents. What is kept of a task goes with its end."""

    def __init__(self, agent: str | None, namespace: str | None, since: datetime | None) -> None:
        """Count what is of that agent and namespace, from `since` on; None: any."""
        self._agent = agent
        self._namespace = namespace
        self._since = since
        self._tasks: dict[str, _Task] = {}
        self.of: dict[Key, Tally] = {}
        self.reports = Reports()

    def take(self, record: Record) -> None:
        """Take the next record of the ledger."""
        for use in self.reports.uses_in(record):
            self._use(use)
        fields = record.fields
        uid, agent, namespace = (text(fields.get(each)) for each in ("uid", "agent", "namespace"))
        if not fields.get("task") or (self._since is not None and record.at < self._since):
            return
        if record.kind in GIVES:
            self._hand_on(record)
        if not agent or not self._is_asked_for((namespace, agent)):
            return
        task = self._tasks.setdefault(uid, _Task((namespace, agent)))
        task.started = moment(fields.get("started")) or task.started
        task.deadline = moment(fields.get("deadline")) or task.deadline
        tally = self.of.setdefault(task.key, Tally())
        if record.kind in GIVES:
            _give(tally, task, record)
        elif record.kind == Kind.VOIDED:
            tally.credentials -= 1
        elif record.kind == Kind.ENDED:
            _end(tally, self._tasks.pop(uid), record)
        else:
            _hold(tally, task, record)

    def _is_asked_for(self, key: Key) -> bool:
        return self._namespace in {None, key[0]} and self._agent in {None, key[1]}

    def _use(self, use: Use) -> None:
        """Count what decision points reported, where it ended within the time that is asked for."""
        key = use.namespace, use.agent
        if not self._is_asked_for(key) or (self._since is not None and use.last < self._since):
            return
        tally = self.of.setdefault(key, Tally())
        if use.reason is None:
            tally.used[use.action or ""] += use.count
        else:
            tally.refused_uses[use.reason] += use.count

    def _hand_on(self, record: Record) -> None:
        """Note what a child is given with the agent of the task right above it, which is there still."""
        above = self._tasks.get(next(iter(names(record.fields, "chain")), ""))
        if above is not None:
            self.of[above.key].handed_on.update(names(record.fields, "actions"))


def _give(tally: Tally, task: _Task, record: Record) -> None:
    fields = record.fields
    tally.tasks += _first(task, "begun")
    tally.credentials += bool(fields.get("serial"))
    for name, counter in (("actions", tally.actions), ("grantable", tally.grantable)):
        counter.update(each for each in names(fields, name) if _first(task, f"{name} {each}"))
    if sensitivity := text(fields.get("sensitivity")):
        tally.sensitivities[sensitivity] += _first(task, f"sensitivity {sensitivity}")
    tally.approved += bool(names(fields, "approvers")) and _first(task, "approved")
    tally.emergencies += fields.get("break_glass") is True and _first(task, "emergency")


def _hold(tally: Tally, task: _Task, record: Record) -> None:
    if record.kind == Kind.APPROVAL_REQUIRED:
        tally.waited += _first(task, "waited")
    elif record.kind == Kind.DENIED:
        tally.refusals[text(record.fields.get("reason"))] += 1
    elif record.kind == Kind.SUSPENDED:
        tally.suspended += 1


def _end(tally: Tally, task: _Task, record: Record) -> None:
    reason = text(record.fields.get("reason"))
    if task.started is None:
        tally.unbegun[reason] += 1
        return
    tally.tasks += _first(task, "begun")
    tally.ends[reason] += 1
    lasted = max((record.at - task.started).total_seconds(), 0.0)
    tally.lasted.append(lasted)
    if reason in _BY_ITSELF:
        tally.by_itself.append(lasted)
    if task.deadline is not None:
        tally.asked.append(max((task.deadline - task.started).total_seconds(), 0.0))


def _first(task: _Task, what: str) -> bool:
    """Whether that is seen of the task for the first time."""
    is_new = what not in task.seen
    task.seen.add(what)
    return is_new
