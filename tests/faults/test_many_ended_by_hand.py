"""A thousand tasks ended at once: an agent's or a person's by one command, an Agent's by its switch."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.callers import agentid_process, caller, names
from tests.cluster.objects import agent, task

TASKS = 1000
AT_ONCE = 100
SLOWLY = timedelta(minutes=10)
EVE = "eve@example.com"
OTHER = "of-another-agent"


def end_of_agent(cluster: ControlPlane, team: Kubectl, folder: Path) -> str:
    return _by_command(cluster, team, folder, "--agent", "busy")


def end_of_person(cluster: ControlPlane, team: Kubectl, folder: Path) -> str:
    return _by_command(cluster, team, folder, "--requester", EVE)


def switch_off(cluster: ControlPlane, team: Kubectl, folder: Path) -> str:
    assert cluster is not None
    assert folder is not None
    team.patch("agent", "busy", {"spec": {"disabled": True}})
    return "Revoked"


def _by_command(cluster: ControlPlane, team: Kubectl, folder: Path, *which: str) -> str:
    on_call = caller(cluster, team, "on-call", folder, "agentid-editor")
    told = ("end", *which, "--reason", "key leaked", "-o", "json")
    ended = agentid_process(on_call, *told, within=2 * SLOWLY)
    assert ended.code == 0, ended.err
    assert set(names(ended.said["tasks"]).values()) == {"done"}
    assert len(ended.said["tasks"]) == TASKS
    # With -s it tells how long that took, for docs/cli.md.
    sys.stdout.write(f"\nthe command returned after {ended.said['seconds']} s\n")
    return "Ended"


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("way", [end_of_agent, end_of_person, switch_off])
def test_a_thousand_tasks_are_ended_at_once(
    cluster: ControlPlane,
    team: Kubectl,
    operator: OperatorProcess,
    tmp_path: Path,
    way: Callable[[ControlPlane, Kubectl, Path], str],
) -> None:
    operator.wait_ready()
    team.create([agent("busy"), task(OTHER)])
    eve = team.as_user(EVE, ["system:masters"])
    for first in range(0, TASKS, AT_ONCE):
        eve.create([task(f"t{each}", agentRef={"name": "busy"}) for each in range(first, first + AT_ONCE)])
    often = timedelta(seconds=1)
    wait_until(
        "all have their credential",
        lambda: story.standings(team)["Running"],
        lambda running: running == TASKS + 1,
        within=SLOWLY,
        every=timedelta(seconds=5),
    )

    began = time.monotonic()
    standing = way(cluster, team, tmp_path)
    wait_until(
        "all are over",
        lambda: story.standings(team),
        lambda seen: seen == {standing: TASKS, "Running": 1},
        within=SLOWLY,
        every=often,
    )
    wait_until(
        "one Secret is left",
        lambda: [each["metadata"]["name"] for each in team.list("secrets")],
        lambda left: left == [f"agentid-{OTHER}"],
        within=SLOWLY,
        every=often,
    )
    sys.stdout.write(f"\n{TASKS} Secrets are gone after {time.monotonic() - began:.0f} s\n")
