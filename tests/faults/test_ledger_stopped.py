"""The leader stands still for 45 s around a record, the standby takes over: one chain, one key counts."""

import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import ledgers, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.leases import leads
from tests.cluster.objects import task
from tests.cluster.writes import trap_at
from tests.fault_table import record

STOPPED_SECONDS = 45
SLOWLY = timedelta(seconds=60)
REFUSED = 400
BOUND_SECONDS = 60.0
MOMENTS = ("its record", "its status", "its Secret")


@pytest.fixture
def pair(
    cluster: ControlPlane, interceptor: Interceptor
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """A leader on its way through the interceptor, and a standby on its own; leases are as by default."""
    left = OperatorProcess(cluster, "left", interceptor.environment)
    right = OperatorProcess(cluster, "right")
    left.start()
    wait_until("the first one leads", lambda: leads(left), within=SLOWLY)
    right.start()
    yield left, right
    for each in (left, right):
        each.process.signal(signal.SIGCONT)
        if each.alive():
            each.terminate()


def trap_before(moment: str, name: str) -> Trap:
    """What holds the leader at that moment of the issue of a task."""
    if moment == "its record":
        return Trap(
            *ledgers.POST, answered=False, is_it=lambda body: ledgers.has_record(body, "issued", name)
        )
    return trap_at("issue_status" if moment == "its status" else "issue_secret", name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", MOMENTS)
def test_leader_that_stood_still_in_an_issue_leaves_one_chain_and_one_key(
    team: Kubectl,
    admin: Kubectl,
    interceptor: Interceptor,
    pair: tuple[OperatorProcess, OperatorProcess],
    moment: str,
) -> None:
    leader, standby = pair
    name = f"stopped-before-{moment.replace(' ', '-').lower()}"
    held = trap_before(moment, name)
    held.let_go = threading.Event()
    interceptor.set(held)
    team.create(task(name))
    held.wait()
    leader.process.signal(signal.SIGSTOP)
    stopped = time.monotonic()

    wait_until("the standby leads", lambda: leads(standby), within=SLOWLY)
    running = story.runs(team, name, SLOWLY)
    took = time.monotonic() - stopped
    assert took < BOUND_SECONDS
    wait_until(
        "the leader has stood still for so long",
        lambda: time.monotonic() - stopped,
        lambda seconds: seconds >= STOPPED_SECONDS,
        within=timedelta(seconds=2 * STOPPED_SECONDS),
    )
    held.let_go.set()
    leader.process.signal(signal.SIGCONT)
    wait_until("what it had sent was answered", lambda: held.answered_late, lambda seen: seen is not None)
    wait_until("it leads no more", lambda: leads(leader), lambda seen: not seen, within=SLOWLY)

    assert held.answered_late is not None
    assert held.answered_late >= REFUSED
    ledgers.accounts_for(admin, running)
    assert story.leaf_serial(team.get("secret", f"agentid-{name}")) == story.serials(running)[-1]
    team.patch("agenttask", name, {"spec": {"state": "Ended"}})
    ledgers.told(admin, story.ends(team, "Ended", name, SLOWLY))
    record(
        "leader stopped for 45 s",
        f"the ledger: an issue before {moment}",
        bound=f"{BOUND_SECONDS:g} s after it stopped: the lease's 15 s, and the successor's pass",
        seen=f"{took:.1f} s; done late: {held.answered_late}; one chain, and one key that counts",
    )
