"""Makes the task of a Job whose pods ask for one by the label of a template.

The Job's pods carry the label of the task too, which admission has added, so the watch of labelled pods shows
them. The task is named like the Job, owned by it, and stays as long as it lives: a Job has one task, once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import structlog

from agentid.api.agenttask import TemplateReference
from agentid.api.agenttasktemplate import AgentTaskTemplateSpec
from agentid.api.names import API_VERSION, TEMPLATE_LABEL
from agentid.api.reasons import EventAction, EventReason
from agentid.cluster.errors import (
    AlreadyExistsError,
    ForbiddenError,
    InvalidError,
    NamespaceTerminatingError,
)
from agentid.cluster.events import Event, Events, Reference
from agentid.cluster.paths import TASKS, TEMPLATES, Resource
from agentid.cluster.reads import Reads
from agentid.cluster.tasks import Tasks
from agentid.controller.issuing import Hindrance
from agentid.controller.records import PodRecord, Record
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.lifecycle.model import Observation, WorkloadState
from agentid.lifecycle.pods import asks_for_a_template, is_of_its_template
from agentid.lifecycle.wording import clip
from agentid.watched.facts import Key, mapping, read, text, workload_facts

_log = structlog.get_logger("agentid.templates")

_LOOK_AGAIN: Final = timedelta(seconds=10)
"""How often a template that is not there, or a task that was refused, is tried again while a pod waits."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it: whether there is a task to look at now, and when to try again otherwise."""

    there: bool
    wake_at: datetime | None = None


_NOTHING: Final = Made(there=False)


class JobTasks:
    """Tasks made from templates; what keeps one from being made is told of the Job, by an Event."""

    def __init__(  # noqa: PLR0913 - what is read, made and told
        self,
        *,
        world: World,
        reads: Reads,
        tasks: Tasks,
        workloads: Workloads,
        events: Events,
        issuing: Hindrance,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._reads = reads
        self._tasks = tasks
        self._workloads = workloads
        self._events = events
        self._issuing = issuing
        self._clock = clock

    async def make(self, key: Key, record: Record) -> Made:
        """Make the task that pods under a name without one ask for, if they do and their Job lives.

        Raises:
            ApiAnswerError: something could not be read, or nobody knows whether the task was made.
            NotLeadingError: the lease is not held any more.
        """
        pod = _asking(key, record)
        # While it is not sure that admission stamps who asks, nothing is made that is believed later.
        if pod is None or pod.owner is None or self._issuing.blocked is not None:
            return _NOTHING
        resource = self._workloads.owner_resource(pod.owner.api_version, pod.owner.kind)
        if resource is None:
            return _NOTHING
        job = await self._reads.get(resource, *key)
        if job is None or text(mapping(job.get("metadata")).get("uid")) != pod.owner.uid or not _lives(job):
            return _NOTHING
        about = Reference(resource.kind, resource.api_version, *key, pod.owner.uid)
        return await self._from_template(key, record, pod, resource, about)

    def see(self, key: Key, record: Record, observation: Observation) -> None:
        """Tell the Job of pods that ask for a template where another task has the name of theirs."""
        pod = _asking(key, record)
        if pod is None or pod.owner is None or is_of_its_template(observation, pod.facts):
            return
        about = Reference(pod.owner.kind, pod.owner.api_version, *key, pod.owner.uid)
        note = (
            f"pod {pod.facts.name} asks by the label {TEMPLATE_LABEL} for a task that is made from "
            f"AgentTaskTemplate {pod.facts.template}, which AgentTask {key[0]}/{key[1]} was not. Delete that "
            "task, or give the Job another name."
        )
        self._tell(record, about, EventReason.TASK_NAME_TAKEN, note)

    async def _from_template(
        self, key: Key, record: Record, pod: PodRecord, resource: Resource, job: Reference
    ) -> Made:
        name = pod.facts.template or ""
        which = f"AgentTaskTemplate {key[0]}/{name}"
        later = Made(there=False, wake_at=self._clock() + _LOOK_AGAIN)
        body = await self._reads.get(TEMPLATES, key[0], name)
        if body is None or "deletionTimestamp" in mapping(body.get("metadata")):
            note = (
                f"pod {pod.facts.name} asks by the label {TEMPLATE_LABEL} for {which}, which does not exist. "
                "Create it; it is looked for while the pod waits."
            )
            self._tell(record, job, EventReason.TEMPLATE_NOT_FOUND, note)
            return later
        spec, invalid = read(AgentTaskTemplateSpec, body.get("spec"))
        if spec is None or spec.author is None:
            why = (
                f"this version of agentid cannot read it: {invalid}"
                if spec is None
                else "nobody knows who wrote it, as admission was not in force; delete it and create it anew"
            )
            self._tell(record, job, EventReason.TEMPLATE_REFUSED, f"{which} can't be used: {why}")
            return later
        uid = text(mapping(body.get("metadata")).get("uid"))
        reference = TemplateReference(name=name, uid=uid, author=spec.author)
        task = manifest(key, spec, reference, resource, job)
        try:
            created = await self._tasks.create(key[0], task)
        except AlreadyExistsError:
            found = await self._reads.get(TASKS, *key)
            if found is not None:
                self._world.take_task(found)
            return Made(there=record.task is not None, wake_at=later.wake_at)
        except NamespaceTerminatingError:
            return _NOTHING
        except (ForbiddenError, InvalidError) as error:
            note = f"no AgentTask could be made from {which} for this Job: {error}"
            self._tell(record, job, EventReason.TEMPLATE_REFUSED, note)
            return later
        self._world.take_task(created)
        _log.info("task made from template", namespace=key[0], task=key[1], template=name)
        note = f"AgentTask {key[1]} was made from AgentTaskTemplate {name}, written by {spec.author.username}"
        self._tell(record, job, EventReason.TASK_CREATED, note)
        return Made(there=True)

    def _tell(self, record: Record, job: Reference, reason: EventReason, note: str) -> None:
        """Send the Event, unless it is what was told last."""
        if record.told_to_job == note:
            return
        record.told_to_job = note
        is_made = reason is EventReason.TASK_CREATED
        self._events.send(
            Event(
                time=self._clock(),
                regarding=job,
                related=None,
                reason=reason,
                action=EventAction.CREATE,
                warning=not is_made,
                note=clip(note),
            )
        )


def manifest(
    key: Key, spec: AgentTaskTemplateSpec, template: TemplateReference, resource: Resource, job: Reference
) -> dict[str, Any]:
    """Return the AgentTask that is made from a template for a Job."""
    namespace, name = key
    asked: dict[str, Any] = orjson.loads(spec.template.spec.model_dump_json(by_alias=True, exclude_none=True))
    ref = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name}
    owner = {"apiVersion": job.api_version, "kind": job.kind, "name": name, "uid": job.uid}
    return {
        "apiVersion": API_VERSION,
        "kind": TASKS.kind,
        "metadata": {"namespace": namespace, "name": name, "ownerReferences": [owner]},
        "spec": {
            **asked,
            "workload": {**asked.get("workload", {}), "ref": ref},
            "templateRef": template.model_dump(mode="json", by_alias=True),
        },
    }


def _asking(key: Key, record: Record) -> PodRecord | None:
    """Return the oldest living pod of a Job of that name that asks for a template."""
    asking = [
        each
        for each in record.pods.values()
        if each.owner is not None
        and (each.owner.kind, each.owner.name) == ("Job", key[1])
        and each.owner.api_version.startswith("batch/")
        and asks_for_a_template(each.facts)
    ]
    return min(asking, key=lambda each: (each.facts.created, each.facts.name), default=None)


def _lives(job: dict[str, Any]) -> bool:
    leaving = "deletionTimestamp" in mapping(job.get("metadata"))
    return not leaving and workload_facts(job).state is WorkloadState.LIVE
