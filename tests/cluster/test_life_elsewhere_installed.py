"""A task's life under another installation: on an API server that can't stamp, and within tighter limits."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from devcluster.components import WITHOUT_MUTATING_POLICIES
from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.objects import ANY_POD, POD, TASK, agent, pod
from tests.cluster.objects import task as stamped_task
from tests.laying_out import make_agent

CAROL = "carol@example.com"
UNSTAMPED = {"AGENTID_MUTATING_ADMISSION": "false"}
TIGHT = {"maxTtlSeconds": 60, "maxActiveDeadlineSeconds": 600, "maxStartDeadlineSeconds": 300}
TIGHT_SETTINGS = {
    "AGENTID_MAX_TTL_SECONDS": "60",
    "AGENTID_MAX_ACTIVE_DEADLINE_SECONDS": "600",
    "AGENTID_MAX_START_DEADLINE_SECONDS": "300",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane without MutatingAdmissionPolicy, with the chart as it then is."""
    with ControlPlane.start(WITHOUT_MUTATING_POLICIES) as control_plane:
        install_chart(control_plane)
        wait_until_in_force(control_plane.kubectl)
        playing.make_node(control_plane.kubectl)
        yield control_plane


@pytest.fixture
def unstamped(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    """An operator that is not running yet, for an API server that can't stamp."""
    operator = OperatorProcess(cluster, "unstamped", UNSTAMPED)
    yield operator
    if operator.alive():
        operator.terminate()


@pytest.fixture
def carol(kubectl: Kubectl) -> Kubectl:
    """Somebody with every right in the test's namespace, in which there are an Agent and its account."""
    make_agent(kubectl)
    return kubectl.as_user(CAROL, ["system:masters"])


@pytest.fixture
def tightened(cluster: ControlPlane) -> Iterator[None]:
    """The chart with its own limits again, afterwards."""
    yield
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)


def task(name: str = TASK, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A task of carol's, which says so itself."""
    return stamped_task(name, requester={"username": CAROL}, **spec)


def mounting_pod() -> Object:
    """A labelled pod that brings the volume itself: nothing is injected."""
    volume = {"name": "credential", "secret": {"secretName": f"agentid-{TASK}"}}
    return pod(volumes=[volume])


def test_a_life_where_the_api_server_cannot_stamp(
    kubectl: Kubectl, carol: Kubectl, unstamped: OperatorProcess
) -> None:
    unstamped.start()

    carol.create([task(**ANY_POD), mounting_pod()])
    running = story.runs(kubectl)
    playing.finish(kubectl, POD)

    over = story.ends(kubectl, "Completed")
    story.secret_gone(kubectl)
    assert f"asked by {CAROL}" in story.told(kubectl, over, 2)[0].note
    assert running["spec"]["requester"] == {"username": CAROL, "intentGeneration": 1}
    assert unstamped.metric("agentid_admission_in_force") == 1


def test_an_operator_that_expects_stamps_issues_nothing_where_there_are_none(
    kubectl: Kubectl, carol: Kubectl, unstamped: OperatorProcess
) -> None:
    unstamped.start({"AGENTID_MUTATING_ADMISSION": "true"}, wait=False)
    carol.create(task())

    waiting = story.stands(kubectl, "IssuanceBlocked")

    assert "MutatingAdmissionPolicy" in story.conditions(waiting)["Finished"]["message"]
    assert not unstamped.ready()


def seconds(since: str, until: str) -> timedelta:
    return datetime.fromisoformat(until) - datetime.fromisoformat(since)


def life_of_credential(of: Object) -> timedelta:
    """How long the newest credential of a task may live after it was made."""
    newest = of["status"]["credentials"][-1]
    return seconds(newest["notBefore"], newest["notAfter"])


@pytest.mark.usefixtures("tightened")
def test_tighter_limits_of_the_chart_bound_what_was_made_before(
    cluster: ControlPlane, kubectl: Kubectl, carol: Kubectl, unstamped: OperatorProcess
) -> None:
    unstamped.start()
    long = {"credential": {"ttlSeconds": 3600}, "activeDeadlineSeconds": 3600}
    carol.create([task("running", **long), task("waiting", **long, agentRef={"name": "later"})])
    before = story.runs(kubectl, "running")
    story.stands(kubectl, "AwaitingAgent", "waiting")

    install_chart(cluster, {"limits": TIGHT})
    wait_until_in_force(cluster.kubectl)
    unstamped.restart(TIGHT_SETTINGS)
    kubectl.create(agent("later"))
    clamped = story.runs(kubectl, "waiting")
    assert unstamped.metric("agentid_admission_in_force") == 1
    for state in ("Suspended", "Active"):
        carol.patch("agenttask", "running", {"spec": {"state": state, "stateChangedBy": {"username": CAROL}}})
        story.stands(kubectl, "Running" if state == "Active" else "Suspended", "running")
    anew = story.runs(kubectl, "running")

    assert timedelta(seconds=3000) < life_of_credential(before)
    for each in (clamped, anew):
        assert life_of_credential(each) < timedelta(seconds=60 + 120), "the limit, and what clocks may differ"
    status = clamped["status"]
    assert seconds(status["startTime"], status["deadline"]) == timedelta(seconds=600)
    assert anew["status"]["deadline"] == before["status"]["deadline"], "a deadline that was told stays"


@pytest.mark.usefixtures("tightened")
def test_an_operator_with_other_limits_than_the_charts_issues_nothing(
    cluster: ControlPlane, kubectl: Kubectl, carol: Kubectl, unstamped: OperatorProcess
) -> None:
    install_chart(cluster, {"limits": TIGHT})
    wait_until_in_force(cluster.kubectl)
    unstamped.start(wait=False)
    carol.create(task(activeDeadlineSeconds=600, startDeadlineSeconds=300, credential={"ttlSeconds": 60}))

    story.stands(kubectl, "IssuanceBlocked")

    wait_until(
        "/readyz says which rule differs",
        unstamped.why_not_ready,
        lambda seen: "task-limits.agentid.dev is not as installed" in seen,
    )
