"""Faults around the operator: the API server restarts, kopf's annotations are forged."""

import json
import signal
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.cluster.unguarded import once_let, without

HOSTILE = {
    "broken": {"kopf.zalando.org/last-handled-configuration": '{"bad'},
    "forged": {
        "kopf.zalando.org/last-handled-configuration": json.dumps({"spec": {"state": "Active"}}),
        "kopf.zalando.org/task": json.dumps({"started": "2026-01-01T00:00:00", "success": True}),
    },
    "nonsense": {"kopf.zalando.org/last-handled-configuration": "null", "kopf.dev/progress": ""},
}
SLOWLY = timedelta(seconds=40)


def until_tasks_are_served(here: Kubectl) -> None:
    """Wait for what an API server has after its own objects when it starts: CRDs and rules about them."""
    once_let(partial(here.create, task("served"), "--dry-run=server"))


def test_restart_of_the_api_server_loses_nothing(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("unbound")])
    running = story.runs(team)
    unbound = story.runs(team, "unbound")

    cluster.restart_apiserver()
    until_tasks_are_served(team)
    playing.finish(team, POD)

    story.ends(team, "Completed", within=SLOWLY)
    story.secret_gone(team, within=SLOWLY)
    assert story.settled(team, "unbound", SLOWLY)["status"] == unbound["status"]
    team.create(task("after"))
    story.runs(team, "after", SLOWLY)
    assert made_and_deleted(cluster, team, TASK, "unbound") == {TASK: (1, 1), "unbound": (1, 0)}
    assert operator.alive()
    assert running["status"]["spiffeID"]


def test_what_changed_while_it_stood_still_and_the_api_server_restarted_is_seen(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("deleted"), task("ended"), task("two", **ANY_POD)])
    team.create(pod("two", of="two"))
    for name in (TASK, "deleted", "ended", "two"):
        story.runs(team, name)

    operator.process.signal(signal.SIGSTOP)
    try:
        playing.remove(team, POD)
        team.delete("agenttask", "deleted")
        team.patch("agenttask", "ended", {"spec": {"state": "Ended"}})
        team.create([pod("second", of="two"), task("new")])
        cluster.restart_apiserver()
        until_tasks_are_served(team)
    finally:
        operator.process.signal(signal.SIGCONT)

    story.ends(team, "PodDeleted", within=SLOWLY)
    story.ends(team, "Ended", "ended", SLOWLY)
    story.ends(team, "SecondPod", "two", SLOWLY)
    story.runs(team, "new", SLOWLY)
    for name in (TASK, "deleted", "ended"):
        story.secret_gone(team, name, SLOWLY)
    story.secret_gone_or_empty(team, "two", SLOWLY)
    gone = (TASK, "deleted", "ended")
    seen = made_and_deleted(cluster, team, *gone)
    # That of a task that is gone may be the garbage collector's to delete.
    assert {name: seen[name] for name in (TASK, "ended")} == {TASK: (1, 1), "ended": (1, 1)}
    assert seen["deleted"][0] == 1
    assert operator.alive()


@pytest.mark.parametrize("kind", HOSTILE)
def test_kopfs_annotations_that_were_there_before_admission_blind_nobody(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess, kind: str
) -> None:
    annotated: dict[str, Any] = {"metadata": {"annotations": HOSTILE[kind]}}
    team.create([task(**ANY_POD), pod(), task("unbound")])
    story.runs(team)
    story.runs(team, "unbound")
    with without(admin, "kopf-annotations.agentid.dev"):
        once_let(partial(team.patch, "agenttask", TASK, annotated))
        for what, name in (("agenttask", "unbound"), ("pod", POD), ("agent", "refund-agent")):
            team.patch(what, name, annotated)
    operator.restart()

    team.patch("agenttask", "unbound", {"spec": {"state": "Ended"}})
    playing.finish(team, POD)

    story.ends(team, "Ended", "unbound")
    story.secret_gone(team, "unbound")
    story.ends(team, "Completed")
    story.secret_gone(team)
    team.create(task("next"))
    story.runs(team, "next")
    still = team.get("agenttask", TASK)["metadata"]["annotations"]
    assert still == HOSTILE[kind], "the operator has written none of its own"
