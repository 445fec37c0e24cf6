"""A Secret that has the reserved name already, planted or a predecessor's; a reused name inherits nothing."""

import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from agentid.cluster.connection import Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.secrets import SecretManifest, Secrets
from agentid.controller.secret_owners import owners_of
from agentid.pki.files import BUNDLE_FILE, empty_files
from agentid.pki.spiffe_id import TrustDomain
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, TRUST_DOMAIN, pod, task
from tests.cluster.unguarded import once_let, without
from tests.laying_out import clear_workloads, make_agent

PLANTED = b64encode(b"planted").decode()
PLANTS: dict[str, dict[str, Any]] = {
    "opaque": {"data": {"tls.key": PLANTED}},
    "frozen": {
        "type": "kubernetes.io/tls",
        "data": {"tls.key": PLANTED, "tls.crt": PLANTED},
        "immutable": True,
    },
    "token": {"data": {"tls.key": PLANTED}, "type": "example.com/other"},
}
AT_LAST = timedelta(seconds=45)


@pytest.fixture(scope="module")
def planted(cluster: ControlPlane, node: str) -> Iterator[Kubectl]:
    """A namespace in which a Secret of each kind was there before agentid was."""
    assert node
    admin = cluster.kubectl
    admin.create({"kind": "Namespace", "metadata": {"name": "planted"}})
    here = admin.in_namespace("planted")
    make_agent(here)
    with without(admin, "reserved-secrets.agentid.dev"):
        for kind, plant in PLANTS.items():
            manifest = {"kind": "Secret", "metadata": {"name": f"agentid-{kind}"}, **plant}
            once_let(partial(here.create, manifest))
    yield here
    clear_workloads(here)
    admin.delete("namespace", "planted", "--wait=false")


def test_planted_secret_is_neither_used_nor_filled_and_the_task_goes_on_without_it(
    planted: Kubectl, operator: OperatorProcess
) -> None:
    assert operator.ready()
    for kind in PLANTS:
        planted.create([task(kind, **ANY_POD), pod(kind, of=kind)])
    for kind in PLANTS:
        waiting = story.stands(planted, "SecretNameTaken", kind, timedelta(seconds=30))
        assert story.serials(waiting) == []
        assert f"Secret agentid-{kind} exists and is not this task's" in _message(waiting)
        assert story.conditions(waiting)["Stalled"]["reason"] == "SecretNameTaken"
        assert set(planted.get("secret", f"agentid-{kind}")["data"].values()) == {PLANTED}
        planted.delete("secret", f"agentid-{kind}")
    for kind in PLANTS:
        running = story.runs(planted, kind, AT_LAST)
        told = [each.reason for each in story.told(planted, running, at_least=2)]
        assert "SecretNameTaken" in told
        assert "Stalled" not in story.conditions(running)


def _message(waiting: Object) -> str:
    return str(story.conditions(waiting)["Finished"]["message"])


async def test_what_is_only_tried_tells_the_version_of_ones_own_secret_and_changes_nothing(
    team: Kubectl, operator: OperatorProcess
) -> None:
    team.create(task())
    uid = story.runs(team)["metadata"]["uid"]
    there = team.get("secret", f"agentid-{TASK}")
    files = {**empty_files(TrustDomain(TRUST_DOMAIN)), BUNDLE_FILE: b"tried"}
    own = SecretManifest(team.namespace, f"agentid-{TASK}", uid, owners_of(TASK, uid, ()), files)
    async with Connection.open(operator.kubeconfig, time.monotonic) as connection:
        secrets = Secrets(connection, _never_writes)

        found = await secrets.own_version(own)

        assert found is not None
        assert (found.uid, found.resource_version) == (
            there["metadata"]["uid"],
            there["metadata"]["resourceVersion"],
        )
        assert team.get("secret", f"agentid-{TASK}") == there
        assert (
            await secrets.own_version(replace(own, task_uid="22222222-2222-4222-8222-222222222222")) is None
        )
        with pytest.raises(NotFoundError):
            await secrets.own_version(replace(own, name="agentid-nobodys"))


def _never_writes() -> float:
    raise AssertionError("it is only tried")


def test_reused_name_inherits_nothing(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    first = story.runs(team)
    first_key = story.public_key(team.get("secret", f"agentid-{TASK}"))
    team.delete("agenttask", TASK)
    playing.remove(team, POD)
    story.secret_gone(team)

    team.create([task(**ANY_POD), pod("successor")])

    second = story.runs(team)
    secret = team.get("secret", f"agentid-{TASK}")
    assert second["status"]["spiffeID"] != first["status"]["spiffeID"]
    assert second["metadata"]["uid"] in second["status"]["spiffeID"]
    assert second["status"]["credentialGeneration"] == 1
    assert set(story.serials(first)).isdisjoint(story.serials(second))
    assert story.public_key(secret) != first_key
    assert secret["metadata"]["labels"]["agentid.dev/task-uid"] == second["metadata"]["uid"]


def test_task_made_anew_under_its_name_right_away_gets_its_own_credential(team: Kubectl) -> None:
    team.create(task())
    first = story.runs(team)

    team("replace", "--force", "--filename=-", stdin=playing.as_text(task()))

    second = team.wait_for(
        "agenttask",
        TASK,
        lambda seen: (
            seen["metadata"]["uid"] != first["metadata"]["uid"] and story.standing(seen) == "Running"
        ),
    )
    story.runs(team)
    secret = team.get("secret", f"agentid-{TASK}")
    assert secret["metadata"]["labels"]["agentid.dev/task-uid"] == second["metadata"]["uid"]
    assert set(story.serials(first)).isdisjoint(story.serials(second))


def test_predecessors_secret_is_waited_for_and_never_refilled(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    first = story.runs(team)
    playing.start(team, POD)
    team.delete("agenttask", TASK)
    emptied = story.secret_emptied(team)
    playing.leave(team, POD)

    team.create([task(**ANY_POD), pod("successor")])
    playing.scheduled(team, "successor")
    settled = story.settled(team)
    assert story.standing(settled) in {"AwaitingPod", "SecretNameTaken"}
    still = team.get("secret", f"agentid-{TASK}")
    assert still["metadata"]["uid"] == emptied["metadata"]["uid"]
    assert story.is_empty(still)
    playing.remove(team, POD)

    second = story.runs(team, within=AT_LAST)
    secret = team.get("secret", f"agentid-{TASK}")
    assert secret["metadata"]["uid"] != emptied["metadata"]["uid"]
    assert second["status"]["boundPod"]["name"] == "successor"
    assert set(story.serials(first)).isdisjoint(story.serials(second))


def test_predecessors_secret_is_not_taken_over_after_a_restart(
    team: Kubectl, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod()])
    first = story.runs(team)
    playing.start(team, POD)
    operator.terminate()
    team.delete("agenttask", TASK)
    team.create(task())

    operator.start()

    second = story.stands(team, "PodMismatch")
    story.secret_gone_or_empty(team)
    assert story.serials(second) == []
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    playing.remove(team, POD)
    running = story.runs(team, within=AT_LAST)
    secret = team.get("secret", f"agentid-{TASK}")
    assert secret["metadata"]["labels"]["agentid.dev/task-uid"] == running["metadata"]["uid"]
