"""Which Secrets the pods of agents take their contents from, as the pods' specs say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Final

from agentid.api.names import TASK_LABEL, TEMPLATE_LABEL
from agentid.cli.selecting import which
from agentid.cluster.connection import Body
from agentid.watched.facts import mapping, sequence, text

Name = tuple[str, str]
"""Namespace and name."""

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


@dataclass(slots=True)
class Uses:
    """What uses a Secret: names of pods and of their Agents, and how they refer to it."""

    pods: dict[str, None] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)
    ways: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Users:
    """The pods of agents, by what they use.

    Attributes:
        agents: The names of the Agents that list a service account, by its namespace and name.
        uses: What uses each Secret.
        pods: How many pods of agents there are.
    """

    agents: Mapping[Name, tuple[str, ...]]
    uses: dict[Name, Uses] = field(default_factory=dict)
    pods: int = 0

    def take(self, pod: Body) -> None:
        """Take in a pod, if it is an agent's: by its service account, or a task's or template's label."""
        namespace, name = which(pod)
        spec = mapping(pod.get("spec"))
        labels = mapping(mapping(pod.get("metadata")).get("labels"))
        agents = self.agents.get((namespace, text(spec.get("serviceAccountName"))), ())
        if not agents and labels.keys().isdisjoint({TASK_LABEL, TEMPLATE_LABEL}):
            return
        self.pods += 1
        for secret, way in references(spec):
            if not secret:
                continue
            uses = self.uses.setdefault((intern(namespace), secret), Uses())
            uses.pods[name] = None
            uses.agents.update(agents)
            uses.ways.add(way)


def references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each Secret whose contents a pod's containers can read, and how the pod refers to it."""
    for each in sequence(spec.get("volumes")):
        volume = mapping(each)
        yield text(mapping(volume.get("secret")).get("secretName")), "volume"
        for source in sequence(mapping(volume.get("projected")).get("sources")):
            yield text(mapping(mapping(source).get("secret")).get("name")), "projected"
    containers = (mapping(each) for kind in _CONTAINERS for each in sequence(spec.get(kind)))
    for container in containers:
        for variable in sequence(container.get("env")):
            chosen = mapping(mapping(mapping(variable).get("valueFrom")).get("secretKeyRef"))
            yield text(chosen.get("name")), "env"
        for source in sequence(container.get("envFrom")):
            yield text(mapping(mapping(source).get("secretRef")).get("name")), "envFrom"


def accounts_of(agent: Body) -> Iterator[tuple[Name, str]]:
    """Yield each service account that an Agent lists, with the Agent's name."""
    namespace, name = which(agent)
    for account in sequence(mapping(agent.get("spec")).get("serviceAccounts")):
        yield (namespace, text(account)), name
