"""What no watch ever showed is found by the comparison with a list that the operator makes now and then."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.intercepting import Interceptor
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, pod, task

SWEEPS_OFTEN = {"AGENTID_RESYNC_SECONDS": "5"}
SLOWLY = timedelta(seconds=60)
FOUND = "agentid_sweep_findings_total"


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The way to the API server of an operator that compares every five seconds."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        if operator_of_session.alive():
            operator_of_session.terminate()
        operator_of_session.start({**proxy.environment, **SWEEPS_OFTEN})
        yield proxy
        operator_of_session.terminate()


@pytest.fixture
def blinded(
    place: Kubectl, operator_of_session: OperatorProcess, interceptor: Interceptor
) -> Iterator[Callable[[], None]]:
    """Makes every watch of the operator bring nothing any more; afterwards they do again."""
    assert place.namespace
    assert operator_of_session.alive()
    interceptor.lost.clear()
    yield interceptor.silent.set
    interceptor.silent.clear()


def create_a_task(here: Kubectl) -> None:
    here.create(task("new"))


def delete_the_task(here: Kubectl) -> None:
    here.delete("agenttask", TASK)


def end_the_task(here: Kubectl) -> None:
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})


def finish_the_pod(here: Kubectl) -> None:
    playing.finish(here, POD)


def remove_the_pod(here: Kubectl) -> None:
    playing.remove(here, POD)


def switch_the_agent_off(here: Kubectl) -> None:
    here.patch("agent", AGENT, {"spec": {"disabled": True}})


def delete_the_agent(here: Kubectl) -> None:
    here.delete("agent", AGENT)


ENDS: dict[str, tuple[Callable[[Kubectl], None], str, str]] = {
    "task ended": (end_the_task, "Ended", "agenttasks"),
    "pod finished": (finish_the_pod, "Completed", "pods"),
    "pod gone": (remove_the_pod, "PodDeleted", "pods"),
    "agent switched off": (switch_the_agent_off, "Revoked", "agents"),
    "agent gone": (delete_the_agent, "Revoked", "agents"),
}


@pytest.mark.parametrize("what", ENDS)
def test_end_that_no_watch_showed_is_found(
    place: Kubectl, operator_of_session: OperatorProcess, blinded: Callable[[], None], what: str
) -> None:
    happen, reason, resource = ENDS[what]
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    before = operator_of_session.metric(FOUND, resource=resource)
    blinded()

    happen(place)

    story.ends(place, reason, within=SLOWLY)
    story.secret_gone_or_empty(place, within=SLOWLY)
    assert operator_of_session.metric(FOUND, resource=resource) > before


def test_task_that_no_watch_showed_is_issued(
    place: Kubectl,
    operator_of_session: OperatorProcess,
    blinded: Callable[[], None],
    interceptor: Interceptor,
) -> None:
    before = operator_of_session.metric(FOUND, resource="agenttasks")
    blinded()

    create_a_task(place)

    story.runs(place, "new", SLOWLY)
    assert operator_of_session.metric(FOUND, resource="agenttasks") > before
    wait_until("a watch brought it, in vain", lambda: any(b'"new"' in line for line in interceptor.lost))


def test_task_whose_deletion_no_watch_showed_leaves_no_secret(
    place: Kubectl, operator_of_session: OperatorProcess, blinded: Callable[[], None]
) -> None:
    place.create([task(**ANY_POD), pod()])
    running = story.runs(place)
    playing.start(place, POD)
    before = operator_of_session.metric(FOUND, resource="agenttasks")
    blinded()

    delete_the_task(place)

    story.secret_emptied(place, within=SLOWLY)
    assert operator_of_session.metric(FOUND, resource="agenttasks") > before
    assert "the AgentTask was deleted" in story.told(place, running, at_least=2)[-1].note
