"""What people do while the operator is in the middle of a write: the last word counts, and no key stays.

A renewal is due after two thirds of a life, so all tasks of which one is caught are started together.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, pod, task
from tests.cluster.people import OPERATOR
from tests.laying_out import clear_workloads, make_agent

SLOWLY = timedelta(seconds=60)
RENEWED = {"ttlSeconds": 75}
"""Due after 50 s; the next one so late that a slow machine sees this one's outcome before."""


def suspend(here: Kubectl, name: str) -> None:
    here.patch("agenttask", name, {"spec": {"state": "Suspended"}})


def end(here: Kubectl, name: str) -> None:
    here.patch("agenttask", name, {"spec": {"state": "Ended"}})


def change_the_intent(here: Kubectl, name: str) -> None:
    here.patch("agenttask", name, {"spec": {"intent": {"actions": ["refunds:create"]}}})


def replace_the_pod(here: Kubectl, name: str) -> None:
    playing.remove(here, name)
    here.create(pod(f"{name}-2", of=name))


DURING: dict[str, Callable[[Kubectl, str], None]] = {
    "suspended": suspend,
    "ended": end,
    "changed": change_the_intent,
    "replaced": replace_the_pod,
}
WRITES = ("status", "secret")


def write(name: str, what: str, *, first: bool = False) -> tuple[str, str]:
    """Method and path of a write for a task: of its status, or of its Secret, which the first creates."""
    if what == "status":
        return "PATCH", rf".*/agenttasks/{name}/status"
    return ("POST", r".*/secrets") if first else ("PUT", rf".*/secrets/agentid-{name}")


def held(name: str, what: str, *, first: bool = False) -> Trap:
    """Holds that write until it is let go."""
    return Trap(
        *write(name, what, first=first), answered=False, spring=lambda: None, let_go=threading.Event()
    )


def let_go(trap: Trap) -> None:
    assert trap.let_go is not None
    trap.let_go.set()


def written(cluster: ControlPlane, here: Kubectl, name: str = TASK) -> list[str]:
    """The serials of all credentials that were ever written into the Secret of a task, oldest first."""
    return [
        serial
        for event in cluster.audit(user=OPERATOR)
        if event.get("objectRef", {}).get("resource") == "secrets"
        and event["objectRef"].get("namespace") == here.namespace
        and event["objectRef"].get("name") == f"agentid-{name}"
        and event["responseStatus"]["code"] < 300
        and "dryRun=" not in event["requestURI"]
        and (serial := story.leaf_serial(event.get("requestObject") or {}))
    ]


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server, and the operator on it."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        if operator_of_session.alive():
            operator_of_session.terminate()
        operator_of_session.start(proxy.environment)
        yield proxy
        operator_of_session.terminate()


@dataclass(frozen=True, slots=True)
class Caught:
    """A namespace in which something happened to each task while a write of its renewal was held."""

    here: Kubectl
    cluster: ControlPlane
    first: dict[str, Object]

    def written(self, name: str) -> list[str]:
        """The serials that were written for a task."""
        return written(self.cluster, self.here, name)

    def serial(self, name: str) -> str:
        """The serial that a task had before the renewal."""
        return story.serials(self.first[name])[0]

    def secret(self, name: str) -> Object:
        """The Secret of a task."""
        return self.here.get("secret", f"agentid-{name}")


@pytest.fixture(scope="module")
def caught(cluster: ControlPlane, node: str, interceptor: Interceptor) -> Iterator[Caught]:
    """Every renewal of this module, caught in its write, and let go after the thing has happened."""
    assert node
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": "in-a-renewal"}})
    here = cluster.kubectl.in_namespace("in-a-renewal")
    names = {f"{thing}-{what}": (thing, what) for thing in DURING for what in WRITES}
    make_agent(here)
    for name, (thing, _) in names.items():
        workload = {"replacement": "Allow"} if thing == "replaced" else {}
        here.create([task(name, workload=workload, credential=RENEWED), pod(name, of=name)])
    first = {name: story.runs(here, name) for name in names}
    traps = {name: held(name, what) for name, (_, what) in names.items()}
    interceptor.set(*traps.values())

    def interrupt(name: str) -> None:
        thing, _ = names[name]
        traps[name].wait()
        DURING[thing](here, name)
        let_go(traps[name])

    with ThreadPoolExecutor() as pool:
        list(pool.map(interrupt, names))
    yield Caught(here, cluster, first)
    interceptor.set()
    clear_workloads(here)
    cluster.kubectl.delete("namespace", here.namespace, "--wait=false")


@pytest.mark.parametrize("what", WRITES)
def test_suspension_during_a_renewal_takes_its_key_too(caught: Caught, what: str) -> None:
    name = f"suspended-{what}"

    suspended = story.stands(caught.here, "Suspended", name)

    story.secret_emptied(caught.here, name)
    assert story.serials(suspended) == []
    assert story.settled(caught.here, name)["status"] == suspended["status"]
    assert story.is_empty(caught.secret(name))
    assert caught.written(name)[0] == caught.serial(name)
    assert len(caught.written(name)) == (1 if what == "status" else 2), "the renewal's, if it came so far"


@pytest.mark.parametrize("what", WRITES)
def test_end_during_a_renewal_takes_its_key_too(caught: Caught, what: str) -> None:
    name = f"ended-{what}"

    ended = story.ends(caught.here, "Ended", name)

    story.secret_emptied(caught.here, name)
    assert story.settled(caught.here, name)["status"] == ended["status"]
    assert story.is_empty(caught.secret(name))
    assert len(caught.written(name)) == (1 if what == "status" else 2), "the renewal's, if it came so far"


@pytest.mark.parametrize("what", WRITES)
def test_intent_changed_during_a_renewal_leaves_the_one_credential_for_the_new_intent(
    caught: Caught, what: str
) -> None:
    name, here = f"changed-{what}", caught.here

    changed = here.wait_for(
        "agenttask",
        name,
        lambda seen: story.conditions(seen)["CredentialIssued"]["reason"] == "IntentChanged",
    )
    story.runs(here, name)

    assert len(story.serials(changed)) == 1
    *before, last = caught.written(name)
    assert story.serials(changed) == [last]
    assert len(before) == (1 if what == "status" else 2), "the renewal's, if it came so far"
    assert changed["status"]["specHash"] != caught.first[name]["status"]["specHash"]
    assert story.leaf_serial(caught.secret(name)) == last


@pytest.mark.parametrize("what", WRITES)
def test_pod_replaced_during_a_renewal_leaves_the_one_credential_of_the_new_pod(
    caught: Caught, what: str
) -> None:
    name, here = f"replaced-{what}", caught.here

    here.wait_for(
        "agenttask", name, lambda seen: seen["status"].get("boundPod", {}).get("name") == f"{name}-2"
    )
    running = story.runs(here, name)

    *before, last = caught.written(name)
    assert story.serials(running) == [last]
    assert len(before) <= 2, "the renewal's, since no pod changes what is written in the task"
    assert story.conditions(running)["CredentialIssued"]["reason"] == "PodReplaced"
    secret, pods = caught.secret(name), here.get("pod", f"{name}-2")["metadata"]["uid"]
    assert {each["uid"] for each in secret["metadata"]["ownerReferences"]} == {
        running["metadata"]["uid"],
        pods,
    }


@pytest.mark.parametrize("bound", [True, False], ids=["with a pod", "without"])
@pytest.mark.parametrize("what", WRITES)
def test_agent_switched_off_during_an_issue_leaves_no_key(
    place: Kubectl, cluster: ControlPlane, interceptor: Interceptor, what: str, *, bound: bool
) -> None:
    if bound:
        place.create(pod())
    trap = held(TASK, what, first=True)
    interceptor.set(trap)
    place.create(task(**ANY_POD) if bound else task())
    trap.wait()
    assert bool(story.serials(place.get("agenttask", TASK))) is (what == "secret"), "status comes first"
    assert place.find("secret", f"agentid-{TASK}") is None

    place.patch("agent", AGENT, {"spec": {"disabled": True}})
    let_go(trap)

    ended = place.wait_for("agenttask", TASK, story.is_finished, SLOWLY)
    assert story.standing(ended) == "Revoked"
    assert story.serials(ended) == []
    story.secret_gone_or_empty(place)
    assert story.settled(place)["status"] == ended["status"]
    story.secret_gone_or_empty(place)
    assert len(written(cluster, place)) <= 1


@pytest.fixture
def suspended(place: Kubectl, interceptor: Interceptor) -> Object:
    """A suspended task whose pod runs."""
    interceptor.set()
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    playing.start(place, POD)
    suspend(place, TASK)
    story.secret_emptied(place)
    return story.stands(place, "Suspended")


def test_intent_changed_while_suspended_is_issued_for_once_resumed_and_not_before(
    place: Kubectl, cluster: ControlPlane, suspended: Object
) -> None:
    orchestrator = place.as_user("orchestrator@example.com", ["system:masters"])
    orchestrator.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})

    changed = story.settled(place)
    assert story.standing(changed) == "Suspended"
    assert story.serials(changed) == []
    assert story.is_empty(place.get("secret", f"agentid-{TASK}"))
    assert len(written(cluster, place)) == 1
    place.patch("agenttask", TASK, {"spec": {"state": "Active"}})

    running = story.runs(place)
    first, second = written(cluster, place)
    assert first != second
    assert story.serials(running) == [second]
    assert running["spec"]["requester"]["username"] == "orchestrator@example.com"
    assert running["status"]["specHash"] != suspended["status"]["specHash"]
    assert running["status"]["credentialGeneration"] == 2


def test_intent_changed_beyond_the_ceiling_while_suspended_is_never_issued_for(
    place: Kubectl, cluster: ControlPlane, suspended: Object
) -> None:
    assert suspended
    place.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["orders:delete"]}}})
    place.patch("agenttask", TASK, {"spec": {"state": "Active"}})

    ended = story.ends(place, "Revoked")
    assert "asks for orders:delete" in story.conditions(ended)["Finished"]["message"]
    assert len(written(cluster, place)) == 1
    story.secret_gone_or_empty(place)
