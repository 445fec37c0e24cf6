"""Which objects are known, and in which version, for a sweep to compare: all of a kind, or one of them."""

from typing import Final

from agentid.cluster.paths import AGENT_POLICIES, AGENTS, APPROVALS, CLUSTER_AGENT_POLICIES, TASKS, Resource
from agentid.controller.world import World
from agentid.watched.facts import Key
from agentid.watched.policies import Policies

Versions = dict[str, tuple[str, str, int]]
"""By UID: namespace, name and version."""

_POLICIES: Final = (CLUSTER_AGENT_POLICIES, AGENT_POLICIES)


class Known:
    """What the world and the policies know."""

    def __init__(self, world: World, policies: Policies) -> None:
        self._world = world
        self._policies = policies

    def all(self, resource: Resource) -> Versions:
        """Return every object of a kind that is known."""
        if resource is TASKS:
            return {
                record.task.uid: (*key, record.task.version)
                for key, record in self._world.records()
                if record.task is not None
            }
        if resource is AGENTS:
            agents = self._world.agents.all()
            return {record.facts.uid: (*key, record.version) for key, record in agents.items()}
        if resource is APPROVALS:
            approvals = self._world.approvals.all()
            return {record.uid: (*key, record.version) for key, record in approvals.items()}
        if resource in _POLICIES:
            return {
                each.uid: (each.namespace, each.name, each.version)
                for each in self._policies.installed()
                if each.resource == resource
            }
        return {
            uid: (key[0], pod.facts.name, pod.version)
            for key, record in self._world.records()
            for uid, pod in record.pods.items()
            if pod.facts.labelled
        }

    def version(self, resource: Resource, key: Key, uid: str) -> int | None:
        """Return the version in which one object is known, None if it is not; it takes no search."""
        if resource is TASKS:
            record = self._world.record(key)
            task = record.task if record is not None else None
            return task.version if task is not None and task.uid == uid else None
        if resource is AGENTS:
            agent = self._world.agents.record(key)
            return agent.version if agent is not None and agent.facts.uid == uid else None
        if resource is APPROVALS:
            approval = self._world.approvals.record(key)
            return approval.version if approval is not None and approval.uid == uid else None
        if resource in _POLICIES:
            policy = self._policies.find(uid)
            return policy.version if policy is not None and policy.resource == resource else None
        return self._pod_version(uid)

    def _pod_version(self, uid: str) -> int | None:
        kept_for = self._world.pod_key(uid)
        record = self._world.record(kept_for) if kept_for is not None else None
        pod = record.pods.get(uid) if record is not None else None
        return pod.version if pod is not None and pod.facts.labelled else None
