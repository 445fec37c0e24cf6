"""Renewal in a running pod: files are swapped in place, and mutual TLS between two pods never breaks."""

from datetime import timedelta
from pathlib import Path

import pytest

from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.e2e import inside
from tests.e2e.objects import PYTHON, container, pod, task_of_pod

PROGRAM = Path(__file__).with_name("peer.py")
SHORT = {"credential": {"ttlSeconds": 30}}
# Long enough for a kubelet to bring a renewed one before the old one's end.
RENEWED = {"credential": {"ttlSeconds": 60}}
TWO_LIVES = timedelta(seconds=240)


def peer_pod(name: str, *arguments: str) -> dict[str, object]:
    program = container(
        *("python3", "-u", "/peer/peer.py", *arguments),
        image=PYTHON,
        volumeMounts=[{"name": "peer", "mountPath": "/peer"}],
    )
    return pod(name, program, volumes=[{"name": "peer", "configMap": {"name": "peer"}}])


def identity(here: Kubectl, task: str) -> str:
    """The SPIFFE ID that a task will have."""
    uid = here.get("agenttask", task)["metadata"]["uid"]
    return f"spiffe://demo.local/ns/{here.namespace}/agent/refund-agent/task/{uid}"


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """A pod with a short credential, and two that call each other, all running."""
    program = {"peer.py": PROGRAM.read_text()}
    together.create(
        [
            task_of_pod("short", **SHORT),
            pod("short"),
            task_of_pod("server", **RENEWED),
            task_of_pod("client", **RENEWED),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "peer"}, "data": program},
        ]
    )
    together.create(peer_pod("server", "serve", identity(together, "client")))
    inside.running(together, "server", "short")
    address = together.get("pod", "server")["status"]["podIP"]
    together.create(peer_pod("client", "call", identity(together, "server"), address))
    inside.running(together, "client")
    return together


def test_files_are_swapped_in_the_running_pod(place: Kubectl) -> None:
    first = inside.serial(place, "short")

    def both() -> tuple[str, list[str]]:
        mounted = inside.serial(place, "short")
        return mounted, story.serials(place.get("agenttask", "short"))

    mounted, _ = wait_until(
        "the mounted certificate is a later one, and the status' newest",
        both,
        lambda seen: seen[0] != first and seen[0] == seen[1][-1],
        within=inside.SYNCED,
        every=inside.PAUSE,
    )

    assert mounted
    task = place.get("agenttask", "short")
    assert task["status"]["credentialGeneration"] >= 2
    assert not any(inside.restarts(place.get("pod", "short")))
    reasons = [each.reason for each in story.told(place, task, at_least=2)]
    assert reasons[:2] == ["CredentialIssued", "CredentialRenewed"]
    assert set(reasons[1:]) == {"CredentialRenewed"}


def test_mutual_tls_goes_on_across_the_renewal_of_both_sides(place: Kubectl) -> None:
    def calls() -> list[list[str]]:
        return [line.split() for line in place("logs", "client").splitlines()]

    def answered() -> tuple[set[str], set[str]]:
        good = [each for each in calls() if each[0] == "answered"]
        return {each[1] for each in good}, {each[2] for each in good}

    clients, servers = wait_until(
        "the client was answered with two certificates of each side",
        answered,
        lambda seen: len(seen[0]) > 1 and len(seen[1]) > 1,
        within=TWO_LIVES,
        every=inside.PAUSE,
    )

    said = calls()
    began = next(number for number, line in enumerate(said) if line[0] == "answered")
    assert [line for line in said[began:] if line[0] != "answered"] == []
    assert clients.isdisjoint(servers)
