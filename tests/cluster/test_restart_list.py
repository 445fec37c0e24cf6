"""All there is is listed before the watches begin: what comes between is seen, a failed list made up for."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.intercepting import Answer, Interceptor, Trap
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, pod, task

TASKS = "/apis/agentid.dev/v1alpha1/agenttasks"
AGENTS = "/apis/agentid.dev/v1alpha1/agents"
PODS = "/api/v1/pods"
DOWN = Answer(503, "ServiceUnavailable", "the storage is busy")


@pytest.fixture
def interceptor(cluster: ControlPlane, operator: OperatorProcess) -> Iterator[Interceptor]:
    """The way to the API server of the operator's second life."""
    proxy = Interceptor(cluster, operator.kubeconfig)
    with proxy.running():
        yield proxy
        operator.terminate()


def second() -> Callable[[Mapping[str, Any]], bool]:
    """Is it the second request of its kind: the list that a watch begins with?"""
    count = itertools.count()
    return lambda _: next(count) > 0


def delete_the_task(here: Kubectl) -> None:
    here("delete", "agenttask", TASK)


def end_the_task(here: Kubectl) -> None:
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})


def finish_the_pod(here: Kubectl) -> None:
    playing.finish(here, POD)


def remove_the_pod(here: Kubectl) -> None:
    playing.remove(here, POD)


def delete_the_agent(here: Kubectl) -> None:
    here.delete("agent", AGENT)


BETWEEN: dict[str, tuple[str, Callable[[Kubectl], None]]] = {
    "task deleted": (TASKS, delete_the_task),
    "task ended": (TASKS, end_the_task),
    "pod finished": (PODS, finish_the_pod),
    "pod gone": (PODS, remove_the_pod),
    "agent gone": (AGENTS, delete_the_agent),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_what_ends_a_task_between_the_list_and_the_watches_is_seen(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor, between: str
) -> None:
    path, happen = BETWEEN[between]
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    operator.terminate()
    let_go = threading.Event()
    held = Trap("GET", path, answered=False, let_go=let_go, is_it=second())
    interceptor.set(held)

    operator.start(interceptor.environment)
    held.wait()
    happen(place)
    let_go.set()

    story.secret_gone_or_empty(place)


def test_a_list_that_fails_at_the_start_is_made_up_for_by_the_watches(
    place: Kubectl, operator: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    operator.terminate()
    place.create(task("new"))
    interceptor.set(Trap("GET", TASKS, answered=False, answer=DOWN))

    operator.start(interceptor.environment)
    playing.finish(place, POD)

    story.runs(place, "new")
    story.ends(place, "Completed")
    assert "not listed at once" in operator.process.log.read_text()
