"""kill -9 at each write of a task's life, before and after it: whoever comes next ends at the same."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiohttp import web
from cryptography import x509

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import leases, playing, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.cluster.people import OPERATOR

STATUS = ("PATCH", r".*/agenttasks/refund-4711/status")
CREATE = ("POST", r".*/secrets")
REPLACE = ("PUT", r".*/secrets/agentid-refund-4711")
DELETE = ("DELETE", r".*/secrets/agentid-refund-4711")
EVENT = ("POST", r".*/events")
SLOWLY = timedelta(seconds=30)

when = pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server, and the operator on it."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    # So long the name of a Secret is held that a killed operator may have been about to create.
    proxy.environment["AGENTID_WIPE_GRACE_SECONDS"] = "15"
    with proxy.running():
        leases.begin_anew(operator_of_session, proxy.environment)
        yield proxy
        operator_of_session.terminate()


@pytest.fixture
def mortal(place: Kubectl, operator_of_session: OperatorProcess, interceptor: Interceptor) -> OperatorProcess:
    """The operator, on its way through the interceptor, in a namespace with an Agent."""
    assert place.namespace
    if not operator_of_session.alive():
        leases.begin(operator_of_session, interceptor.environment)
    return operator_of_session


def killed_at(
    mortal: OperatorProcess, interceptor: Interceptor, request: tuple[str, str], *, answered: bool
) -> Trap:
    """Have the operator killed at the next such request."""
    trap = Trap(*request, answered=answered, spring=mortal.kill)
    interceptor.set(trap)
    return trap


def released(cluster: ControlPlane, here: Kubectl, name: str = TASK) -> set[str]:
    """The serials of all certificates that were ever written into the Secret of a task."""
    found = set()
    for event in cluster.audit(user=OPERATOR):
        where = event.get("objectRef", {})
        if where.get("resource") != "secrets" or where.get("namespace") != here.namespace:
            continue
        body = event.get("requestObject") or {}
        chain = story.files(body).get("tls.crt") if where.get("name") == f"agentid-{name}" else None
        if chain and event["responseStatus"]["code"] < 300 and "dryRun=" not in event["requestURI"]:
            found.add(f"{x509.load_pem_x509_certificate(chain).serial_number:x}")
    return found


def runs_with_one_credential(cluster: ControlPlane, here: Kubectl, kills: int = 1) -> Object:
    """See that a task runs with the one credential that its Secret holds, and that no other is live."""
    story.runs(here, within=SLOWLY)
    # After a takeover, who has a credential is looked at after who waits for one,
    # unless something happens to it.
    here("annotate", f"agenttask/{TASK}", "looked-at=true", "--overwrite")
    story.settled(here, within=SLOWLY)
    running = story.runs(here, within=SLOWLY)
    assert story.settled(here, within=SLOWLY)["status"] == running["status"]
    secret = here.get("secret", f"agentid-{TASK}")
    assert story.leaf_serial(secret) == story.serials(running)[-1]
    # What counts beside it is of the moment of a kill: a key lost with the process, or replaced.
    assert len(story.serials(running)) <= 1 + kills
    assert story.serials(running)[-1] in released(cluster, here)
    assert secret["metadata"]["labels"]["agentid.dev/task-uid"] == running["metadata"]["uid"]
    return running


def ends_with_nothing_left(here: Kubectl, reason: str = "Completed") -> None:
    """See that a task is over for that reason and that no Secret is left of it."""
    story.ends(here, reason, within=SLOWLY)
    story.secret_gone(here, within=SLOWLY)


class AlwaysBefore(Trap):
    """Does something before each such request is handed on, which then comes too late."""

    def fits(self, request: web.BaseRequest, body: bytes = b"") -> bool:
        """Do it; the request itself goes its way."""
        if Trap.fits(self, request, body):
            self.spring()
        return False


def test_tenant_who_changes_a_task_all_the_time_does_not_keep_its_key(
    place: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create([task(**ANY_POD), pod()])
    running = story.runs(place)
    playing.start(place, POD)
    numbers = itertools.count()

    def change() -> None:
        place.patch("agenttask", TASK, {"metadata": {"labels": {"tenant": f"n{next(numbers)}"}}})

    interceptor.set(AlwaysBefore(*STATUS, answered=False, spring=change))
    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})

    emptied = story.secret_emptied(place, within=SLOWLY)
    assert not story.is_finished(place.get("agenttask", TASK)), "nobody came too late"
    interceptor.set(Trap("NONE", "", answered=False, spring=change))

    over = story.ends(place, "Ended", within=SLOWLY)
    assert over["status"]["credentialGeneration"] == running["status"]["credentialGeneration"]
    still = place.get("secret", f"agentid-{TASK}")
    assert still["metadata"]["resourceVersion"] == emptied["metadata"]["resourceVersion"], "nothing came back"
    assert mortal.alive()
    playing.finish(place, POD)
    story.secret_gone(place, within=SLOWLY)


@when
@pytest.mark.parametrize("write", [STATUS, CREATE, EVENT], ids=["status", "secret", "event"])
def test_killed_while_it_issues(
    *,
    place: Kubectl,
    cluster: ControlPlane,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
    answered: bool,
) -> None:
    place.create(pod())
    playing.scheduled(place, POD)
    trap = killed_at(mortal, interceptor, write, answered=answered)
    place.create(task(**ANY_POD))
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    runs_with_one_credential(cluster, place)
    playing.finish(place, POD)
    ends_with_nothing_left(place)


@when
@pytest.mark.parametrize("write", [STATUS, DELETE, EVENT], ids=["status", "secret", "event"])
def test_killed_while_it_ends_a_task_whose_pod_is_done(
    *,
    place: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
    answered: bool,
) -> None:
    place.create([task(**ANY_POD), pod()])
    story.told(place, story.runs(place))
    trap = killed_at(mortal, interceptor, write, answered=answered)
    playing.finish(place, POD)
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    ends_with_nothing_left(place)


@when
@pytest.mark.parametrize("write", [STATUS, REPLACE], ids=["status", "secret"])
def test_killed_while_it_wipes_the_secret_of_a_running_pod(
    *,
    place: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
    answered: bool,
) -> None:
    place.create([task(**ANY_POD), pod()])
    story.told(place, story.runs(place))
    playing.start(place, POD)
    trap = killed_at(mortal, interceptor, write, answered=answered)
    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    story.ends(place, "Ended", within=SLOWLY)
    story.secret_emptied(place, within=SLOWLY)
    playing.finish(place, POD)
    story.secret_gone(place, within=SLOWLY)


@when
@pytest.mark.parametrize("write", [STATUS, REPLACE], ids=["status", "secret"])
def test_killed_while_it_changes_the_credential(
    *,
    place: Kubectl,
    cluster: ControlPlane,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
    answered: bool,
) -> None:
    place.create([task(**ANY_POD), pod()])
    first = story.runs(place)
    story.told(place, first)
    playing.start(place, POD)
    trap = killed_at(mortal, interceptor, write, answered=answered)
    place.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    place.wait_for("agenttask", TASK, lambda seen: seen["status"]["observedGeneration"] == 2, SLOWLY)
    running = runs_with_one_credential(cluster, place)
    assert set(story.serials(first)).isdisjoint(story.serials(running))
    playing.finish(place, POD)
    ends_with_nothing_left(place)


@when
def test_killed_while_it_writes_over_what_its_predecessor_left(
    *,
    place: Kubectl,
    cluster: ControlPlane,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    answered: bool,
) -> None:
    place.create([task(**ANY_POD), pod()])
    story.told(place, story.runs(place))
    playing.start(place, POD)
    trap = killed_at(mortal, interceptor, STATUS, answered=True)
    place.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    trap.wait()
    trap = killed_at(mortal, interceptor, REPLACE, answered=answered)
    mortal.start({**leases.BRIEFLY, **interceptor.environment}, wait=False)
    trap.wait()
    assert not story.is_empty(place.get("secret", f"agentid-{TASK}")), "one write does it"

    leases.begin(mortal, interceptor.environment)

    runs_with_one_credential(cluster, place, kills=2)
    playing.finish(place, POD)
    ends_with_nothing_left(place)


@pytest.mark.parametrize("write", [STATUS, CREATE], ids=["status", "secret"])
def test_answer_that_was_lost_leads_to_the_same(
    *,
    place: Kubectl,
    cluster: ControlPlane,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
) -> None:
    trap = Trap(*write, answered=True, spring=lambda: None)
    interceptor.set(trap)
    place.create([task(**ANY_POD), pod()])
    trap.wait()

    runs_with_one_credential(cluster, place)
    assert mortal.alive()
    playing.finish(place, POD)
    ends_with_nothing_left(place)
