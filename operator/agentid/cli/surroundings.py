"""What a decision about tasks is made on besides the tasks and policies, as far as the caller may see it."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agentid.api.names import OPERATOR_LEASE, TASK_LABEL
from agentid.cli.authority import CONSENT, look_above, look_for_approvals, parent_of
from agentid.cli.errors import NotSeenError
from agentid.cli.selecting import which
from agentid.cli.session import Session
from agentid.cli.static_secrets import Declared, asked_for, look
from agentid.cluster.connection import METADATA, Body
from agentid.cluster.errors import ForbiddenError, NotFoundError
from agentid.cluster.paths import AGENTS, LEASES, NAMESPACES, PODS, Resource
from agentid.cluster.watching import list_chunks
from agentid.controller.approvals import Approvals
from agentid.lifecycle.model import AgentFacts, PodFacts, TaskFacts
from agentid.policy.explaining import Path
from agentid.watched.facts import agent_facts, mapping, pod_facts, pod_task, sequence, text

Key = tuple[str, str]
"""Namespace and name."""

_AT_ONCE: Final = 16
_CONTAINER: Final = "operator"
_OPERATOR: Final = "app.kubernetes.io/name=agentid,app.kubernetes.io/component=operator"
_POD: Final = frozenset(
    {
        ("context", "serviceAccount"),
        ("context", "images"),
        ("context", "imageRegistries"),
        ("context", "imagesPinned"),
        ("context", "runningImages"),
    }
)
NAMESPACE_LABELS: Final = ("context", "environment", "namespaceLabels")
CLUSTER_LABELS: Final = ("context", "environment", "clusterLabels")
TRUST_DOMAIN: Final = ("context", "environment", "trustDomain")
_ANYTHING: Final = ()
"""What every answer depends on, whatever policies read."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not known to the caller: what policies call it, and what was assumed instead."""

    of: frozenset[Path]
    sentence: str


@dataclass(slots=True)
class Surroundings:
    """Agents, pods and labels as they are now.

    Attributes:
        agents: Agents by namespace and name; None: there is none.
        pods: The pods that claim each task.
        labels: Labels of each namespace.
        cluster_labels: Labels of the cluster.
        trust_domain: The trust domain.
        static_secrets: What AgentSecrets say.
        above: The tasks above them.
        approvals: The approvals that there are.
        gaps: What is not known.
    """

    agents: dict[Key, AgentFacts | None] = field(default_factory=dict)
    pods: dict[Key, tuple[PodFacts, ...]] = field(default_factory=dict)
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    cluster_labels: Mapping[str, str] = field(default_factory=dict)
    trust_domain: str = ""
    static_secrets: Declared = field(default_factory=dict)
    above: dict[Key, TaskFacts] = field(default_factory=dict)
    approvals: Approvals = field(default_factory=lambda: Approvals(lambda _: None))
    gaps: list[Gap] = field(default_factory=list)

    def gap(self, of: Iterable[Path], sentence: str) -> None:
        """Note that something is not known."""
        self.gaps.append(Gap(frozenset(of), sentence))

    def relevant_gaps(self, read: frozenset[Path]) -> list[str]:
        """Return what is not known of the attributes that policies read."""
        return [
            each.sentence
            for each in self.gaps
            if any(of == _ANYTHING or any(path[: len(of)] == of for path in read) for of in each.of)
        ]


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the caller says of the installation; None: as it can be seen."""

    trust_domain: str | None = None
    cluster_labels: Mapping[str, str] | None = None


async def look_around(
    here: Session, tasks: Sequence[Body], assumed: Assumed, known: Iterable[Key] = ()
) -> Surroundings:
    """Return what decisions about these tasks are made on besides, as it is now, but for `known` Agents.

    Raises:
        NotSeenError: the caller may not see their Agents, without which nothing can be asked.
    """
    found = Surroundings()
    gate = asyncio.Semaphore(_AT_ONCE)
    keys = {_agent_key(each) for each in tasks}
    namespaces = {namespace for namespace, _ in keys}
    secrets = asked_for(tasks)
    pods = await _operators_settings(here)
    _take_installation(found, pods, tasks, assumed)
    found.static_secrets = await look(here, secrets, _agreed(pods, "AGENTID_NAMESPACE"))
    found.above = await look_above(here, tasks)
    found.approvals, unseen = await look_for_approvals(here, namespaces)
    for each in unseen:
        found.gap(CONSENT, f"the approvals in namespace {each}: none are assumed")
    await asyncio.gather(
        *(_take_agent(here, found, key, gate) for key in keys - set(known)),
        *(_take_labels(here, found, namespace, gate) for namespace in namespaces),
        *(_take_pods(here, found, namespace, _one(tasks), gate) for namespace in namespaces),
    )
    return found


def _one(tasks: Sequence[Body]) -> str | None:
    """Return the name of the only task whose pods matter; a child may be done in its parent's."""
    if any(parent_of(each) for each in tasks):
        return None
    return text(mapping(tasks[0].get("metadata")).get("name")) if len(tasks) == 1 else None


def _agent_key(task: Body) -> Key:
    spec = mapping(task.get("spec"))
    namespace = text(mapping(task.get("metadata")).get("namespace"))
    return namespace, text(mapping(spec.get("agentRef")).get("name"))


async def _take_agent(here: Session, found: Surroundings, key: Key, gate: asyncio.Semaphore) -> None:
    try:
        body = await _get(here, AGENTS, key[0], key[1], gate)
    except ForbiddenError as error:
        raise NotSeenError(
            f"you may not get Agent {key[0]}/{key[1]}, without which policy cannot be asked. Ask somebody "
            "who may"
        ) from error
    found.agents[key] = None if body is None else agent_facts(body)


async def _take_labels(here: Session, found: Surroundings, namespace: str, gate: asyncio.Semaphore) -> None:
    try:
        body = await _get(here, NAMESPACES, None, namespace, gate, accept=METADATA)
    except ForbiddenError:
        body = None
    if body is None:
        found.gap([NAMESPACE_LABELS], f"the labels of namespace {namespace}: none are assumed")
        return
    labels = mapping(mapping(body.get("metadata")).get("labels"))
    found.labels[namespace] = {key: text(value) for key, value in labels.items()}


async def _take_pods(
    here: Session, found: Surroundings, namespace: str, task: str | None, gate: asyncio.Semaphore
) -> None:
    selector = TASK_LABEL if task is None else f"{TASK_LABEL}={task}"
    try:
        async with gate:
            pages = list_chunks(here.connection, PODS, namespace, label_selector=selector)
            async for bodies, _ in pages:
                for body in bodies:
                    key = (namespace, pod_task(body))
                    found.pods[key] = (*found.pods.get(key, ()), pod_facts(body, labelled=True))
    except ForbiddenError:
        found.gap(_POD, f"the pods in namespace {namespace}: none are assumed")


def _take_installation(
    found: Surroundings, pods: Sequence[Mapping[str, str]], tasks: Sequence[Body], assumed: Assumed
) -> None:
    """Take over what the operator's pods say of the installation, or a task of its trust domain."""
    domain = assumed.trust_domain or _agreed(pods, "AGENTID_TRUST_DOMAIN") or _trust_domain_of(tasks)
    if domain is None:
        found.gap([TRUST_DOMAIN], "the trust domain: none is assumed; say it with --trust-domain")
    found.trust_domain = domain or ""
    labels = assumed.cluster_labels
    if labels is None and (written := _agreed(pods, "AGENTID_CLUSTER_LABELS")) is not None:
        labels = _labels(written)
    if labels is None:
        found.gap([CLUSTER_LABELS], "the cluster's labels: none are assumed; say them with --cluster-label")
    found.cluster_labels = labels or {}
    if any("AGENTID_OPA_URL" in each for each in pods):
        found.gap([_ANYTHING], "what OPA says (it is not asked here)")


async def _operators_settings(here: Session) -> list[Mapping[str, str]]:
    """Return the variables of each of the operator's pods; nothing where they cannot be seen.

    Anybody may give a pod the operator's labels: only pods beside the operator's Lease count, where that can
    be seen.
    """
    try:
        pages = list_chunks(here.connection, PODS, None, label_selector=_OPERATOR)
        pods = [body async for bodies, _ in pages for body in bodies]
    except ForbiddenError:
        return []
    homes = await _operators_namespaces(here) if pods else frozenset()
    return [_variables(each) for each in pods if not homes or which(each)[0] in homes]


async def _operators_namespaces(here: Session) -> frozenset[str]:
    """Return where the operator's Lease is; nothing where that cannot be seen."""
    try:
        pages = list_chunks(here.connection, LEASES, None, name=OPERATOR_LEASE, metadata_only=True)
        return frozenset([which(body)[0] async for bodies, _ in pages for body in bodies])
    except ForbiddenError:
        return frozenset()


def _variables(pod: Body) -> Mapping[str, str]:
    containers = map(mapping, sequence(mapping(pod.get("spec")).get("containers")))
    own = [each for each in containers if each.get("name") == _CONTAINER]
    variables = [mapping(variable) for each in own for variable in sequence(each.get("env"))]
    return {text(each.get("name")): text(each.get("value")) for each in variables}


def _agreed(pods: Sequence[Mapping[str, str]], name: str) -> str | None:
    """Return the value of a variable that all pods have alike; None: it is not known."""
    values = {each.get(name) for each in pods}
    return values.pop() if len(values) == 1 else None


def _trust_domain_of(tasks: Sequence[Body]) -> str | None:
    ids = (text(mapping(each.get("status")).get("spiffeID")) for each in tasks)
    return next((each.removeprefix("spiffe://").partition("/")[0] for each in ids if each), None)


def _labels(written: str) -> dict[str, str] | None:
    try:
        read: Any = json.loads(written)
    except ValueError:
        return None
    return {key: str(value) for key, value in read.items()} if isinstance(read, dict) else None


async def _get(  # noqa: PLR0913, PLR0917 - what is read, and how
    here: Session,
    resource: Resource,
    namespace: str | None,
    name: str,
    gate: asyncio.Semaphore,
    accept: str | None = None,
) -> Body | None:
    try:
        async with gate:
            return await here.connection.get(resource.path(namespace, name), accept=accept)
    except (NotFoundError, ValueError):
        return None
