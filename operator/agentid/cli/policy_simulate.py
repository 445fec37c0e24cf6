"""`agentid policy simulate`: what would be decided about a task that is written in a file."""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from agentid.api.fields import Timestamp, format_time
from agentid.api.names import API_VERSION
from agentid.cli import static_secrets
from agentid.cli.asking import Verdict, ask, explained, in_force, observe
from agentid.cli.authority import parent_of
from agentid.cli.errors import REFUSED, NotSeenError, NotThereError, UnusableFileError, finish
from agentid.cli.manifests import Manifest, manifests
from agentid.cli.options import Output
from agentid.cli.printing import paragraphs, printer, told
from agentid.cli.session import Session, session, who_am_i
from agentid.cli.sources import Source
from agentid.cli.surroundings import (
    CLUSTER_LABELS,
    NAMESPACE_LABELS,
    TRUST_DOMAIN,
    Assumed,
    Surroundings,
    look_around,
)
from agentid.cli.telling import Row, as_json, asked_for, decided, task_as_json
from agentid.cli.where import Where
from agentid.lifecycle.model import PolicyAction
from agentid.policy.judging import InForce
from agentid.process.clocks import Clock
from agentid.watched.facts import agent_facts, mapping, pod_facts, pod_task, text

_STANDS_FOR: Final = "00000000-0000-4000-8000-000000000000"
"""The UID of a task that does not exist yet."""
_TITLES: Final = {
    "allow": ("would be allowed.", "bold green"),
    "approval": ("would wait for an approval.", "bold yellow"),
    "deny": ("would be denied.", "bold red"),
}


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is to be simulated.

    Attributes:
        task: File of the task; it may hold its Agent, namespace, pod and AgentSecrets too.
        policies: By which policies.
        action: What is asked.
        at: When; None: now.
        username: Who asks; None: as the file says, or the caller.
        groups: Their groups.
        local: No cluster is asked: what the files do not hold is not known.
        assumed: What is said of the installation.
    """

    task: Path
    policies: Source
    action: PolicyAction
    at: datetime | None
    username: str | None
    groups: tuple[str, ...]
    local: bool
    assumed: Assumed


def moment(written: str | None) -> datetime | None:
    """Return a time as it was given.

    Raises:
        BadParameter: it is none.
    """
    try:
        return None if written is None else TypeAdapter[datetime](Timestamp).validate_python(written)
    except ValidationError as error:
        said = "must be an RFC 3339 time such as 2026-05-31T14:00:00Z"
        raise typer.BadParameter(said, param_hint="--at") from error


def run(where: Where, asked: Simulation, output: Output) -> None:
    """Decide, and tell it; exit with 0 if it would be allowed, else with 1."""
    finish("policy simulate", _simulate(where, asked, output))


async def _simulate(where: Where, asked: Simulation, output: Output) -> int:
    written = manifests(asked.task)
    async with AsyncExitStack() as stack:
        here = None if asked.local else await stack.enter_async_context(session(where))
        namespace = where.namespace or (here.namespace if here is not None else "default")
        body = await _body(here, written, asked, namespace)
        namespace = body["metadata"]["namespace"]
        around = await _around(here, written, body, asked)
        policies = await asked.policies.policies(here, namespace, namespace)
    observation = observe(body, around, asked.at or Clock().now())
    if observation.task.spec is None:
        raise UnusableFileError(
            f"{asked.task}: AgentTask {body['metadata']['name']}: {observation.task.invalid}"
        )
    by = in_force(policies, around, namespace)
    verdict = ask(observation, asked.action, by, around)
    if output is Output.TEXT:
        show(verdict, by)
    else:
        typer.echo(told(_answer(verdict, by), output))
    return 0 if verdict.allowed else REFUSED


def show(verdict: Verdict, by: InForce) -> None:
    """Print a verdict for people."""
    said, style = _TITLES[verdict.outcome]
    task = verdict.observation.task
    rows: list[Row] = [*asked_for(task.spec, "would do")] if task.spec is not None else []
    rows.append(("at", f"{format_time(verdict.observation.now)}, action {verdict.action.value}"))
    paragraphs(f"{task.name} {said}", style, [*rows, *decided(verdict, explained(verdict, by))], printer())


def _answer(verdict: Verdict, by: InForce) -> dict[str, Any]:
    task = verdict.observation.task
    about = task_as_json(task.namespace, task.name, task.spec)
    return {"task": about, **as_json(verdict, explained(verdict, by))}


async def _body(
    here: Session | None, written: list[Manifest], asked: Simulation, namespace: str
) -> dict[str, Any]:
    """Return the task as the API server would have it."""
    tasks = [each for each in written if each.kind == "AgentTask"]
    if len(tasks) != 1:
        raise UnusableFileError(f"{asked.task} holds {len(tasks) or 'no'} AgentTasks; one can be simulated")
    task = tasks[0]
    spec = dict(mapping(task.body.get("spec")))
    if (requester := await _requester(here, spec, asked)) is not None:
        spec["requester"] = requester
    if "parentRef" in spec:
        # Whether they may name that parent is asked by admission, which is not asked here.
        spec["requester"] = {**mapping(spec.get("requester")), "mayDelegate": True}
    metadata = {
        "namespace": task.namespace or namespace,
        "name": task.name or f"{text(mapping(task.body.get('metadata')).get('generateName'))}simulated",
        "uid": text(mapping(task.body.get("metadata")).get("uid")) or _STANDS_FOR,
        "resourceVersion": "1",
        "generation": 1,
    }
    return {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": metadata, "spec": spec}


async def _requester(
    here: Session | None, spec: Mapping[str, Any], asked: Simulation
) -> Mapping[str, Any] | None:
    """Return who asks.

    Raises:
        NotSeenError: nobody says.
    """
    if asked.username is not None:
        return {"username": asked.username, "groups": [*(asked.groups or ("system:authenticated",))]}
    if spec.get("requester"):
        return None
    if here is None:
        raise NotSeenError("with --local nobody can tell who asks for the task; say it with --as")
    username, groups = await who_am_i(here)
    return {"username": username, "groups": [*groups]}


async def _around(
    here: Session | None, written: Iterable[Manifest], body: dict[str, Any], asked: Simulation
) -> Surroundings:
    """Return what the files say of the task's surroundings, and the cluster of the rest."""
    namespace = body["metadata"]["namespace"]
    agent_name = text(mapping(body["spec"].get("agentRef")).get("name"))
    agents = {
        (each.namespace or namespace, each.name): agent_facts(each.body)
        for each in written
        if each.kind == "Agent"
    }
    if here is not None:
        around = await look_around(here, [body], asked.assumed, agents)
    else:
        around = _nothing_known(asked.assumed)
        if parent_of(body) is not None:
            raise NotSeenError(
                f"{asked.task} names a parent, which is not seen with --local. Leave --local out"
            )
        if (namespace, agent_name) not in agents:
            raise NotThereError(
                f"{asked.task} does not hold Agent {agent_name}, and with --local no cluster is asked. "
                "Put it into the file, or leave --local out"
            )
    around.agents |= agents
    labelled = [each for each in written if each.kind == "Namespace" and each.name == namespace]
    for each in labelled:
        labels = mapping(mapping(each.body.get("metadata")).get("labels"))
        around.labels[namespace] = {key: text(value) for key, value in labels.items()}
        around.gaps = [gap for gap in around.gaps if NAMESPACE_LABELS not in gap.of]
    declared = {
        each.name: static_secrets.declared(each.body) for each in written if each.kind == static_secrets.KIND
    }
    around.static_secrets = {**around.static_secrets, **declared}
    pods = [
        pod_facts(each.body, labelled=True)
        for each in written
        if each.kind == "Pod" and pod_task(each.body) == body["metadata"]["name"]
    ]
    if pods:
        around.pods[namespace, body["metadata"]["name"]] = tuple(pods)
    return around


def _nothing_known(assumed: Assumed) -> Surroundings:
    around = Surroundings(
        cluster_labels=assumed.cluster_labels or {}, trust_domain=assumed.trust_domain or ""
    )
    around.gap([NAMESPACE_LABELS], "the labels of the namespace: none are assumed; put it into the file")
    if assumed.cluster_labels is None:
        around.gap([CLUSTER_LABELS], "the cluster's labels: none are assumed; say them with --cluster-label")
    if assumed.trust_domain is None:
        around.gap([TRUST_DOMAIN], "the trust domain: none is assumed; say it with --trust-domain")
    return around
