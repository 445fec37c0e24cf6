"""`agentid end --agent`: one command ends a thousand tasks, and returns when all have been ended."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.callers import agentid, caller, names
from tests.cluster.objects import agent, task

TASKS = 1000
AT_ONCE = 100
SLOWLY = timedelta(minutes=10)


@pytest.mark.timeout(1500)
def test_one_command_ends_a_thousand_tasks_of_an_agent(
    cluster: ControlPlane, team: Kubectl, operator: OperatorProcess, tmp_path: Path
) -> None:
    operator.wait_ready()
    on_call = caller(cluster, team, "on-call", tmp_path, "agentid-editor")
    many = [f"task-{number:04d}" for number in range(TASKS)]
    team.create([agent("busy"), task("of-another-agent")])
    for first in range(0, TASKS, AT_ONCE):
        team.create([task(each, agentRef={"name": "busy"}) for each in many[first : first + AT_ONCE]])
    wait_until(
        "all have their credential",
        lambda: sum(story.standing(each) == "Running" for each in team.list("agenttask")),
        lambda running: running == TASKS + 1,
        within=SLOWLY,
        every=timedelta(seconds=5),
    )

    which = ("--agent", "busy", "--reason", "key leaked")
    ended = agentid(on_call, "end", *which, "-o", "json", within=2 * SLOWLY)

    assert ended.code == 0, ended.err
    assert names(ended.said["tasks"]) == dict.fromkeys(many, "done")
    found = {each["metadata"]["name"]: each for each in team.list("agenttask")}
    assert all(story.standing(found[each]) == "Ended" and not story.serials(found[each]) for each in many)
    assert story.standing(found["of-another-agent"]) == "Running"
    # With -s it tells how long that took, for docs/cli.md.
    sys.stdout.write(f"\n{TASKS} tasks ended in {ended.said['seconds']} s\n")
