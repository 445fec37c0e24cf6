"""All there is is listed once the watches have begun; what one missed that begins anew, a sweep finds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.intercepting import Answer, Interceptor, Trap
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, agent, pod, task
from tests.cluster.unguarded import once_let

LIST = "limit=50(&labelSelector=agentid.dev/task)?"
"""The operator's own lists; those that its watches begin with ask for nothing."""
TASKS = "/apis/agentid.dev/v1alpha1/agenttasks"
AGENTS = "/apis/agentid.dev/v1alpha1/agents"
PODS = "/api/v1/pods"
SLOWLY = timedelta(seconds=40)
SOON = timedelta(seconds=10)
"""Sooner than a request is given up."""
DOWN = Answer(503, "ServiceUnavailable", "the storage is busy")


@pytest.fixture
def interceptor(cluster: ControlPlane, operator: OperatorProcess) -> Iterator[Interceptor]:
    """The way to the API server of the operator's second life."""
    proxy = Interceptor(cluster, operator.kubeconfig)
    with proxy.running():
        yield proxy
        operator.terminate()


@contextmanager
def listing(
    operator: OperatorProcess, interceptor: Interceptor, path: str, query: str = LIST
) -> Iterator[None]:
    """Start the operator; within the block it waits for the answer to that list of its own."""
    let_go = threading.Event()
    held = Trap("GET", path, answered=False, let_go=let_go, query=query)
    interceptor.set(held)
    operator.start(interceptor.environment, wait=False)
    held.wait()
    try:
        yield
    finally:
        let_go.set()


def delete_the_task(here: Kubectl) -> None:
    here("delete", "agenttask", TASK)


def end_the_task(here: Kubectl) -> None:
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})


def delete_the_agent(here: Kubectl) -> None:
    here.delete("agent", AGENT)


def finish_the_pod(here: Kubectl) -> None:
    playing.finish(here, POD)


def remove_the_pod(here: Kubectl) -> None:
    playing.remove(here, POD)


MEANWHILE: dict[str, tuple[str, Callable[[Kubectl], None]]] = {
    "task deleted, tasks listed": (AGENTS, delete_the_task),
    "task ended, tasks listed": (AGENTS, end_the_task),
    "task deleted, tasks not listed": (TASKS, delete_the_task),
    "agent gone, agents listed": (PODS, delete_the_agent),
    "pod finished, pods not listed": (PODS, finish_the_pod),
    "pod gone, pods not listed": (PODS, remove_the_pod),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_what_ends_a_task_while_everything_is_listed_is_seen(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor, meanwhile: str
) -> None:
    held_list, happen = MEANWHILE[meanwhile]
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    operator.terminate()

    with listing(operator, interceptor, held_list):
        happen(place)

    story.secret_gone_or_empty(place)


def test_what_is_deleted_between_the_pages_of_a_list_is_found(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor
) -> None:
    last = "zz-agent"
    place.create([agent(f"agent-{number}") for number in range(60)])
    place.create([agent(last), task(agentRef={"name": last})])
    story.runs(place)
    operator.terminate()

    with listing(operator, interceptor, AGENTS, "limit=50&continue=.*"):
        place.delete("agent", last)

    story.ends(place, "Revoked")


def test_what_a_watch_missed_that_begins_anew_is_found_at_once(
    place: Kubectl, cluster: ControlPlane, operator: OperatorProcess, interceptor: Interceptor
) -> None:
    operator.restart(interceptor.environment)
    place.create([task(**ANY_POD), pod(), task("deleted"), task("ended"), task("two", **ANY_POD)])
    place.create(pod("two", of="two"))
    for name in (TASK, "deleted", "ended", "two"):
        story.runs(place, name)

    interceptor.silent.set()
    remove_the_pod(place)
    place("delete", "agenttask", "deleted")
    place.patch("agenttask", "ended", {"spec": {"state": "Ended"}})
    place.create([pod("second", of="two"), task("new")])
    # It remembers nothing from before its start: who wants to go on from there is told 410, too old.
    cluster.restart_apiserver()
    once_let(partial(place.create, task("served"), "--dry-run=server"))
    interceptor.silent.clear()

    story.ends(place, "PodDeleted", within=SLOWLY)
    story.ends(place, "Ended", "ended", SLOWLY)
    story.ends(place, "SecondPod", "two", SLOWLY)
    story.runs(place, "new", SLOWLY)
    for name in (TASK, "deleted", "ended", "two"):
        story.secret_gone_or_empty(place, name, SLOWLY)
    assert operator.alive()


def test_an_operator_that_is_stopped_while_it_lists_ends_at_once_and_has_written_nothing(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create([task(**ANY_POD), pod()])
    before = story.runs(place)
    operator.terminate()

    with listing(operator, interceptor, TASKS):
        assert operator.terminate(SOON) == 0
    assert place.get("agenttask", TASK)["status"] == before["status"]

    operator.start()
    story.runs(place)


def test_a_list_that_fails_at_the_start_is_tried_again(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    operator.terminate()
    place.create(task("new"))
    failed = Trap("GET", TASKS, answered=False, answer=DOWN, query=LIST)
    interceptor.set(failed)

    operator.start(interceptor.environment)

    failed.wait()
    story.runs(place, "new")
    playing.finish(place, POD)
    story.ends(place, "Completed")
