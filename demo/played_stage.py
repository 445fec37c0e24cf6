"""No node: the pods' status is set by the demo, their programs run here with what the Secret holds."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from agentid.api.names import TASK_LABEL, secret_name
from demo.stage import ENFORCEMENT_POINTS, NAMESPACE, POD_START, PROGRAMS
from devcluster.controlplane import ControlPlane
from devcluster.gate_process import AUDIENCE, GateProcess
from devcluster.install import GATE_ACCOUNT, operator_kubeconfig
from devcluster.ports import free_ports
from devcluster.process import Process
from devcluster.waiting import wait_until

_NODE: Final = "played"


class PlayedStage:
    """Pods that are objects only (see `Stage`)."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._run = cluster.run
        self._kubectl = cluster.kubectl.in_namespace(NAMESPACE)
        self._folder = Path(tempfile.mkdtemp(dir=cluster.run.folder))
        self._gate: dict[str, str] = {}
        cluster.kubectl.create({"kind": "Node", "metadata": {"name": _NODE}})

    def orders_api(self, pod: str = "orders-api") -> str:
        """Start it on this machine."""
        self.up(pod)
        (port,) = free_ports(1)
        command = [sys.executable, "-u", str(PROGRAMS / "orders_api.py")]
        (container,) = self._kubectl.get("pod", pod)["spec"]["containers"]
        asks = self._gate if any(each["name"] == "GATE" for each in container.get("env", [])) else {}
        settings = {"SPIFFE_CREDENTIAL_FOLDER": str(self._mounted(pod)), "PORT": str(port), **asks}
        api: Process = self._run.process(pod, command, settings)
        api.start()
        api.wait_ready(lambda: "listening" in api.log.read_text(), POD_START)
        return f"127.0.0.1:{port}"

    def decision_point(self) -> dict[str, Any]:
        """Start it on this machine; who asks it is started here too, with a token of its account."""
        kubeconfig = operator_kubeconfig(self._cluster, "gate", GATE_ACCOUNT)
        points = json.dumps(ENFORCEMENT_POINTS)
        gate = GateProcess(self._cluster, kubeconfig, {"AGENTID_GATE_ENFORCEMENT_POINTS": points})
        gate.start()
        token = self._folder / "token"
        token.touch(mode=0o600)
        token.write_text(self._kubectl("create", "token", "orders-api", f"--audience={AUDIENCE}"))
        self._gate = {"GATE": f"http://127.0.0.1:{gate.http_port}", "GATE_TOKEN_FILE": str(token)}
        return {}

    def scheduled(self, task: str) -> str:
        """Bind it to a node that is a name only."""
        pods = wait_until(
            f"{task} has its pod", lambda: self._kubectl.list("pods", f"--selector={TASK_LABEL}={task}")
        )
        pod = str(pods[0]["metadata"]["name"])
        if "nodeName" not in pods[0]["spec"]:
            self._bind(pod)
        return pod

    def job(self, name: str) -> str:
        """Run its program here between the pod's start and its end."""
        pod = self.scheduled(name)
        self._set_status(pod, {"phase": "Running"})
        address = self._kubectl.get("configmap", "where")["data"]["ORDERS_API"]
        said = _call(address, self._mounted(name))
        self._set_status(pod, {"phase": "Succeeded"})
        return said

    def up(self, pod: str) -> None:
        """Bind it and call it running."""
        self._bind(pod)
        self._set_status(pod, {"phase": "Running"})

    def steal(self, pod: str) -> None:
        """Copy what would be mounted."""
        self._mounted(pod).rename(self._stolen(pod))

    def call_with_copy(self, pod: str, address: str) -> str:
        """Call from this machine."""
        return _call(address, self._stolen(pod))

    def key_size(self, pod: str) -> int:
        """Look at what would be mounted; after the wipe the Secret may be gone as well."""
        return (self._mounted(pod) / "tls.key").stat().st_size

    def _bind(self, pod: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod},
            "target": {"apiVersion": "v1", "kind": "Node", "name": _NODE},
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/binding"
        self._kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(binding))

    def _mounted(self, task: str) -> Path:
        """Write the Secret's values to a folder, as a kubelet would."""
        secret = self._kubectl.wait_for("secret", secret_name(task), lambda seen: seen["data"])
        folder = self._folder / task
        folder.mkdir(exist_ok=True, mode=0o700)
        for name, value in secret["data"].items():
            (folder / name).write_bytes(base64.b64decode(value or ""))
        return folder

    def _stolen(self, pod: str) -> Path:
        return self._folder / f"{pod}-stolen"

    def _set_status(self, pod: str, status: dict[str, str]) -> None:
        self._kubectl.patch("pod", pod, {"status": status}, "--subresource=status")


def _call(address: str, folder: Path) -> str:
    program = [sys.executable, str(PROGRAMS / "refund_agent.py"), address, str(folder)]
    return subprocess.run(program, capture_output=True, text=True, check=False).stdout.strip()
