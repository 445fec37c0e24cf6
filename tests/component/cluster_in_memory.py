"""What an API server, its garbage collector and a kubelet do for one task, in memory, and no more."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import ConditionType
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    PodFacts,
    PodPhase,
    TaskFacts,
    WorkloadFacts,
)
from agentid.lifecycle.pods import lives
from tests.unit.lifecycle_facts import NOW, TASK_UID, agent, condition

KUBELET_SYNC = timedelta(seconds=60)


class ConflictError(Exception):
    """409: the resourceVersion, UID or name is another one."""


class NotFoundError(Exception):
    """404."""


class RefusedError(Exception):
    """403: admission does not let this Secret be touched, since it is not this task's."""


class LostError(Exception):
    """No answer; `happened` is what only the cluster knows."""

    def __init__(self, *, happened: bool) -> None:
        super().__init__(happened)
        self.happened = happened


@dataclass(frozen=True)
class Secret:
    """A Secret of the reserved name. `generation` is the credential in it, None: its values are empty."""

    uid: str
    version: int
    task_uid: str
    generation: int | None
    owners: frozenset[str]


@dataclass
class Cluster:
    """One AgentTask, its Agent, workload, pods and Secret, and the time."""

    spec: AgentTaskSpec
    now: datetime = NOW
    agent: AgentFacts | None = field(default_factory=agent)
    workload: WorkloadFacts | None = None
    blocked: Blocked | None = None
    policy: dict[str, object] = field(default_factory=dict)
    """What policy says otherwise than that it allows the task."""
    pods: dict[str, PodFacts] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    """Which credential the mounted files of a pod hold."""
    secret: Secret | None = None
    task: TaskFacts | None = None
    history: list[AgentTaskStatus] = field(default_factory=list)
    fault: LostError | None = None
    """The next write gets no answer."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(100))

    def __post_init__(self) -> None:
        self.task = TaskFacts(
            namespace="support",
            name="refund-4711",
            uid=TASK_UID,
            generation=1,
            resource_version="1",
            created=self.now,
            deleting=False,
            spec=self.spec,
            status=AgentTaskStatus(),
        )

    @property
    def status(self) -> AgentTaskStatus:
        """The last status that was written, even if the task is gone by now."""
        return self.history[-1] if self.history else AgentTaskStatus()

    @property
    def end(self) -> tuple[str, datetime] | None:
        """Why and when the task ended."""
        said = condition(self.status, ConditionType.FINISHED)
        if said is None or said.status != "True":
            return None
        return said.reason, said.last_transition_time

    def change_task(self, **changes: object) -> None:
        """Write the task's spec or metadata as its people do."""
        if self.task is not None:
            version = str(int(self.task.resource_version) + 1)
            generation = self.task.generation + ("spec" in changes)
            self.task = replace(
                self.task,
                resource_version=version,
                generation=generation,
                **changes,  # type: ignore[arg-type]
            )

    def write_status(self, uid: str, version: str, status: AgentTaskStatus) -> None:
        """Replace the status if nothing changed since `version`; its text is what is kept."""
        self._answer_may_be_lost(happened=False)
        if self.task is None or self.task.uid != uid:
            raise NotFoundError
        if self.task.resource_version != version:
            raise ConflictError
        kept = AgentTaskStatus.model_validate_json(status.model_dump_json(by_alias=True))
        self.history.append(kept)
        self.change_task(status=kept)
        self._answer_may_be_lost(happened=True)

    def delete_task(self) -> None:
        """Let the object go, as at the end of its deletion."""
        self._answer_may_be_lost(happened=False)
        self.task = None
        self._answer_may_be_lost(happened=True)

    def look_at_secret(self) -> None:
        """PUT, dry run: it says whether there is one and whether it is this task's."""
        self._own_secret()

    def create_secret(self, generation: int | None, owners: frozenset[str]) -> Secret:
        """POST."""
        self._answer_may_be_lost(happened=False)
        if self.secret is not None:
            raise ConflictError
        number = next(self._numbers)
        self.secret = Secret(f"secret-{number}", number, TASK_UID, generation, owners)
        self._answer_may_be_lost(happened=True)
        return self.secret

    def replace_secret(
        self, generation: int | None, uid: str | None, version: int | None, owners: frozenset[str]
    ) -> Secret:
        """PUT, with preconditions where `uid` and `version` are known."""
        self._answer_may_be_lost(happened=False)
        found = self._own_secret()
        if uid is not None and (found.uid, found.version) != (uid, version):
            raise ConflictError
        self.secret = replace(
            found, generation=generation, version=next(self._numbers), owners=owners or found.owners
        )
        self._answer_may_be_lost(happened=True)
        return self.secret

    def delete_secret(self, uid: str) -> None:
        """DELETE with preconditions.uid."""
        self._answer_may_be_lost(happened=False)
        if self._own_secret().uid != uid:
            raise ConflictError
        self.secret = None
        self._answer_may_be_lost(happened=True)

    def collect_garbage(self) -> None:
        """Take a Secret all of whose owners are gone."""
        alive = {pod.uid for pod in self.pods.values()} | ({self.task.uid} if self.task else set())
        if self.secret is not None and self.secret.owners and not self.secret.owners & alive:
            self.secret = None

    def sync_kubelets(self) -> None:
        """Bring the mounted files of living pods to what the Secret holds; without a Secret they stay."""
        living = {pod.uid for pod in self.pods.values() if lives(pod)}
        self.files = {uid: held for uid, held in self.files.items() if uid in living}
        if self.secret is None or self.secret.task_uid != TASK_UID:
            return
        for pod in self.pods.values():
            if lives(pod) and pod.scheduled:
                self.files.pop(pod.uid, None)
                if self.secret.generation is not None:
                    self.files[pod.uid] = self.secret.generation

    def change_pod(self, pod: PodFacts, **changes: object) -> None:
        """Change what is seen of a pod."""
        self.pods[pod.uid] = replace(pod, **changes)  # type: ignore[arg-type]

    def finish_pod(self, pod: PodFacts, phase: PodPhase) -> None:
        """Let a pod run to its end."""
        self.change_pod(pod, phase=phase, containers_ended=True)

    def _own_secret(self) -> Secret:
        if self.secret is None:
            raise NotFoundError
        if self.secret.task_uid != TASK_UID:
            raise RefusedError
        return self.secret

    def _answer_may_be_lost(self, *, happened: bool) -> None:
        if self.fault is not None and self.fault.happened == happened:
            fault, self.fault = self.fault, None
            raise fault
