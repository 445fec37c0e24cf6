"""Credential Secrets whose task is gone; only metadata is asked for, so that no contents travel."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentid.api.names import FIELD_MANAGER, SECRET_PREFIX, TASK_LABEL, TASK_UID_LABEL
from agentid.cluster.connection import Body
from agentid.cluster.paths import PODS, SECRETS, TASKS
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look

CHECK: Final = "leftover Secrets"
_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER}"
_LOOK_AGAIN_SECONDS: Final = 2.0
_LOOKS_AGAIN: Final = 5
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, order=True)
class Leftover:
    """A credential Secret that belongs to no task that there is."""

    namespace: str
    name: str
    uid: str
    has_pod: bool

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.namespace}/{self.name}"


async def look_for_leftovers(look: Look, namespaces: Sequence[str]) -> list[Finding]:
    """List Secrets, tasks and pods in `namespaces` (none: all); what goes by itself is not told."""
    found, total = await _leftovers(look, namespaces)
    for _ in range(_LOOKS_AGAIN):
        if all(each.has_pod for each in found):
            break
        # The Secret of a task, or of a namespace, that was deleted a moment ago is there for a moment longer.
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        again, total = await _leftovers(look, namespaces)
        found = [each for each in again if each in found]
    return judge_leftovers(found, total)


async def _leftovers(look: Look, namespaces: Sequence[str]) -> tuple[list[Leftover], int]:
    found: list[Leftover] = []
    total = 0
    for namespace in namespaces or (None,):
        # In this order: a task made meanwhile has no Secret in the list.
        secrets = [
            each
            for each in await look.list_metadata(SECRETS, namespace, _SELECTOR)
            if each["name"].startswith(SECRET_PREFIX)
        ]
        tasks = await look.list_metadata(TASKS, namespace, "")
        pods = await look.list_metadata(PODS, namespace, TASK_LABEL)
        found += leftovers(secrets, tasks, pods)
        total += len(secrets)
    return found, total


def leftovers(secrets: Sequence[Body], tasks: Sequence[Body], pods: Sequence[Body]) -> list[Leftover]:
    """Return the Secrets whose task is gone, or is another one of the same name."""
    alive = {(each["namespace"], each["name"]): each["uid"] for each in tasks}
    running = {each["uid"] for each in pods}
    return sorted(
        Leftover(each["namespace"], each["name"], each["uid"], has_pod=_owners(each) & running != set())
        for each in secrets
        if not _is_of(each, alive)
    )


def _is_of(secret: Body, alive: Mapping[tuple[str, str], str]) -> bool:
    task_uid = alive.get((secret["namespace"], secret["name"].removeprefix(SECRET_PREFIX)))
    label = (secret.get("labels") or {}).get(TASK_UID_LABEL)
    # One that was emptied when nobody knew any more whose it was has no such label.
    return task_uid is not None and label in {None, task_uid}


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
    if orphans := [each for each in found if not each.has_pod]:
        said = f"{len(orphans)} credential Secrets belong to no task that there is: {_listed(orphans)}."
        remedy = (
            "The garbage collector takes one whose owners are gone. For one that stays, a cluster "
            "administrator: "
            "kubectl delete secret NAME -n NAMESPACE --as "
            "system:serviceaccount:kube-system:generic-garbage-collector"
        )
        findings.append(problem(CHECK, said, remedy))
    return findings or [well(CHECK, f"Each of the {total} credential Secrets belongs to a task.")]


def _listed(found: Sequence[Leftover]) -> str:
    shown = ", ".join(str(each) for each in found[:_SHOWN])
    return shown + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
