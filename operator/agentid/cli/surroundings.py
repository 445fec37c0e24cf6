"""What a decision about tasks is made on besides the tasks and policies, as far as the caller may see it."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agentid.api.names import TASK_LABEL
from agentid.cli.authority import CONSENT, look_above, look_for_approvals, parent_of
from agentid.cli.errors import NotSeenError
from agentid.cli.session import Session
from agentid.cli.static_secrets import Declared, asked_for, look
from agentid.cluster.connection import METADATA, Body
from agentid.cluster.errors import ForbiddenError, NotFoundError
from agentid.cluster.paths import AGENTS, NAMESPACES, PODS, Resource
from agentid.cluster.watching import list_chunks
from agentid.controller.approvals import Approvals
from agentid.controller.facts import agent_facts, mapping, pod_facts, pod_task, sequence, text
from agentid.lifecycle.model import AgentFacts, PodFacts, TaskFacts
from agentid.policy.explaining import Path

Key = tuple[str, str]
"""Namespace and name."""

_AT_ONCE: Final = 16
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
            if any(path[: len(of)] == of for path in read for of in each.of)
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
    settings = {} if _is_given(assumed) and not secrets else await _operators_settings(here)
    _take_installation(found, settings, tasks, assumed)
    found.static_secrets = await look(here, secrets, settings.get("AGENTID_NAMESPACE"))
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
    found: Surroundings, settings: Mapping[str, str], tasks: Sequence[Body], assumed: Assumed
) -> None:
    """Take over what the operator's settings say of the installation, or a task of its trust domain."""
    domain = assumed.trust_domain or settings.get("AGENTID_TRUST_DOMAIN") or _trust_domain_of(tasks)
    if domain is None:
        found.gap([TRUST_DOMAIN], "the trust domain: none is assumed; say it with --trust-domain")
    found.trust_domain = domain or ""
    labels = assumed.cluster_labels
    if labels is None and "AGENTID_CLUSTER_LABELS" in settings:
        labels = _labels(settings["AGENTID_CLUSTER_LABELS"])
    if labels is None:
        found.gap([CLUSTER_LABELS], "the cluster's labels: none are assumed; say them with --cluster-label")
    found.cluster_labels = labels or {}


def _is_given(assumed: Assumed) -> bool:
    return assumed.trust_domain is not None and assumed.cluster_labels is not None


async def _operators_settings(here: Session) -> dict[str, str]:
    """Return the variables of one of the operator's pods; nothing where they cannot be seen."""
    try:
        pages = list_chunks(here.connection, PODS, None, label_selector=_OPERATOR)
        pods = [body async for bodies, _ in pages for body in bodies]
    except ForbiddenError:
        return {}
    containers = [each for pod in pods for each in sequence(mapping(pod.get("spec")).get("containers"))]
    variables = (each for container in containers for each in sequence(mapping(container).get("env")))
    return {text(mapping(each).get("name")): text(mapping(each).get("value")) for each in variables}


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
