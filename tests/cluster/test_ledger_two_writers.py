"""Two operators that both lead on purpose: one chain, each key accounted for, never two that count."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import ledgers, story
from tests.cluster.leases import BRIEFLY, leads
from tests.cluster.objects import task
from tests.cluster.test_leader_election import OTHER_LEASE, rights_on

NAMES = [f"task-{number}" for number in range(30)]
SLOWLY = timedelta(seconds=120)
AT_ONCE = 10


class Kept:
    """An operator that is started again whenever it has ended itself, as a kubelet does."""

    def __init__(self, cluster: ControlPlane, name: str, lease: str | None) -> None:
        self.process = OperatorProcess(cluster, name, BRIEFLY)
        self._environment = {"AGENTID_LEASE_NAME": lease} if lease else {}
        self.starts = 0

    def keep(self) -> None:
        """Start it, unless it runs."""
        if not self.process.alive():
            self.starts += 1
            self.process.start(self._environment, wait=False)


@pytest.fixture
def both(cluster: ControlPlane, admin: Kubectl, operator_of_session: OperatorProcess) -> Iterator[list[Kept]]:
    """Two operators with a Lease each."""
    if operator_of_session.alive():
        operator_of_session.terminate()
    admin.in_namespace(NAMESPACE).apply(rights_on(OTHER_LEASE))
    kept = [Kept(cluster, "left", None), Kept(cluster, "right", OTHER_LEASE)]
    for each in kept:
        each.keep()
        each.process.wait_ready()
    wait_until("both lead", lambda: [leads(each.process) for each in kept], all, within=SLOWLY)
    yield kept
    for each in kept:
        if each.process.alive():
            each.process.terminate()


def test_two_that_both_lead_write_one_chain_and_never_leave_two_live_credentials(
    place: Kubectl, admin: Kubectl, both: list[Kept]
) -> None:
    def look() -> dict[str, str]:
        """See that both run, that no Secret holds what no record has, and how each task stands."""
        for each in both:
            each.keep()
        secrets = [
            each for each in place.list("secrets") if each["metadata"]["name"].startswith("agentid-task-")
        ]
        known = ledgers.given(record for _, records in ledgers.whole(admin).batches for record in records)
        assert {story.leaf_serial(each) for each in secrets if not story.is_empty(each)} <= known
        return {each["metadata"]["name"]: story.standing(each) for each in place.list("agenttasks")}

    for first in range(0, len(NAMES), AT_ONCE):
        place.create([task(name) for name in NAMES[first : first + AT_ONCE]])
        look()
    wait_until(
        "all run",
        look,
        lambda seen: all(seen.get(name) == "Running" for name in NAMES),
        within=SLOWLY,
    )
    wait_until(
        "one has met the other's batch, and was started again",
        lambda: look() and sum(each.starts for each in both),
        lambda starts: starts > len(both),
        within=SLOWLY,
    )
    both[1].process.terminate()
    both[0].keep()
    both[0].process.wait_ready()
    for name in NAMES:
        running = story.runs(place, name, SLOWLY)
        assert len(story.serials(running)) == 1 or "renewed" in {
            each.kind for each in ledgers.whole(admin).of(running["metadata"]["uid"])
        }
    tasks = [place.get("agenttask", name) for name in NAMES]
    for each in tasks[:3]:
        ledgers.accounts_for(admin, each)
    place("patch", "agenttask", *NAMES, "--type=merge", '--patch={"spec": {"state": "Ended"}}')
    uids = [each["metadata"]["uid"] for each in tasks]

    def ends() -> list[bool]:
        # Where the other wrote last, the one that is left learns of it by its next batch, and ends itself.
        both[0].keep()
        ledger = ledgers.whole(admin)
        return ["ended" in {each.kind for each in ledger.of(uid)} for uid in uids]

    wait_until("the ledger tells each end", ends, all, within=SLOWLY)
    for each in tasks:
        story.ends(place, "Ended", each["metadata"]["name"], SLOWLY)
        ledgers.told(admin, each)
