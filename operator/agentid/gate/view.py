"""What the decision point knows of the cluster, and how old that is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from agentid.gate.known_task import KnownTask
from agentid.lifecycle.model import AgentFacts, PodFacts
from agentid.policy.layer import Layer
from agentid.watched.facts import Key


class PoliciesInForce(Protocol):
    """The layers that policy is asked by."""

    @property
    def cluster(self) -> Layer:
        """The layer of all ClusterAgentPolicies."""

    def of(self, namespace: str) -> Layer:
        """Return the layer of a namespace's AgentPolicies."""

    def lost(self, namespace: str) -> tuple[str, ...]:
        """Return the policies of which it is not known what they forbid."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is decided: the time of day, and the seconds of a clock that nobody can set."""

    now: datetime
    uptime: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of the operator that came through the watch of tasks.

    Attributes:
        at: When the operator wrote it, by its clock.
        seen: When it came here, in seconds of the clock that nobody can set.
    """

    at: datetime
    seen: float


class View:
    """Tasks, their pods, Agents and policies as last seen; whoever watches puts in what is shown."""

    def __init__(
        self,
        policies: PoliciesInForce,
        labels: Callable[[str], Mapping[str, str] | None],
        silent: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Make an empty view.

        Args:
            policies: The policies in force.
            labels: Returns the labels of a namespace; None where it is not known.
            silent: Returns which watch has not been heard for too long; None: all have.
        """
        self.policies = policies
        self.labels = labels
        self.silent = silent
        self._tasks: dict[str, KnownTask] = {}
        self._uids: dict[Key, str] = {}
        self._pods: dict[str, PodFacts] = {}
        self._agents: dict[Key, AgentFacts] = {}
        self._heartbeats: dict[str, Heartbeat] = {}

    def __len__(self) -> int:
        """Return how many tasks are known."""
        return len(self._tasks)

    def task(self, uid: str) -> KnownTask | None:
        """Return the task of that UID."""
        return self._tasks.get(uid)

    def pod(self, uid: str) -> PodFacts | None:
        """Return the pod of that UID."""
        return self._pods.get(uid)

    def agent(self, namespace: str, name: str) -> AgentFacts | None:
        """Return the Agent of that name."""
        return self._agents.get((namespace, name))

    def age(self, namespace: str, moment: Moment) -> timedelta | None:
        """Return how old what is known of a namespace's tasks may be; None: nothing tells.

        A watch can bring old news steadily, and its connection can be open and silent: the later of both
        counts, the time since the heartbeat was written and the time since it came.
        """
        heartbeat = self._heartbeat(namespace)
        if heartbeat is None:
            return None
        return max(moment.now - heartbeat.at, timedelta(seconds=moment.uptime - heartbeat.seen))

    def behind_by(self, namespace: str, moment: Moment) -> timedelta:
        """Return by how much this process' clock is behind the operator's, as far as that shows."""
        heartbeat = self._heartbeat(namespace)
        return timedelta() if heartbeat is None else max(heartbeat.at - moment.now, timedelta())

    def put_task(self, task: KnownTask) -> None:
        """Take in a task; one of the same name with another UID is gone."""
        self.drop_task((task.namespace, task.name), but=task.uid)
        self._uids[task.namespace, task.name] = task.uid
        self._tasks[task.uid] = task

    def drop_task(self, key: Key, but: str | None = None) -> None:
        """Take in that the task of that name is gone, unless it has the UID `but`."""
        uid = self._uids.get(key)
        if uid is not None and uid != but:
            del self._uids[key]
            self._tasks.pop(uid, None)

    def put_pod(self, pod: PodFacts) -> None:
        """Take in a pod."""
        self._pods[pod.uid] = pod

    def drop_pod(self, uid: str) -> None:
        """Take in that a pod is gone."""
        self._pods.pop(uid, None)

    def put_agent(self, key: Key, agent: AgentFacts) -> None:
        """Take in an Agent."""
        self._agents[key] = agent

    def drop_agent(self, key: Key) -> None:
        """Take in that an Agent is gone."""
        self._agents.pop(key, None)

    def beat(self, watched: str, heartbeat: Heartbeat) -> None:
        """Take in a heartbeat of the watch of the namespace `watched`; empty: of that of all namespaces."""
        self._heartbeats[watched] = heartbeat

    def _heartbeat(self, namespace: str) -> Heartbeat | None:
        return self._heartbeats.get("") or self._heartbeats.get(namespace)
