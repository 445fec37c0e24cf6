"""A Job whose pods ask for a template gets one task, made once, or is told why it gets none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AlreadyExistsError,
    ApiAnswerError,
    ForbiddenError,
    NamespaceTerminatingError,
    ServerError,
)
from agentid.cluster.events import Event, Events
from agentid.cluster.paths import TASKS, TEMPLATES, Resource
from agentid.cluster.reads import Reads
from agentid.cluster.tasks import Tasks
from agentid.controller.job_tasks import JobTasks, Made
from agentid.controller.records import Record
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.lifecycle.model import Blocked
from agentid.watched.facts import Key
from tests.unit.lifecycle_facts import observe

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY: Key = ("ns", "nightly-1")
_JOBS = Resource("batch/v1", "Job", "jobs")
_LATER = Made(there=False, wake_at=_NOW + timedelta(seconds=10))
_NOTHING = Made(there=False)
_TEMPLATE_UID = "5c0e0000-0000-4000-8000-0000000000bb"
_AUTHOR = {"username": "alice@example.com", "groups": ["support"]}
_ASKED = {
    "agentRef": {"name": "a"},
    "intent": {"purpose": "Settle refunds", "actions": ["orders:read"]},
    "workload": {"serviceAccountName": "a"},
}


def _template(**spec: object) -> Body:
    return {
        "metadata": {"name": "nightly", "namespace": "ns", "uid": _TEMPLATE_UID},
        "spec": {"template": {"spec": _ASKED}, "author": _AUTHOR, **spec},
    }


def _job(uid: str = "u-job", **parts: Any) -> Body:  # noqa: ANN401 - parts of a manifest
    return {"metadata": {"name": "nightly-1", "uid": uid, **parts.pop("metadata", {})}, **parts}


def _pod(
    *, template: str | None = "nightly", phase: str = "Pending", owner: dict[str, Any] | None = None
) -> dict[str, Any]:
    controls = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "nightly-1",
        "uid": "u-job",
        "controller": True,
    }
    labels = {"agentid.dev/task": "nightly-1"} | ({"agentid.dev/template": template} if template else {})
    metadata = {
        "name": "p",
        "namespace": "ns",
        "uid": "u-p",
        "resourceVersion": "1",
        "labels": labels,
        "ownerReferences": [controls | (owner or {})],
        "creationTimestamp": "2026-05-31T13:00:00Z",
    }
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase}}


class _Reads(Reads):
    def __init__(self) -> None:
        self.objects: dict[str, Body] = {_JOBS.plural: _job(), TEMPLATES.plural: _template()}

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        assert namespace == "ns"
        found = self.objects.get(resource.plural)
        return found if found is None or found["metadata"].get("name", name) == name else None


class _Tasks(Tasks):
    def __init__(self) -> None:
        self.made: list[Body] = []
        self.fails: ApiAnswerError | None = None

    async def create(self, namespace: str, task: Body) -> Body:
        assert namespace == "ns"
        if self.fails is not None:
            raise self.fails
        self.made.append(task)
        return task | {"metadata": task["metadata"] | {"uid": "u-t", "resourceVersion": "2"}}


class _Events(Events):
    def __init__(self) -> None:
        self.sent: list[Event] = []

    def send(self, event: Event) -> None:
        self.sent.append(event)


class _Workloads(Workloads):
    def __init__(self) -> None:
        self._kinds = {("batch/v1", "Job"): _JOBS}


class _Issuing:
    blocked: Blocked | None = None


class _Scene:
    def __init__(self) -> None:
        self.world = World(lambda _: None, lambda: _NOW)
        self.reads, self.tasks, self.events, self.issuing = _Reads(), _Tasks(), _Events(), _Issuing()
        self.workloads = _Workloads()
        self.job_tasks = JobTasks(
            world=self.world,
            reads=self.reads,
            tasks=self.tasks,
            workloads=self.workloads,
            events=self.events,
            issuing=self.issuing,
            clock=lambda: _NOW,
        )

    def pod(self, **parts: Any) -> None:  # noqa: ANN401 - parts of a pod
        self.world.take_pod(_pod(**parts))

    @property
    def record(self) -> Record:
        record = self.world.record(_KEY)
        assert record is not None
        return record

    async def makes(self) -> Made:
        return await self.job_tasks.make(_KEY, self.record)

    def told(self) -> list[tuple[str, str, str | None, bool]]:
        return [(e.reason, e.regarding.kind, e.regarding.uid, e.warning) for e in self.events.sent]


@pytest.fixture
def scene() -> _Scene:
    scene = _Scene()
    scene.pod()
    return scene


async def test_task_is_made_as_the_template_says_for_the_job_that_owns_it(scene: _Scene) -> None:
    assert await scene.makes() == Made(there=True)
    (made,) = scene.tasks.made
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-1", "uid": "u-job"}
    assert made["metadata"] == {"namespace": "ns", "name": "nightly-1", "ownerReferences": [owner]}
    spec = made["spec"]
    assert spec["templateRef"] == {"name": "nightly", "uid": _TEMPLATE_UID, "author": _AUTHOR}
    assert spec["workload"]["ref"] == {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-1"}
    assert spec["workload"]["serviceAccountName"] == "a"
    assert spec["intent"]["purpose"] == "Settle refunds"
    assert {"requester", "state", "author"}.isdisjoint(spec)
    assert scene.record.task is not None
    assert scene.told() == [("TaskCreated", "Job", "u-job", False)]


async def test_template_without_a_workload_has_the_jobs(scene: _Scene) -> None:
    asked = {name: part for name, part in _ASKED.items() if name != "workload"}
    scene.reads.objects["agenttasktemplates"] = _template(template={"spec": asked})
    await scene.makes()
    assert list(scene.tasks.made[0]["spec"]["workload"]) == ["ref"]


@pytest.mark.parametrize(
    "pod",
    [
        {"template": None},
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"owner": {"kind": "ReplicaSet", "apiVersion": "apps/v1"}},
        {"owner": {"apiVersion": "example.com/v1"}},
        {"owner": {"name": "nightly-2"}},
        {"owner": {"controller": False}},
    ],
    ids=str,
)
async def test_pod_that_is_over_or_of_no_such_job_gets_none(pod: dict[str, Any]) -> None:
    scene = _Scene()
    scene.pod(**pod)
    assert await scene.makes() == _NOTHING
    assert (scene.tasks.made, scene.told()) == ([], [])


@pytest.mark.parametrize(
    "job",
    [
        None,
        _job(uid="u-other"),
        _job(metadata={"deletionTimestamp": "2026-05-31T14:00:00Z"}),
        _job(status={"conditions": [{"type": "Complete", "status": "True"}]}),
        _job(status={"conditions": [{"type": "Failed", "status": "True"}]}),
    ],
    ids=["gone", "another of its name", "leaving", "complete", "failed"],
)
async def test_job_that_lives_no_more_gets_none(scene: _Scene, job: Body | None) -> None:
    if job is None:
        del scene.reads.objects["jobs"]
    else:
        scene.reads.objects["jobs"] = job
    assert await scene.makes() == _NOTHING
    assert (scene.tasks.made, scene.told()) == ([], [])


async def test_nothing_is_made_while_nothing_may_be_issued(scene: _Scene) -> None:
    scene.issuing.blocked = Blocked("admission is not in force")
    assert await scene.makes() == _NOTHING
    assert scene.tasks.made == []


async def test_template_that_is_not_there_is_told_once_and_looked_for_again(scene: _Scene) -> None:
    template = scene.reads.objects.pop("agenttasktemplates")
    for _ in range(3):
        assert await scene.makes() == _LATER
    assert scene.told() == [("TemplateNotFound", "Job", "u-job", True)]
    scene.reads.objects["agenttasktemplates"] = template
    assert (await scene.makes()).there


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"author": None}, "nobody knows who wrote it"),
        ({"template": {"spec": {}}}, "cannot read it"),
        ({"template": {"spec": _ASKED | {"breakGlass": {}}}}, "cannot read it"),
    ],
    ids=["no author", "unreadable", "says too much"],
)
async def test_template_that_cannot_be_used_makes_nothing(
    scene: _Scene, spec: dict[str, Any], said: str
) -> None:
    scene.reads.objects["agenttasktemplates"] = _template(**spec)
    assert await scene.makes() == _LATER
    assert scene.tasks.made == []
    assert scene.told() == [("TemplateRefused", "Job", "u-job", True)]
    assert said in scene.events.sent[0].note


async def test_task_that_is_refused_is_told_and_tried_again(scene: _Scene) -> None:
    scene.tasks.fails = ForbiddenError("exceeded quota")
    assert await scene.makes() == _LATER
    assert "exceeded quota" in scene.events.sent[0].note
    scene.tasks.fails = None
    assert (await scene.makes()).there
    assert [each[0] for each in scene.told()] == ["TemplateRefused", "TaskCreated"]


async def test_task_that_is_there_already_is_taken_in_and_none_is_made(scene: _Scene) -> None:
    scene.tasks.fails = AlreadyExistsError("there")
    metadata = {"name": "nightly-1", "namespace": "ns", "uid": "u-before", "resourceVersion": "7"}
    scene.reads.objects[TASKS.plural] = {"metadata": metadata, "spec": {}}
    assert (await scene.makes()).there
    assert scene.record.task is not None
    assert scene.record.task.uid == "u-before"


async def test_answer_that_was_lost_is_asked_for_again(scene: _Scene) -> None:
    scene.tasks.fails = ServerError("down")
    with pytest.raises(ServerError):
        await scene.makes()


async def test_namespace_that_is_leaving_gets_none(scene: _Scene) -> None:
    scene.tasks.fails = NamespaceTerminatingError("leaving")
    assert await scene.makes() == _NOTHING
    assert scene.told() == []


async def test_kind_that_is_not_served_gets_none(scene: _Scene) -> None:
    scene.workloads._kinds.clear()  # noqa: SLF001 - as an installation without Jobs
    assert await scene.makes() == _NOTHING


async def test_another_task_of_the_name_is_told_of_the_job_once(scene: _Scene) -> None:
    other = observe()
    for _ in range(2):
        scene.job_tasks.see(_KEY, scene.record, other)
    assert scene.told() == [("TaskNameTaken", "Job", "u-job", True)]


async def test_task_that_cannot_be_read_is_no_templates(scene: _Scene) -> None:
    unreadable = observe()
    scene.job_tasks.see(_KEY, scene.record, replace(unreadable, task=replace(unreadable.task, spec=None)))
    assert scene.told() == [("TaskNameTaken", "Job", "u-job", True)]
