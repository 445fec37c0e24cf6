"""What this operator remembers of a task's Secret, since it may not read it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import ConditionType
from agentid.cluster.secrets import Version
from agentid.lifecycle.model import Limits, SecretFacts, SecretState
from agentid.pki.validity import BACKDATE

MARGIN: Final = timedelta(seconds=90)
"""How long before its last sign of life a predecessor's writes may have been left half done.

No pause between two attempts is longer than 75 s (`queue.retry_pause`): a write that failed longer ago than
that was tried again since, and if it failed again, the task's status says so (condition Stalled).
"""
SETTLED_MARGIN: Final = -timedelta(seconds=1)
"""The same where the predecessor said that nothing was: only what came after it is in doubt.

Times in a certificate are whole seconds, so that one seems to be issued up to a second later than it was.
"""


@dataclass(slots=True)
class SecretMemory:
    """The Secret of one name. `state` None: nothing is known yet, this operator has just taken over.

    `accounted` is the generation of the newest credential of the task `accounted_uid` that is accounted for:
    recalled, or made by this operator.

    `is_known` tells that there was one of the task `task_uid` when last something was known of it. It stays
    through doubt, in which `overtaken` tells that another operator has recorded a credential since: then
    `version` and `generation` are what this operator last knew.

    `unanswered` tells of a task, by its UID, when its Secret was last asked to be created without an answer,
    and how often that was without its being found since. `last_uid` is that of the Secret last seen: found
    again, it is no other creation that was carried out.
    """

    state: SecretState | None = None
    task_uid: str = ""
    generation: int | None = None
    emptied_at: datetime | None = None
    version: Version | None = None
    accounted_uid: str = ""
    accounted: int = 0
    is_known: bool = False
    overtaken: bool = False
    unanswered: tuple[str, datetime, int] = ("", datetime.min.replace(tzinfo=UTC), 0)
    last_uid: str = ""

    def facts_for(self, task_uid: str) -> SecretFacts:
        """Return the facts as the task with that UID sees them: another task's Secret holds its name."""
        if self.state is None:
            return SecretFacts(SecretState.DOUBTFUL)
        if self.task_uid != task_uid and self.state is not SecretState.ABSENT:
            return SecretFacts(SecretState.TAKEN, predecessors=self.state is not SecretState.TAKEN)
        return SecretFacts(
            self.state,
            self.generation if self.state is SecretState.FILLED else None,
            self.emptied_at,
            overtaken=self.overtaken,
            unanswered_at=self.unanswered_at(task_uid),
        )

    def unanswered_at(self, task_uid: str) -> datetime | None:
        """Return when a creation for that task was last asked for that may still be carried out."""
        uid, at, times = self.unanswered
        return at if times and uid == task_uid else None

    def may_come(self, now: datetime, within: timedelta) -> bool:
        """Return whether one may still be made that was asked for and not answered, at most `within` ago."""
        _, at, times = self.unanswered
        return times > 0 and now < at + within

    def asked_for(self, task_uid: str, at: datetime) -> None:
        """Note that it was asked to be created, and nobody has said yes or no."""
        times = self.unanswered[2] if self.unanswered[0] == task_uid else 0
        self.unanswered = (task_uid, at, times + 1)

    def found(self, secret_uid: str) -> None:
        """Note that one such request made this Secret; where there were more, those may still come."""
        uid, at, times = self.unanswered
        if secret_uid != self.last_uid:
            self.unanswered = (uid, at, max(times - 1, 0))
        self.last_uid = secret_uid

    def absent(self) -> None:
        """Note that there is none of the name."""
        self._become(SecretState.ABSENT, "", None)

    def filled(self, task_uid: str, generation: int, version: Version | None) -> None:
        """Note that it holds the credential of that generation."""
        self._become(SecretState.FILLED, task_uid, version)
        self.generation, self.is_known = generation, True

    def emptied(self, task_uid: str, at: datetime, version: Version | None) -> None:
        """Note that its values are empty; emptied again, the first time counts."""
        first = self.emptied_at if self.state is SecretState.EMPTIED and self.task_uid == task_uid else None
        self._become(SecretState.EMPTIED, task_uid, version)
        self.emptied_at, self.is_known = first or at, True

    def doubtful(self, task_uid: str) -> None:
        """Note that a write may or may not have happened; the version is then of no use."""
        is_known = self.is_known and self.task_uid == task_uid
        self._become(SecretState.DOUBTFUL, task_uid, None)
        self.is_known = is_known

    def taken(self) -> None:
        """Note that the name is held by a Secret that is not ours."""
        self._become(SecretState.TAKEN, "", None)

    def become(self, other: "SecretMemory") -> None:
        """Know of the Secret what `other` knows, except for which credentials are accounted for."""
        self._become(other.state, other.task_uid, other.version)
        self.generation, self.emptied_at = other.generation, other.emptied_at
        self.is_known, self.overtaken = other.is_known, other.overtaken

    def account_for(self, task_uid: str, generation: int) -> bool:
        """Note that the credential of that generation is known of; return whether it was news."""
        known = self.accounted if self.accounted_uid == task_uid else 0
        if generation <= known:
            return False
        self.accounted_uid, self.accounted = task_uid, generation
        return True

    def check(self, task_uid: str, generation: int) -> None:
        """Doubt what is known if the status counts a credential that is not accounted for.

        An operator whose lease ran out while a request of its was on the way has recorded it, and may have
        written it into the Secret, or not yet.
        """
        if not self.account_for(task_uid, generation):
            return
        before = (self.version, self.generation) if self.task_uid == task_uid else (None, None)
        self.doubtful(task_uid)
        self.version, self.generation = before
        self.overtaken = True

    def forget(self) -> None:
        """Forget everything: another operator may have written since."""
        self.state, self.task_uid, self.version = None, "", None
        self.generation, self.emptied_at = None, None
        self.accounted_uid, self.accounted = "", 0
        self.is_known, self.overtaken = False, False

    def _become(self, state: SecretState | None, task_uid: str, version: Version | None) -> None:
        self.state, self.task_uid, self.version = state, task_uid, version
        self.generation, self.emptied_at = None, None
        self.is_known, self.overtaken = False, False
        if version is not None:
            self.last_uid = version.uid


def recall(  # noqa: PLR0913 - everything that tells how near a predecessor's work was
    memory: SecretMemory,
    *,
    task_uid: str,
    status: AgentTaskStatus,
    last_at_work: datetime,
    margin: timedelta,
    limits: Limits,
    pod_lives: bool,
) -> None:
    """Work out what an earlier operator must have left, from its status and when it last was at work.

    Only what it may have left half done is in doubt, so that a restart among quiet tasks writes nothing.
    `margin`: how long before `last_at_work` that may have begun. `pod_lives`: one does that has a node, so
    that the Secret may be mounted.
    """
    generation = status.credential_generation or 0
    memory.account_for(task_uid, generation)
    if generation == 0:
        # The status is written before the Secret: no credential in it, none was ever released.
        memory.absent()
        return
    stalled = any(each.type is ConditionType.STALLED and each.status == "True" for each in status.conditions)
    current = max(status.credentials, key=lambda each: each.generation, default=None)
    if current is not None and status.end_time is None:
        issued_at = current.not_before + BACKDATE
        if stalled or issued_at > last_at_work - margin:
            memory.doubtful(task_uid)
            memory.asked_for(task_uid, last_at_work)
        else:
            memory.filled(task_uid, current.generation, None)
        return
    settled = [status.end_time] if status.end_time else []
    settled += [
        each.last_transition_time
        for each in status.conditions
        if each.type in {ConditionType.FINISHED, ConditionType.CREDENTIAL_ISSUED}
    ]
    taken_away = max(settled, default=None)
    if stalled or taken_away is None or taken_away > last_at_work - margin:
        memory.doubtful(task_uid)
    elif (status.end_time is None and pod_lives) or taken_away > last_at_work - margin - limits.wipe_grace:
        # Emptied then, it stays for the living pod: until the grace is over or, where the task goes on, so
        # that what follows can be filled into the same mount.
        memory.emptied(task_uid, taken_away, None)
    else:
        memory.absent()
