"""SIGTERM: what was begun is finished, the lease given up, and the successor has nothing to make sure of."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from agentid.api.names import OPERATOR_LEASE
from agentid.cluster.lease import SETTLED_ANNOTATION
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import leases, playing, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.cluster.operator_writes import Write, writes

STATUS = ("PATCH", rf".*/agenttasks/{TASK}/status")
SECRET = ("POST", r".*/secrets")
EVENT = ("POST", r".*/events")
SLOWLY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Replacing:
    """An operator behind the interceptor that is asked to end, and its successor.

    Attributes:
        cluster: Where they work.
        system: kubectl in the operator's namespace.
        operator: The one process, started again.
        interceptor: Its way to the API server.
    """

    cluster: ControlPlane
    system: Kubectl
    operator: OperatorProcess
    interceptor: Interceptor

    def lease(self) -> Object:
        """The Lease as it is."""
        return self.system.get("lease", OPERATOR_LEASE)

    def logged(self, event: str, since: int) -> list[Object]:
        """What was logged of that kind since a position of its log."""
        return [line for line in self.operator.log_lines(since) if line.get("event") == event]

    def succeed(self) -> None:
        """Start the successor and wait until it is at work."""
        self.operator.start(self.interceptor.environment)
        wait_until("the successor leads", lambda: leases.leads(self.operator), within=SLOWLY)

    def writes(self, here: Kubectl, since: int) -> list[Write]:
        """What the operator wrote in that namespace, those of `story.settled` left out."""
        return [
            each
            for each in writes(self.cluster, here, since)
            if "after-" not in each.name and (each.resource, each.name) != ("secrets", "")
        ]


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server; the session's own operator is ended."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        if operator_of_session.alive():
            operator_of_session.terminate()
        yield proxy
        if operator_of_session.alive():
            operator_of_session.terminate()


@pytest.fixture
def replacing(
    cluster: ControlPlane, operator_of_session: OperatorProcess, interceptor: Interceptor
) -> Replacing:
    """An operator at work behind the interceptor."""
    system = cluster.kubectl.in_namespace(NAMESPACE)
    replacing = Replacing(cluster, system, operator_of_session, interceptor)
    if not operator_of_session.alive():
        replacing.succeed()
    return replacing


def annotations(of: Object) -> dict[str, str]:
    found: dict[str, str] = of["metadata"].get("annotations", {})
    return found


@pytest.mark.parametrize("write", [STATUS, SECRET, EVENT], ids=["status", "secret", "event"])
def test_a_write_that_is_under_way_at_sigterm_is_finished_and_nothing_is_left_to_do(
    place: Kubectl, replacing: Replacing, write: tuple[str, str]
) -> None:
    operator, let_go = replacing.operator, threading.Event()
    place.create(pod())
    playing.scheduled(place, POD)
    held = Trap(*write, answered=False, spring=lambda: None, let_go=let_go)
    replacing.interceptor.set(held)
    place.create(task(**ANY_POD))
    held.wait()
    logged = operator.log_position()

    operator.process.signal(signal.SIGTERM)
    wait_until("it drains", lambda: replacing.logged("draining", logged))
    assert not replacing.logged("drained", logged), "it waits for what is under way"
    let_go.set()

    assert operator.process.ended() == 0
    assert replacing.logged("drained", logged)
    running = story.runs(place)
    assert [each.reason for each in story.told(place, running)] == ["CredentialIssued"], "its Event is sent"
    lease = replacing.lease()
    assert not lease["spec"].get("holderIdentity")
    assert annotations(lease)[SETTLED_ANNOTATION] == lease["spec"]["renewTime"]
    since = replacing.cluster.audit_position()
    secret = place.get("secret", f"agentid-{TASK}")
    replacing.succeed()
    assert story.settled(place)["status"] == running["status"]
    assert replacing.writes(place, since) == []
    assert place.get("secret", f"agentid-{TASK}") == secret
    assert SETTLED_ANNOTATION not in annotations(replacing.lease())


def test_a_restart_issues_none_of_many_renewed_tasks_again(place: Kubectl, replacing: Replacing) -> None:
    names = [f"task-{number}" for number in range(20)]
    place.create([task(name) for name in names])
    for name in names:
        story.runs(place, name)
        place.patch("agenttask", name, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    wait_until(
        "each has its second credential, in its status and in its Secret",
        lambda: second_credentials(place),
        lambda seen: seen == set(names),
        within=SLOWLY,
    )
    before = {each["metadata"]["name"]: each for each in place.list("agenttasks")}
    secrets = {each["metadata"]["name"]: each for each in place.list("secrets")}

    assert replacing.operator.terminate() == 0
    since = replacing.cluster.audit_position()
    logged = replacing.operator.log_position()
    replacing.succeed()
    story.settled(place, names[0])

    assert [each["settled"] for each in replacing.logged("leading", logged)] == [True]
    assert replacing.writes(place, since) == []
    assert {each["metadata"]["name"]: each for each in place.list("agenttasks")} == before
    after = {each["metadata"]["name"]: each for each in place.list("secrets")}
    assert {name: after.get(name) for name in secrets} == secrets


def second_credentials(here: Kubectl) -> set[str]:
    """The tasks whose Secret holds the second credential that their status tells of."""
    secrets = {each["metadata"]["name"]: story.leaf_serial(each) for each in here.list("secrets")}
    return {
        each["metadata"]["name"]
        for each in here.list("agenttasks")
        if each["status"].get("observedGeneration") == 2
        and each["status"]["credentials"][-1]["generation"] == 2
        and secrets.get(f"agentid-{each['metadata']['name']}") == each["status"]["credentials"][-1]["serial"]
    }


def test_a_secret_in_doubt_at_sigterm_is_made_sure_of_by_the_successor(
    place: Kubectl, replacing: Replacing
) -> None:
    lost = Trap(*SECRET, answered=True, spring=lambda: replacing.operator.process.signal(signal.SIGTERM))
    replacing.interceptor.set(lost)
    place.create([task(**ANY_POD), pod()])
    lost.wait()

    assert replacing.operator.process.ended() == 0
    lease = replacing.lease()
    assert not lease["spec"].get("holderIdentity")
    assert SETTLED_ANNOTATION not in annotations(lease)
    replacing.succeed()
    story.runs(place)
