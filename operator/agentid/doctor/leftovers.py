"""Credential Secrets whose task is gone or long over; of Secrets only metadata travels, no contents."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agentid.api.names import FIELD_MANAGER, SECRET_PREFIX, TASK_LABEL, TASK_UID_LABEL
from agentid.cluster.connection import Body
from agentid.cluster.paths import PODS, SECRETS, TASKS
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look
from agentid.watched.facts import moment

CHECK: Final = "leftover Secrets"
_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER}"
_LOOK_AGAIN_SECONDS: Final = 2.0
_LOOKS_AGAIN: Final = 5
_SHOWN: Final = 10
LONGEST_STAY: Final = timedelta(minutes=65)
"""How long the Secret of a task that is over may stay: the longest grace that can be set, and some tries."""
_BY_HAND: Final = (
    "a cluster administrator: kubectl delete secret NAME -n NAMESPACE --as "
    "system:serviceaccount:kube-system:generic-garbage-collector"
)

Name = tuple[str, str]
"""Namespace and name of a task."""


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task that there is; `ended_at` None: it is not over."""

    uid: str
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, order=True)
class Leftover:
    """A credential Secret that belongs to no task that there is, or to one that is long over.

    `has_pod`: no such task, but a pod that has it mounted.
    """

    namespace: str
    name: str
    uid: str
    has_pod: bool = False
    has_task: bool = False

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.namespace}/{self.name}"


async def look_for_leftovers(look: Look, namespaces: Sequence[str], now: datetime) -> list[Finding]:
    """List Secrets, tasks and pods in `namespaces` (none: all); what goes by itself is not told."""
    found, total = await _leftovers(look, namespaces, now)
    for _ in range(_LOOKS_AGAIN):
        if all(each.has_pod for each in found):
            break
        # The Secret of a task, or of a namespace, that was deleted a moment ago is there for a moment longer.
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        again, total = await _leftovers(look, namespaces, now)
        found = [each for each in again if each in found]
    return judge_leftovers(found, total)


async def _leftovers(look: Look, namespaces: Sequence[str], now: datetime) -> tuple[list[Leftover], int]:
    found: list[Leftover] = []
    total = 0
    for namespace in namespaces or (None,):
        # In this order: a task made meanwhile has no Secret in the list.
        secrets = [
            each
            for each in await look.list_metadata(SECRETS, namespace, _SELECTOR)
            if each["name"].startswith(SECRET_PREFIX)
        ]
        tasks = dict([_seen(each) async for each in look.objects(TASKS, namespace)])
        pods = await look.list_metadata(PODS, namespace, TASK_LABEL)
        found += leftovers(secrets, tasks, pods, now)
        total += len(secrets)
    return found, total


def _seen(task: Body) -> tuple[Name, TaskSeen]:
    metadata = task["metadata"]
    ended_at = moment((task.get("status") or {}).get("endTime"))
    return (metadata["namespace"], metadata["name"]), TaskSeen(metadata["uid"], ended_at)


def leftovers(
    secrets: Sequence[Body], tasks: Mapping[Name, TaskSeen], pods: Sequence[Body], now: datetime
) -> list[Leftover]:
    """Return the Secrets whose task is gone, is another one of the same name, or ended too long ago.

    Metadata does not tell whether a Secret is empty; but none outlives its task's end for so long.
    """
    running = {each["uid"] for each in pods}
    found = []
    for secret in secrets:
        task = _task_of(secret, tasks)
        if task is None:
            has_pod = not _owners(secret).isdisjoint(running)
            found.append(Leftover(secret["namespace"], secret["name"], secret["uid"], has_pod=has_pod))
        elif task.ended_at is not None and now - task.ended_at > LONGEST_STAY:
            found.append(Leftover(secret["namespace"], secret["name"], secret["uid"], has_task=True))
    return sorted(found)


def _task_of(secret: Body, tasks: Mapping[Name, TaskSeen]) -> TaskSeen | None:
    task = tasks.get((secret["namespace"], secret["name"].removeprefix(SECRET_PREFIX)))
    label = (secret.get("labels") or {}).get(TASK_UID_LABEL)
    # One that was emptied when nobody knew any more whose it was has no such label.
    return task if task is not None and label in {None, task.uid} else None


def _owners(secret: Body) -> set[str]:
    return {each["uid"] for each in secret.get("ownerReferences") or []}


def judge_leftovers(found: Sequence[Leftover], total: int) -> list[Finding]:
    """Say which Secrets stay behind: beside a living pod for a while, otherwise for no good reason."""
    findings = []
    if waiting := [each for each in found if each.has_pod]:
        said = (
            f"{len(waiting)} Secrets of tasks that are gone stay, emptied, while their pods live: "
            f"{_listed(waiting)}."
        )
        remedy = (
            "Routine for two minutes after an end; if they stay longer, look for CleanupDelayed in "
            "the operator's log."
        )
        findings.append(warning(CHECK, said, remedy))
    if orphans := [each for each in found if not each.has_pod and not each.has_task]:
        said = f"{len(orphans)} credential Secrets belong to no task that there is: {_listed(orphans)}."
        remedy = f"The garbage collector takes one whose owners are gone. For one that stays, {_BY_HAND}"
        findings.append(problem(CHECK, said, remedy))
    if overdue := [each for each in found if each.has_task]:
        said = (
            f"{len(overdue)} credential Secrets are still there more than an hour after their tasks ended, "
            f"maybe with a key in them: {_listed(overdue)}."
        )
        remedy = (
            "See that an operator leads, and what CleanupDelayed of the task says stands in its way. For one "
            "that stays without that, end the task's pods, which keep what they have mounted; then "
            f"{_BY_HAND}"
        )
        findings.append(problem(CHECK, said, remedy))
    return findings or [
        well(CHECK, f"Each of the {total} credential Secrets belongs to a task that is not long over.")
    ]


def _listed(found: Sequence[Leftover]) -> str:
    shown = ", ".join(str(each) for each in found[:_SHOWN])
    return shown + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
