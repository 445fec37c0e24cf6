"""The throw-away node itself, as other tests rely on it."""

import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from devcluster import images, reaping
from devcluster.cluster import Cluster
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.places import CHECKOUT
from devcluster.run import runs_folder
from devcluster.waiting import wait_until

pytestmark = pytest.mark.node_of_ours

OWNER = """
import signal, sys
from devcluster.controlplane import ControlPlane
from tests.signals import as_in_a_terminal
as_in_a_terminal()
with ControlPlane.start(node=True) as cluster:
    default = cluster.kubectl.in_namespace("default")
    default.create({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "long"},
        "spec": {"containers": [{
            "name": "main",
            "image": "localhost/agentid-busybox:dev",
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", "trap '' TERM; while :; do sleep " + sys.argv[1] + "; done"],
        }]},
    })
    default.wait_for("pod", "long", lambda pod: pod["status"]["phase"] == "Running")
    print(cluster.run.id, flush=True)
    signal.pause()
"""
API_FROM_POD = """
import ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
request = urllib.request.Request("https://10.96.0.1/version")
request.add_header("Authorization", "Bearer " + open(folder + "token").read())
context = ssl.create_default_context(cafile=folder + "ca.crt")
print(urllib.request.urlopen(request, context=context, timeout=10).status)
"""


def pod(name: str, image: str, *command: str, **security: object) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": list(command),
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]},
    }


def output(kubectl: Kubectl, name: str) -> str:
    finished = kubectl.wait_for(
        "pod",
        name,
        lambda seen: seen["status"]["phase"] in ("Succeeded", "Failed"),
        timeout=timedelta(seconds=60),
        message=f"pod {name} finishes",
    )
    logs = kubectl("logs", name)
    assert finished["status"]["phase"] == "Succeeded", logs
    return logs


@pytest.fixture
def own(cluster: Cluster) -> ControlPlane:
    assert isinstance(cluster, ControlPlane)
    return cluster


@pytest.mark.parametrize("image", [images.BUSYBOX, images.PYTHON])
@pytest.mark.parametrize("user", [0, 1000])
def test_images_run_as_any_user_with_a_read_only_root(
    own: ControlPlane, namespace: str, image: str, user: int
) -> None:
    kubectl = own.kubectl.in_namespace(namespace)
    kubectl.create(pod("who", image, "id", "-u", runAsUser=user, readOnlyRootFilesystem=True))

    assert output(kubectl, "who").strip() == str(user)


def test_a_pod_reaches_the_api_server_and_a_service(own: ControlPlane, namespace: str) -> None:
    kubectl = own.kubectl.in_namespace(namespace)
    serve = "mkdir /tmp/w && echo hello > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"
    kubectl.create(pod("web", images.BUSYBOX, "sh", "-c", serve, runAsUser=1000))
    service = kubectl.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
    )
    web = kubectl.wait_for("pod", "web", lambda seen: seen["status"]["phase"] == "Running")
    address = service["spec"]["clusterIP"]
    fetch = f"until wget -q -O - http://{address}; do sleep 0.2; done"

    kubectl.create(pod("client", images.BUSYBOX, "sh", "-c", fetch))
    kubectl.create(pod("asker", images.PYTHON, "python3", "-c", API_FROM_POD))

    assert output(kubectl, "client") == "hello\n"
    assert output(kubectl, "asker") == "200\n"
    from_here = urllib.request.urlopen(f"http://{web['status']['podIP']}:8080", timeout=5)
    assert from_here.read() == b"hello\n"
    assert kubectl("exec", "web", "--", "id", "-u") == "1000\n"


def test_an_emptied_secret_is_empty_in_the_running_pod(own: ControlPlane, namespace: str) -> None:
    kubectl = own.kubectl.in_namespace(namespace)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "value"}}
    kubectl.create(secret)
    reader = pod("reader", images.BUSYBOX, "sleep", "300")
    reader["spec"]["volumes"] = [{"name": "s", "secret": {"secretName": "s"}}]
    reader["spec"]["containers"][0]["volumeMounts"] = [{"name": "s", "mountPath": "/s"}]
    kubectl.create(reader)
    kubectl.wait_for("pod", "reader", lambda seen: seen["status"]["phase"] == "Running")
    assert kubectl("exec", "reader", "--", "cat", "/s/key") == "value"

    kubectl.replace(secret | {"stringData": {"key": ""}})

    wait_until(
        "the mounted file is empty",
        lambda: kubectl("exec", "reader", "--", "cat", "/s/key"),
        lambda seen: seen == "",
        within=timedelta(seconds=45),
        every=timedelta(seconds=1),
    )


def lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def what_a_node_leaves_alone() -> set[str]:
    """All outside of its own namespaces that a node could change, as it is on this machine now."""
    folders = (Path("/run"), Path("/var/lib"), Path("/var/log"))
    return {
        *(str(path) for folder in folders for path in folder.iterdir()),
        *Path("/proc/self/mounts").read_text().splitlines(),
        *lines("nft", "list", "ruleset"),
        *lines("sysctl", "vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops"),
    }


@dataclass(frozen=True)
class Traces:
    """Where a node with a running pod can be seen from outside."""

    device: str
    pods: str
    containers: list[str]
    seconds: str

    @classmethod
    def of(cls, run_id: str, seconds: str) -> "Traces":
        folder = runs_folder() / run_id
        server = yaml.safe_load((folder / "admin.kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
        index = urlsplit(server).hostname.split(".")[2]
        containers = (folder / "node-1/containerd/io.containerd.runtime.v2.task/k8s.io").iterdir()
        return cls(f"agentid{index}", f"10.244.{index}.0/24", [path.name for path in containers], seconds)

    def seen(self) -> dict[str, bool]:
        """Each of them, and whether it is there now."""
        return {
            "device": any(line.split("@")[0] == self.device for line in lines("ip", "-brief", "link")),
            "route": any(line.startswith(self.pods) for line in lines("ip", "route")),
            "control groups": any(
                each.name in self.containers for each in Path("/sys/fs/cgroup").glob("**/k8s.io/*")
            ),
            "process": any(
                f"sleep {self.seconds}" in line for line in lines("ps", "-eo", "args") if "sh -c" in line
            ),
        }


@pytest.fixture
def owner() -> Iterator[Callable[[str], tuple[subprocess.Popen[str], str]]]:
    owners: list[subprocess.Popen[str]] = []

    def start(seconds: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", OWNER, seconds]
        started = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        owners.append(started)
        assert started.stdout is not None
        return started, started.stdout.readline().strip()

    yield start
    for started in owners:
        started.kill()
        started.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_a_node_with_running_pods_is_left_when_its_owner_is_ended_by(
    owner: Callable[[str], tuple[subprocess.Popen[str], str]], number: signal.Signals
) -> None:
    before = what_a_node_leaves_alone()
    seconds = str(10**6 + secrets.randbelow(10**6))
    started, run_id = owner(seconds)
    traces = Traces.of(run_id, seconds)
    assert set(traces.seen().values()) == {True}, traces.seen()
    assert what_a_node_leaves_alone() - before == set()

    started.send_signal(number)
    started.wait(60)

    wait_until(
        "nothing of the run is left",
        lambda: (reaping.processes(run_id), (runs_folder() / run_id).exists()),
        lambda seen: seen == ([], False),
    )
    assert set(traces.seen().values()) == {False}, traces.seen()
    assert what_a_node_leaves_alone() - before == set()
