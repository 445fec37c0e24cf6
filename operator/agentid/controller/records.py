"""What is known under one task name, as the world keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from agentid.api.agent import AgentStatus
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.controller.packed_task import PackedTask
from agentid.controller.second_opinion import Opinion
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.journal import Entry
from agentid.lifecycle.model import AgentFacts, FailedWrite, PodFacts, TaskFacts
from agentid.lifecycle.plan import EventDraft
from agentid.watched.facts import Key, OwnerReference


@dataclass(slots=True)
class PodRecord:
    """One pod of a task."""

    facts: PodFacts
    owner: OwnerReference | None
    version: int


@dataclass(slots=True)
class AgentRecord:
    """One Agent. `status` is None where there is none, or it cannot be read."""

    facts: AgentFacts
    version: int
    generation: int
    status: AgentStatus | None


@dataclass(frozen=True, slots=True)
class Untold:
    """An Event that waits for what becomes of the Secret, and when it was decided."""

    task: TaskFacts
    draft: EventDraft
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Departed:
    """A task that is gone: since when, and as it last was until its end is told; None: nothing to tell.

    `static_secrets` are the further keys of its Secret; None: nobody knows.
    """

    since: datetime
    task: PackedTask | None = None
    static_secrets: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unsure:
    """A status that was to be written over that version of a task, and what is to be recorded if it was."""

    entry: Entry
    version: str
    status: AgentTaskStatus


_NONE: Final[Mapping[str, Departed]] = MappingProxyType({})


@dataclass(slots=True)
class Record:
    """Everything known under one task name: the task, its pods, its Secret, and earlier tasks of that name.

    `key` is what all else uses too, so that it is in memory once. `departed` holds by its UID each task that
    is gone while its Secret may remain; an empty UID stands for one that nobody remembers. `status_invalid`
    is what was last logged of a status that cannot be read. `own_write` is true while a status write is under
    way, `during_write` holds what the watch brought meanwhile. `lost_writes` counts the status writes in a
    row that others' changes of the task came before. `unconfirmed` tells of the newest credential, whose
    generation it names, until it surely is in its Secret. `opinion` is what OPA said last, where it is asked.
    `told_to_job` is what a Job whose pods ask for a template was told last. `given` is what was recorded
    as given and may be in the status or not. `owed` is what a status says already and a pass is about to
    record, `unsure` the same of statuses of which nobody knows whether they were written.
    """

    key: Key
    task: PackedTask | None = None
    pods: dict[str, PodRecord] = field(default_factory=dict)
    departed: Mapping[str, Departed] = field(default_factory=lambda: _NONE)
    secret: SecretMemory = field(default_factory=SecretMemory)
    failed_write: FailedWrite | None = None
    failures: int = 0
    lost_writes: int = 0
    unconfirmed: tuple[int, Untold] | None = None
    status_invalid: str | None = None
    told_to_job: str = ""
    own_write: bool = False
    during_write: PackedTask | None = None
    opinion: Opinion | None = None
    given: tuple[Entry, ...] = ()
    owed: Entry | None = None
    unsure: tuple[Unsure, ...] = ()

    def depart(self, uid: str, departed: Departed) -> None:
        """Remember a task that is gone; where that UID is remembered already, in place of that."""
        self.departed = {**self.departed, uid: departed}

    def forget_departed(self, uid: str) -> None:
        """Let go of a task that is gone."""
        self.departed = {other: each for other, each in self.departed.items() if other != uid} or _NONE

    @property
    def known_of_secret(self) -> tuple[object, ...]:
        """What the next decision knows of the Secret, and whether what failed before would be taken now."""
        return (self.secret.state, self.secret.generation, self.failed_write)

    def is_owed(self, uid: str) -> bool:
        """Whether a pass is under way that records what became of the task with that UID."""
        departed, task = self.departed.get(uid), self.task
        if (departed is not None and departed.task is not None) or (
            self.owed is not None and self.owed.uid == uid
        ):
            return True
        return task is not None and any(
            each.entry.uid == uid == task.uid and each.status == task.facts().status for each in self.unsure
        )

    @property
    def empty(self) -> bool:
        """Whether nothing is left to remember."""
        return self.task is None and not self.pods and not self.departed
