"""Two operators: one is at work, the other takes over; even two that both think they lead do no harm."""

import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.leases import BRIEFLY, leads
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task

OTHER_LEASE = "agentid-other"
SOON = timedelta(seconds=15)


@pytest.fixture
def pair(
    cluster: ControlPlane, operator_of_session: OperatorProcess
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """Two operators that are not running, with short leases; the session's own is ended."""
    if operator_of_session.alive():
        operator_of_session.terminate()
    left, right = (OperatorProcess(cluster, name, BRIEFLY) for name in ("left", "right"))
    yield left, right
    for each in (left, right):
        each.process.signal(signal.SIGCONT)
        if each.alive():
            each.terminate()


def one_leads(pair: tuple[OperatorProcess, OperatorProcess]) -> tuple[OperatorProcess, OperatorProcess]:
    """Wait until both are ready and exactly one leads; return it and the standby."""
    wait_until(
        "both are ready and exactly one leads",
        lambda: [(each.ready(), leads(each)) for each in pair],
        lambda seen: sorted(seen) == [(True, False), (True, True)],
    )
    leader, standby = sorted(pair, key=leads, reverse=True)
    return leader, standby


def issued_by(operator: OperatorProcess, serial: str) -> bool:
    # A successor may bring what its predecessor recorded to standard output once more.
    said = (line for line in operator.log_lines() if line.get("event") == "credential issued")
    return any(line.get("serial") == serial for line in said)


def test_two_that_start_at_once_make_one_authority_and_only_one_issues(
    place: Kubectl, admin: Kubectl, pair: tuple[OperatorProcess, OperatorProcess]
) -> None:
    system = admin.in_namespace(NAMESPACE)
    system.delete("secret", "x509-authority", "--ignore-not-found")
    for each in pair:
        each.start(wait=False)
    leader, standby = one_leads(pair)

    place.create(task())
    first = story.runs(place)
    leader.terminate()
    wait_until("the standby leads", lambda: leads(standby), within=SOON)
    place.create(task("second"))
    second = story.runs(place, "second")

    assert issued_by(leader, story.serials(first)[0])
    assert not issued_by(standby, story.serials(first)[0])
    assert issued_by(standby, story.serials(second)[0])
    root = story.files(system.get("secret", "x509-authority"))["root.crt"]
    for name in (TASK, "second"):
        assert story.files(place.get("secret", f"agentid-{name}"))["ca.crt"].strip() == root.strip()


def test_standby_takes_over_at_once_when_the_leader_is_asked_to_stop(
    place: Kubectl, pair: tuple[OperatorProcess, OperatorProcess]
) -> None:
    for each in pair:
        each.start()
    leader, standby = one_leads(pair)
    place.create([task(**ANY_POD), pod()])
    running = story.runs(place)

    assert leader.terminate() == 0
    wait_until("the standby leads", lambda: leads(standby), within=timedelta(seconds=3))

    assert story.settled(place)["status"] == running["status"]
    playing.finish(place, POD)
    story.ends(place, "Completed")
    story.secret_gone(place)


def test_standby_takes_over_when_the_leader_is_killed(
    place: Kubectl, pair: tuple[OperatorProcess, OperatorProcess]
) -> None:
    for each in pair:
        each.start()
    leader, standby = one_leads(pair)
    place.create([task(**ANY_POD), pod()])
    running = story.runs(place)

    leader.kill()
    playing.finish(place, POD)

    wait_until("the standby leads", lambda: leads(standby), within=SOON)
    ended = story.ends(place, "Completed")
    story.secret_gone(place)
    assert ended["status"]["spiffeID"] == running["status"]["spiffeID"]


def test_leader_that_hung_writes_nothing_after_it_was_replaced(
    place: Kubectl, pair: tuple[OperatorProcess, OperatorProcess]
) -> None:
    for each in pair:
        each.start()
    leader, standby = one_leads(pair)
    place.create([task(**ANY_POD), pod()])
    story.runs(place)
    leader.process.signal(signal.SIGSTOP)
    place.create(task("meanwhile"))
    place.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    wait_until("the standby leads", lambda: leads(standby), within=SOON)
    before = story.runs(place, "meanwhile")

    leader.process.signal(signal.SIGCONT)
    wait_until("the one that hung leads no more", lambda: leads(leader), lambda seen: not seen, within=SOON)

    changed = story.runs(place)
    assert story.settled(place, "meanwhile")["status"] == before["status"]
    for serial in (*story.serials(before), *story.serials(changed)):
        assert issued_by(standby, serial)


def test_two_that_both_lead_on_purpose_never_leave_two_live_credentials(
    place: Kubectl, admin: Kubectl, pair: tuple[OperatorProcess, OperatorProcess]
) -> None:
    left, right = pair
    admin.in_namespace(NAMESPACE).apply(rights_on(OTHER_LEASE))
    left.start()
    right.start({"AGENTID_LEASE_NAME": OTHER_LEASE})
    wait_until("both lead", lambda: (leads(left), leads(right)), lambda seen: seen == (True, True))
    names = [f"task-{number}" for number in range(9)]
    finished, suspended, changed = names[:3], names[3:6], names[6:]

    place.create([each for name in names for each in (task(name, **ANY_POD), pod(name, of=name))])
    for name in names:
        story.stands(place, "Running", name)
        place.patch("agenttask", name, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    for name in finished:
        playing.finish(place, name)
    for name in suspended:
        place.patch("agenttask", name, {"spec": {"state": "Suspended"}})

    for name in finished:
        story.ends(place, "Completed", name)
        story.secret_gone(place, name)
    for name in suspended:
        story.stands(place, "Suspended", name)
        story.secret_gone_or_empty(place, name)
    for name in changed:
        seen = place.wait_for("agenttask", name, lambda seen: seen["status"]["observedGeneration"] == 2)
        assert len(story.serials(seen)) <= 1, "the status is the one truth, whoever wrote the Secret last"

    right.terminate()
    left.restart()
    wait_until(
        "each Secret holds what its task's status counts",
        lambda: {name: held_and_counted(place, name) for name in changed},
        lambda seen: all(held == counted[-1:] for held, counted in seen.values()),
    )
    for name in finished:
        assert place.find("secret", f"agentid-{name}") is None
    for name in suspended:
        story.secret_gone_or_empty(place, name)


def held_and_counted(place: Kubectl, name: str) -> tuple[list[str], list[str]]:
    """The serial in a task's Secret, and those that its status counts."""
    held = story.leaf_serial(place.get("secret", f"agentid-{name}"))
    return [held], story.serials(place.get("agenttask", name))


def rights_on(lease: str) -> list[Object]:
    """What the operator's account needs to lead by another Lease."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": lease}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": lease},
            "rules": [
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "resources": ["leases"],
                    "resourceNames": [lease],
                    "verbs": ["get", "update"],
                }
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": lease},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        },
    ]
