"""The world keeps what is newest, knows what is gone, and makes no work of our own writes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agentid.controller.census import Scope
from agentid.controller.packed_task import Standing, WorkloadKey
from agentid.controller.second_opinion import Opinion
from agentid.controller.world import World
from agentid.watched.facts import Key

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY: Key = ("ns", "t")


class _Told(list[Key]):
    """Which names were told, and none any more once asked."""

    def taken(self) -> list[Key]:
        told = list(self)
        self.clear()
        return told


@pytest.fixture
def told() -> _Told:
    return _Told()


@pytest.fixture
def world(told: _Told) -> World:
    return World(told.append, lambda: _NOW)


def _task(version: int, uid: str = "u-1", **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "t", "namespace": "ns", "uid": uid, "resourceVersion": str(version)},
        "spec": {"agentRef": {"name": "a"}, **spec},
    }


def _pod(version: int, task: str | None = "t", uid: str = "p-1", phase: str = "Running") -> dict[str, Any]:
    labels = {"agentid.dev/task": task} if task else {}
    metadata = {"name": "p", "namespace": "ns", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": phase}}


def _agent(version: int, owner: str = "o") -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "ns", "uid": "a-1", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"owner": owner, "class": "Ephemeral", "actions": []}}


def test_an_older_state_of_a_task_is_ignored(world: World, told: _Told) -> None:
    world.take_task(_task(9))
    assert told.taken() == [_KEY]
    world.take_task(_task(8))
    world.take_task(_task(9))
    assert told.taken() == []


def test_our_own_write_makes_no_work_whichever_way_it_comes_back(world: World, told: _Told) -> None:
    world.take_task(_task(1))
    record = world.record(_KEY)
    assert record is not None
    told.clear()
    for version, watch_first in ((2, True), (3, False)):
        world.begin_own_write(record)
        if watch_first:
            world.take_task(_task(version))
        world.end_own_write(record, _task(version))
        world.take_task(_task(version))
        assert told.taken() == []
        assert record.task is not None
        assert record.task.version == version


def test_what_others_wrote_during_our_write_is_not_missed(world: World, told: _Told) -> None:
    world.take_task(_task(1))
    record = world.record(_KEY)
    assert record is not None
    told.clear()
    world.begin_own_write(record)
    world.take_task(_task(3))
    world.end_own_write(record, _task(2))
    assert told.taken() == [_KEY]
    world.begin_own_write(record)
    world.take_task(_task(4))
    world.end_own_write(record, None)
    assert told.taken() == [_KEY]
    assert record.task is not None
    assert record.task.version == 4


def test_a_task_that_is_gone_is_remembered_until_its_secret_is_gone(world: World) -> None:
    world.take_task(_task(1))
    world.drop_task(_KEY, "another")
    record = world.record(_KEY)
    assert record is not None
    assert record.task is not None
    world.drop_task(_KEY, "u-1")
    assert record.task is None
    left = record.departed["u-1"]
    assert left.since == _NOW
    assert left.task is not None
    assert left.task.version == 1
    world.forget_if_empty(_KEY)
    assert world.record(_KEY) is record
    record.departed.clear()
    world.forget_if_empty(_KEY)
    assert world.record(_KEY) is None


def test_a_late_event_does_not_bring_a_gone_task_back(world: World) -> None:
    world.take_task(_task(1))
    world.drop_task(_KEY, "u-1")
    world.take_task(_task(2))
    record = world.record(_KEY)
    assert record is not None
    assert record.task is None


def test_a_reused_name_is_another_task_and_the_first_one_has_departed(world: World) -> None:
    world.take_task(_task(1))
    world.take_task(_task(5, uid="u-2"))
    record = world.record(_KEY)
    assert record is not None
    assert record.task is not None
    assert record.task.uid == "u-2"
    assert list(record.departed) == ["u-1"]


def test_a_task_that_goes_during_our_write_stays_gone(world: World) -> None:
    world.take_task(_task(1))
    record = world.record(_KEY)
    assert record is not None
    world.begin_own_write(record)
    world.drop_task(_KEY, "u-1")
    world.end_own_write(record, _task(2))
    assert record.task is None
    assert list(record.departed) == ["u-1"]
    left = record.departed["u-1"].task
    assert left is not None
    assert left.version == 2


def test_of_a_task_that_went_under_another_operator_there_is_nothing_left_to_tell(world: World) -> None:
    world.take_task(_task(1))
    world.drop_task(_KEY, "u-1")
    world.begin_anew()
    record = world.record(_KEY)
    assert record is not None
    assert record.departed["u-1"].task is None


def test_what_opa_said_before_another_operator_was_at_work_does_not_count(world: World) -> None:
    world.take_task(_task(1))
    record = world.record(_KEY)
    assert record is not None
    record.opinion = Opinion(b"asked", allowed=True)
    world.begin_anew()
    assert record.opinion is None


def test_a_pod_is_told_to_its_task_only_when_something_counts(world: World, told: _Told) -> None:
    world.take_pod(_pod(1))
    assert told.taken() == [_KEY]
    world.take_pod(_pod(2))
    assert told.taken() == []
    world.take_pod(_pod(3, phase="Failed"))
    assert told.taken() == [_KEY]
    world.drop_pod("p-1")
    assert told.taken() == [_KEY]
    world.forget_if_empty(_KEY)
    assert world.record(_KEY) is None


def _running(version: int, app: str, **spec: object) -> dict[str, Any]:
    pod = _pod(version)
    pod["spec"] |= {"containers": [{"name": "app", "image": "app"}], **spec}
    pod["status"] |= {
        "initContainerStatuses": [{"name": "init", "imageID": "init@sha256:1"}],
        "containerStatuses": [{"name": "app", "imageID": app}],
    }
    return pod


def test_a_container_that_starts_again_still_runs_what_it_ran(world: World, told: _Told) -> None:
    def seen() -> tuple[tuple[str, ...], bool]:
        record = world.record(_KEY)
        assert record is not None
        return record.pods["p-1"].facts.running_images, record.pods["p-1"].facts.all_run

    world.take_pod(_running(1, app=""))
    assert seen() == (("init@sha256:1",), False)
    world.take_pod(_running(2, app="app@sha256:1"))
    assert seen() == (("app@sha256:1", "init@sha256:1"), True)
    told.clear()
    world.take_pod(_running(3, app=""))
    assert seen() == (("app@sha256:1", "init@sha256:1"), True)
    assert told == []
    world.take_pod(_running(4, app="app@sha256:2"))
    assert seen() == (("app@sha256:2", "init@sha256:1"), True)
    # Another image in its spec is another pod.
    world.take_pod(_running(5, app="", containers=[{"name": "app", "image": "other"}]))
    assert seen() == (("init@sha256:1",), False)


def test_a_pod_without_its_label_stays_with_its_task(world: World) -> None:
    world.take_pod(_pod(1))
    world.take_pod(_pod(2, task=None), fallback=_KEY)
    record = world.record(_KEY)
    assert record is not None
    assert [pod.facts.labelled for pod in record.pods.values()] == [False]


def test_a_pod_whose_label_changed_leaves_one_task_for_the_other(world: World, told: _Told) -> None:
    world.take_pod(_pod(1))
    told.clear()
    world.take_pod(_pod(2, task="other"))
    assert sorted(told.taken()) == [("ns", "other"), _KEY]
    record = world.record(_KEY)
    assert record is not None
    assert not record.pods


def test_an_agents_change_is_told_to_all_its_tasks(world: World, told: _Told) -> None:
    world.take_task(_task(1))
    told.clear()
    world.agents.take(_agent(1))
    assert told.taken() == [_KEY]
    world.agents.take(_agent(2))
    assert told.taken() == []
    world.agents.take(_agent(3, owner="somebody else"))
    assert told.taken() == [_KEY]
    world.agents.drop(("ns", "a"), "another")
    assert told.taken() == []
    world.agents.drop(("ns", "a"), "a-1")
    assert told.taken() == [_KEY]
    assert world.agents.of(("ns", "a")) is None


def test_a_workloads_change_is_told_to_the_tasks_that_refer_to_it(world: World, told: _Told) -> None:
    ref = {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}
    world.take_task(_task(1, workload={"ref": ref}))
    job = WorkloadKey("batch/v1", "Job", "ns", "j")
    assert world.workloads() == {job}
    told.clear()
    world.workload_changed(job)
    assert told.taken() == [_KEY]
    world.drop_task(_KEY, "u-1")
    assert world.workloads() == set()


def test_workload_of_a_finished_task_is_of_no_interest_any_more(world: World) -> None:
    body = _task(1, workload={"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}})
    world.take_task(body)
    assert world.workloads()
    body["metadata"]["resourceVersion"] = "2"
    body["status"] = {"conditions": [{"type": "Finished", "status": "True"}]}
    world.take_task(body)
    assert world.workloads() == set()
    record = world.record(_KEY)
    assert record is not None
    assert record.task is not None
    assert record.task.workload is None, "nothing asks for it again"


def test_what_is_known_of_a_static_secret_is_told_to_the_live_tasks_that_ask_for_it(
    world: World, told: _Told
) -> None:
    body = _task(1, staticSecrets=[{"name": "legacy-crm-key"}, {"name": "../x"}, {}, "y"])
    world.take_task(body)
    assert world.static_secrets() == {"legacy-crm-key"}
    told.clear()
    world.static_secret_changed("legacy-crm-key")
    world.static_secret_changed("another")
    assert told.taken() == [_KEY]
    body["metadata"]["resourceVersion"] = "2"
    body["status"] = {"conditions": [{"type": "Finished", "status": "True"}]}
    world.take_task(body)
    assert world.static_secrets() == set()


def test_what_is_left_of_a_task_that_is_gone_tells_the_keys_of_its_secret(world: World) -> None:
    world.take_task(_task(1, staticSecrets=[{"name": "legacy-crm-key"}]))
    world.drop_task(_KEY, "u-1")
    world.begin_anew()
    record = world.record(_KEY)
    assert record is not None
    assert record.departed["u-1"].static_secrets == ("legacy-crm-key",)
    assert world.static_secrets() == set()


def test_workload_of_a_templates_task_is_of_interest_as_long_as_the_task_is_there(world: World) -> None:
    ref = {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}
    body = _task(1, workload={"ref": ref}, templateRef={"name": "nightly"})
    body["status"] = {"conditions": [{"type": "Finished", "status": "True"}]}
    world.take_task(body)
    assert world.workloads() == {WorkloadKey("batch/v1", "Job", "ns", "j")}


def test_census_counts_each_task_once_as_it_stands_now(world: World) -> None:
    started = {"startTime": "2026-05-31T14:00:00Z"}
    over = started | {"conditions": [{"type": "Finished", "status": "True"}]}
    agent_of_tasks = Scope("ns", "a")

    def counted() -> list[int]:
        return [world.census.count(agent_of_tasks, each) for each in Standing]

    for version, status, counts in (
        (1, {}, [1, 0, 0, 0]),
        (2, started | {"credentials": [{}]}, [0, 1, 0, 0]),
        (3, started, [0, 0, 1, 0]),
        (4, over, [0, 0, 0, 1]),
    ):
        world.take_task(_task(version) | {"status": status})
        assert counted() == counts
        assert [world.census.count(Scope("ns"), each) for each in Standing] == counts
    world.take_task(_task(5, agentRef={"name": "b"}))
    assert counted() == [0, 0, 0, 0]
    assert world.census.count(Scope("ns", "b"), Standing.WAITING) == 1
    world.take_task(_task(6, uid="u-2", agentRef={"name": "b"}))
    assert world.census.count(Scope("ns"), *Standing) == 1, "the one of the same name is gone"
    world.drop_task(_KEY, "u-2")
    world.drop_task(_KEY, "u-2")
    assert world.census.count(Scope("ns"), *Standing) == 0


def test_after_a_takeover_a_living_pod_without_its_task_is_looked_after(world: World) -> None:
    world.take_pod(_pod(1))
    world.take_pod(_pod(1, task="over", uid="p-2", phase="Succeeded"))
    world.begin_anew()
    living, over = world.record(_KEY), world.record(("ns", "over"))
    assert living is not None
    assert over is not None
    assert list(living.departed) == [""]
    assert not over.departed


@pytest.mark.parametrize(
    ("created", "issued", "departed"),
    [("14:00:01", 0, [""]), ("14:00:00", 0, [""]), ("13:59:59", 0, []), ("14:00:01", 1, [])],
)
def test_after_a_takeover_a_pod_older_than_its_task_may_hold_a_predecessors_key(
    world: World, created: str, issued: int, departed: list[str]
) -> None:
    pod, task = _pod(1), _task(2)
    pod["metadata"]["creationTimestamp"] = "2026-05-31T14:00:00Z"
    task["metadata"]["creationTimestamp"] = f"2026-05-31T{created}Z"
    task["status"] = {"credentialGeneration": issued}
    world.take_pod(pod)
    world.take_task(task)
    world.begin_anew()
    record = world.record(_KEY)
    assert record is not None
    assert list(record.departed) == departed


def test_a_standby_keeps_nothing_of_tasks_that_are_gone(world: World) -> None:
    world.take_task(_task(1))
    world.drop_task(_KEY, "u-1")
    assert world.record(_KEY) is not None
    world.forget_departed(_KEY)
    assert world.record(_KEY) is None
