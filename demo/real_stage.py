"""Pods on a real node: kubelet, containers, mounted files."""

from typing import Any, Final

from agentid.api.names import CREDENTIAL_FOLDER, TASK_LABEL
from demo.stage import NAMESPACE, POD_START
from devcluster.controlplane import ControlPlane
from devcluster.gate_pod import GatePod
from devcluster.waiting import wait_until

_STOLEN: Final = "/stolen"
_PORT: Final = 8443


class RealStage:
    """Pods on a real node (see `Stage`)."""

    def __init__(self, cluster: ControlPlane, gate: GatePod) -> None:
        self._gate = gate
        self._kubectl = cluster.kubectl.in_namespace(NAMESPACE)

    def orders_api(self, pod: str = "orders-api") -> str:
        """Wait until it runs and listens; its address is the pod's."""
        self.up(pod)
        address = self._kubectl.get("pod", pod)["status"]["podIP"]
        wait_until(
            f"the API of {pod} listens",
            lambda: self._kubectl("logs", pod),
            lambda log: "listening" in log,
            within=POD_START,
        )
        return f"{address}:{_PORT}"

    def decision_point(self) -> dict[str, Any]:
        """Wait for its pod."""
        self._gate.ready()
        self._gate.trusted_in(NAMESPACE)
        return self._gate.known_by()

    def scheduled(self, task: str) -> str:
        """Wait for the scheduler."""
        (pod,) = wait_until(
            f"the pod of {task} has its node",
            lambda: self._kubectl.list("pods", f"--selector={TASK_LABEL}={task}"),
            lambda pods: len(pods) == 1 and "nodeName" in pods[0]["spec"],
        )
        return str(pod["metadata"]["name"])

    def job(self, name: str) -> str:
        """Wait for the Job's completion; what it printed is in its pod's log."""
        self._kubectl.wait_for(
            "job",
            name,
            lambda job: job.get("status", {}).get("completionTime"),
            POD_START,
            f"Job {name} is complete",
        )
        return self._kubectl("logs", f"job/{name}").strip()

    def up(self, pod: str) -> None:
        """Wait for the kubelet."""
        self._kubectl.wait_for(
            "pod", pod, lambda seen: seen["status"].get("phase") == "Running", POD_START, f"pod {pod} runs"
        )

    def steal(self, pod: str) -> None:
        """Copy it with a shell in the pod."""
        self._in(pod, f"cp -L {CREDENTIAL_FOLDER}/* {_STOLEN}/")

    def call_with_copy(self, pod: str, address: str) -> str:
        """Call from the pod; a refusal is an answer too."""
        return self._in(pod, f"python3 /agents/refund_agent.py {address} {_STOLEN} || true")

    def key_size(self, pod: str) -> int:
        """Ask in the pod."""
        return int(self._in(pod, f"wc -c < {CREDENTIAL_FOLDER}/tls.key"))

    def _in(self, pod: str, command: str) -> str:
        return self._kubectl("exec", pod, "--", "sh", "-c", command).strip()
