"""The throw-away node itself, as other tests rely on it."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devcluster import images, reaping
from devcluster.cluster import Cluster
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.places import CHECKOUT
from devcluster.run import runs_folder
from devcluster.waiting import wait_until

OWNER = """
import signal
from devcluster.controlplane import ControlPlane
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
            "command": ["sh", "-c", "trap '' TERM; while :; do sleep 77777; done"],
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
    if not isinstance(cluster, ControlPlane):
        pytest.skip("AGENTID_KUBECONFIG names a cluster that was not made here")
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


def machine_state() -> set[str]:
    """All on this machine that a node could leave behind, or change."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    sysctls = ("vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops")
    folders = (Path("/run"), Path("/var/lib"), Path("/var/log"))
    return {
        *(str(path) for path in Path("/sys/fs/cgroup").glob("**/k8s.io/*/")),
        *(str(path) for folder in folders for path in folder.iterdir()),
        *Path("/proc/self/mounts").read_text().splitlines(),
        *lines("ip", "-brief", "link"),
        *lines("ip", "route"),
        *lines("nft", "list", "ruleset"),
        *lines("sysctl", *sysctls),
        *(
            f"process {path.parent.name}"
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if runs_in_pod(path)
        ),
    }


def runs_in_pod(command_line: Path) -> bool:
    """Is it the command of the pod that the owner starts?"""
    try:
        return b"sleep\x0077777" in command_line.read_bytes()
    except OSError:  # gone since
        return False


@pytest.fixture
def owner() -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    owners: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        started = subprocess.Popen(
            [sys.executable, "-c", OWNER], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        owners.append(started)
        assert started.stdout is not None
        return started, started.stdout.readline().strip()

    yield start
    for started in owners:
        started.kill()
        started.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_a_node_with_running_pods_is_left_when_its_owner_is_ended_by(
    owner: Callable[[], tuple[subprocess.Popen[str], str]], number: signal.Signals
) -> None:
    before = machine_state()
    started, run_id = owner()
    made = machine_state() - before
    for kind in ("process ", "/sys/fs/cgroup/", "agentid", "10.244."):
        assert any(each.startswith(kind) for each in made), made
    assert [each for each in made if each.startswith(("kernel.", "vm.", "/run", "/var"))] == []

    started.send_signal(number)
    started.wait(60)

    wait_until(
        "nothing of the run is left",
        lambda: (reaping.processes(run_id), (runs_folder() / run_id).exists()),
        lambda seen: seen == ([], False),
    )
    assert made & machine_state() == set()
