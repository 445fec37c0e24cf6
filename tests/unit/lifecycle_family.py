"""Tasks and their children for tests: an ordinary running parent, and children within it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus, BoundPod, Condition
from agentid.api.reasons import ConditionType
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.lineage import ending, follow
from agentid.lifecycle.model import ChildFacts, Lineage, TaskFacts
from agentid.lifecycle.record import is_step
from tests.unit.lifecycle_facts import NOW, task_spec, uid


def condition(reason: str, status: str = "False") -> Condition:
    return Condition.model_validate(
        {
            "type": ConditionType.FINISHED,
            "status": status,
            "reason": reason,
            "message": "m",
            "observedGeneration": 1,
            "lastTransitionTime": NOW,
        }
    )


def running(number: int, spec: AgentTaskSpec, **status: object) -> TaskFacts:
    """The running task number `number`, bound to a pod of the same number plus 100."""
    standing: dict[str, object] = {
        "start_time": NOW,
        "spec_hash": spec_hash(spec),
        "deadline": NOW + timedelta(seconds=spec.active_deadline_seconds),
        "bound_pod": BoundPod(name=f"pod-{number}", uid=uid(number + 100), fingerprint="f"),
        "conditions": [condition("Running")],
        **status,
    }
    return TaskFacts(
        namespace="support",
        name=f"task-{number}",
        uid=uid(number),
        generation=1,
        resource_version="1",
        created=NOW + timedelta(seconds=number),
        deleting=False,
        spec=spec,
        status=AgentTaskStatus().model_copy(update=standing),
    )


def parent(**changes: object) -> TaskFacts:
    """Task 1, which has and may grant something, is limited to two orders, and is done for Carol."""
    spec: dict[str, object] = {
        "intent": {
            "purpose": "Triage",
            "actions": ["orders:read", "mail:send"],
            "grantable": ["refunds:create"],
            "resources": ["order/4711", "order/4712"],
            "sensitivity": "Confidential",
        },
        **changes,
    }
    return running(1, task_spec(**spec))


def reference(task: TaskFacts) -> dict[str, str]:
    return {"name": task.name, "uid": task.uid}


INTENT = {"purpose": "Refund", "actions": ["refunds:create"], "resources": ["order/4711"]}
STEP = {
    "credential": {"mode": "None", "renew": False, "ttlSeconds": 60},
    "workload": None,
    "intent": INTENT,
}


def asked_by(pod_number: int | None = 101, *, may: bool = False, generation: int = 1) -> dict[str, object]:
    """A requester as admission stamps it on a child."""
    pod_uid = {} if pod_number is None else {"podUID": uid(pod_number)}
    return {
        "username": "system:serviceaccount:support:refund-agent",
        **pod_uid,
        "mayDelegate": may,
        "intentGeneration": generation,
    }


def child(of: TaskFacts, number: int = 2, **changes: object) -> TaskFacts:
    """A child of the task `of` that is within it and was asked for by its pod."""
    spec: dict[str, object] = {
        "parentRef": reference(of),
        "intent": INTENT,
        "requester": asked_by(int(of.uid[-12:], 16) + 100),
        "onBehalfOf": None,
        **changes,
    }
    return running(number, task_spec(**spec))


def changed(task: TaskFacts, **changes: object) -> TaskFacts:
    """The same task with other fields."""
    return replace(task, **changes)  # type: ignore[arg-type]


def with_status(task: TaskFacts, **changes: object) -> TaskFacts:
    """The same task with other fields of its status."""
    return replace(task, status=task.status.model_copy(update=changes))


def with_spec(task: TaskFacts, **changes: object) -> TaskFacts:
    """The same task with other fields of its spec."""
    assert task.spec is not None
    spec = task.spec.model_dump(mode="json", by_alias=True) | changes
    return replace(task, spec=task_spec(**spec))


def lineage(task: TaskFacts, *others: TaskFacts) -> Lineage:
    """What is found above `task` among these tasks."""
    return follow(task, {each.name: each for each in others}.get)


def granted(step: TaskFacts) -> TaskFacts:
    """The same step after it was granted, as its intent is."""
    assert step.spec is not None
    held = condition("Issued", "True").model_copy(update={"type": ConditionType.GRANTED})
    return with_status(step, spec_hash=spec_hash(step.spec), conditions=[condition("Running"), held])


def as_child(task: TaskFacts) -> ChildFacts:
    """What a task is to its parent."""
    return ChildFacts(
        uid=task.uid,
        is_step=is_step(task),
        is_over=ending(task, NOW) is not None,
        has_begun=task.status.start_time is not None,
        is_refused=task.status.observed_generation is not None and task.status.delegation is None,
        created=task.created,
    )
