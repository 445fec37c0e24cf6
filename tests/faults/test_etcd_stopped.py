"""etcd stands still for a minute while deadlines pass: what was due then is done as soon as it goes on."""

import signal
import time
from datetime import datetime, timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import task
from tests.cluster.unguarded import once_let
from tests.fault_table import record

STOPPED_SECONDS = 60
NAMES = [f"expires-{number}" for number in range(10)]
BOUND = timedelta(seconds=60)
"""A lease of 15 s to be had again, and pauses that have grown to some seconds."""


@pytest.mark.timeout(420)
def test_deadlines_while_etcd_stands_still_are_met_when_it_goes_on(
    cluster: ControlPlane, team: Kubectl, operator: OperatorProcess
) -> None:
    brief = {"activeDeadlineSeconds": 30, "credential": {"ttlSeconds": 30}}
    team.create([*(task(name, **brief) for name in NAMES), task("goes-on")])
    running = {name: story.runs(team, name) for name in [*NAMES, "goes-on"]}
    deadlines = {datetime.fromisoformat(running[name]["status"]["deadline"]) for name in NAMES}
    for name in NAMES:
        assert story.leaf(team.get("secret", f"agentid-{name}")).not_valid_after_utc in deadlines

    cluster.etcd.signal(signal.SIGSTOP)
    stood_still = time.monotonic()
    try:
        wait_until(
            "etcd has stood still for so long",
            lambda: time.monotonic() - stood_still,
            lambda seconds: seconds >= STOPPED_SECONDS,
            within=timedelta(seconds=2 * STOPPED_SECONDS),
        )
    finally:
        cluster.etcd.signal(signal.SIGCONT)
    went_on = time.monotonic()
    once_let(lambda: team.create(task("served"), "--dry-run=server"))

    wait_until(
        "nothing is left of the tasks whose deadline is past",
        lambda: [name for name in NAMES if team.find("secret", f"agentid-{name}") is not None],
        lambda left: not left,
        within=BOUND,
    )
    took = time.monotonic() - went_on
    for name in NAMES:
        story.ends(team, "Expired", name)
        assert story.serials(team.get("agenttask", name)) == []
    assert story.standing(team.get("agenttask", "goes-on")) == "Running"
    team.create(task("new"))
    story.runs(team, "new")
    assert made_and_deleted(cluster, team, *NAMES) == dict.fromkeys(NAMES, (1, 1))
    assert operator.alive()
    record(
        "etcd stopped for 60 s",
        "a deadline",
        bound=f"{BOUND.total_seconds():g} s after it goes on; no certificate outlives its deadline",
        seen=f"{took:.1f} s",
    )
