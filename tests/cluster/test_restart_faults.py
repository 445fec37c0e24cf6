"""Faults around the operator: the API server restarts, watches are too old, kopf's annotations are forged."""

import json
import signal
import ssl
import urllib.request
from base64 import b64encode
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
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


def test_restart_of_the_api_server_loses_nothing(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("unbound")])
    running = story.runs(team)
    unbound = story.runs(team, "unbound")

    cluster.restart_apiserver()
    playing.finish(team, POD)

    story.ends(team, "Completed", within=SLOWLY)
    story.secret_gone(team, within=SLOWLY)
    assert story.settled(team, "unbound", SLOWLY)["status"] == unbound["status"]
    team.create(task("after"))
    story.runs(team, "after", SLOWLY)
    assert operator.alive()
    assert running["status"]["spiffeID"]


def test_ends_that_a_watch_never_showed_are_found_after_a_relist(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("deleted"), task("ended"), task("two", **ANY_POD)])
    team.create(pod("two", of="two"))
    for name in (TASK, "deleted", "ended", "two"):
        story.runs(team, name)

    operator.process.signal(signal.SIGSTOP)
    playing.remove(team, POD)
    team.delete("agenttask", "deleted")
    team.patch("agenttask", "ended", {"spec": {"state": "Ended"}})
    team.create([pod("second", of="two"), task("new")])
    compact(cluster)
    cluster.restart_apiserver()
    operator.process.signal(signal.SIGCONT)

    story.ends(team, "PodDeleted", within=SLOWLY)
    story.ends(team, "Ended", "ended", SLOWLY)
    story.ends(team, "SecondPod", "two", SLOWLY)
    story.runs(team, "new", SLOWLY)
    for name in (TASK, "deleted", "ended"):
        story.secret_gone(team, name, SLOWLY)
    story.secret_gone_or_empty(team, "two", SLOWLY)
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


def compact(cluster: ControlPlane) -> None:
    """Have etcd forget every revision but the newest, so that no watch can go on from where it was."""
    first = b64encode(b"/").decode()
    revision = _etcd(cluster, "range", {"key": first, "limit": "1"})["header"]["revision"]
    _etcd(cluster, "compaction", {"revision": revision, "physical": True})


def _etcd(cluster: ControlPlane, call: str, body: dict[str, Any]) -> dict[str, Any]:
    here = cluster.components
    context = ssl.create_default_context(cafile=str(here.etcd_authority.files.certificate))
    context.load_cert_chain(here.etcd_client.certificate, here.etcd_client.key)
    request = urllib.request.Request(  # noqa: S310 - https, ours
        f"{here.etcd_server}/v3/kv/{call}", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310 - as above
        found: dict[str, Any] = json.loads(answer.read())
    return found
