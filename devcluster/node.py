"""A real node on this machine: containerd, runc, CNI, kubelet and kube-proxy, in namespaces of their own.

Services are reached by their address; there is no cluster DNS.
"""

import json
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from devcluster import build, debian, images
from devcluster.components import Components
from devcluster.errors import CommandError, PackagesMissingError
from devcluster.kubectl import Kubectl
from devcluster.machine import PID_FILE, Machine, call_in, obstacle
from devcluster.run import Run

NAME = "node-1"
DEBIAN = ("iproute2", "nftables", "procps", "util-linux")
# A tenth of the default: a Secret that was emptied is empty in the running pod this soon.
SYNC_PERIOD = timedelta(seconds=10)
SOCKET = "/run/containerd/containerd.sock"


class Node:
    """One node of a cluster.

    Attributes:
        containerd: The container runtime, to be killed and started again by tests of faults.
        kubelet: The kubelet, likewise: killed, the node becomes unreachable.
        proxy: kube-proxy, likewise.
    """

    def __init__(self, run: Run, machine: Machine, components: Components) -> None:
        """A node that is not running yet; the machine's end of the network is there."""
        self._run = run
        self._machine = machine
        self._components = components
        self._programs = build.ensure_groups(["node"])
        self._tools = build.bin_folder("node")
        self._folder = run.folder / NAME
        self._folder.mkdir()
        self.containerd = machine.process("containerd", self._containerd_command())
        self.kubelet = machine.process("kubelet", self._kubelet_command())
        self.proxy = machine.process("kube-proxy", self._proxy_command())

    @staticmethod
    def prepare() -> None:
        """Build and install what a node needs, which takes minutes the first time.

        Raises:
            ToolBuildError: A program could not be built.
            PackagesMissingError: Debian packages are missing, or what a node takes of the machine.
        """
        if why := obstacle():
            raise PackagesMissingError(
                f"{why}; without a node there is a control plane, on which no pod runs"
            )
        debian.ensure(*DEBIAN, why="the node")
        build.ensure_groups(["node"])
        images.busybox()
        images.python()

    def start(self, kubectl: Kubectl) -> None:
        """Start it, hand it the images and wait until the API server calls it Ready.

        Raises:
            StartError: A program ended or was not ready in time; the message holds the end of its log.
        """
        self.containerd.start()
        self.containerd.wait_ready(self._containerd_answers)
        self.load_image(images.busybox())
        self.kubelet.start()
        self.proxy.start()
        self.load_image(images.python())
        self.kubelet.wait_ready(lambda: _is_ready(kubectl.find("node", NAME)))
        self.proxy.wait_ready(lambda: "10.96.0.1" in self._machine.call("nft", "list", "ruleset"))

    def load_image(self, archive: Path) -> None:
        """Import the images of a docker-archive; pods use them with `imagePullPolicy: Never`."""
        load_image(self._run.folder, archive)

    def _containerd_answers(self) -> bool:
        try:
            _ctr(self._run.folder, "version")
        except CommandError:
            return False
        return True

    def _containerd_command(self) -> list[str]:
        """containerd, with everything it writes in the run's folder or in the machine's own /run."""
        networks = self._folder / "cni"
        networks.mkdir()
        (networks / "10-agentid.conflist").write_text(json.dumps(self._pod_network()))
        config = self._folder / "containerd.toml"
        config.write_text(f"""
version = 3
root = "{self._folder}/containerd"
state = "/run/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{self._folder}/opt"
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{images.PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true  # a machine may lack CAP_SYS_RESOURCE
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{self._tools}"]
conf_dir = "{networks}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{self._programs["runc"]}"
""")
        # containerd finds its shim on PATH.
        path = f"PATH={self._tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["env", path, str(self._programs["containerd"]), f"--config={config}"]

    def _pod_network(self) -> dict[str, Any]:
        """A cable for each pod and no bridge: all that passes between pods is routed, so Services work."""
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": self._machine.link.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self._folder / "addresses"),
        }
        plugins = [{"type": "ptp", "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
        return {"cniVersion": "1.0.0", "name": "agentid", "plugins": plugins}

    def _kubelet_command(self) -> list[str]:
        link = self._machine.link
        authority = self._components.authority
        identity = authority.client(f"system:node:{NAME}", ["system:nodes"])
        server = authority.server("kubelet", [NAME, link.node])
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": link.node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority.files.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(server.certificate),
            "tlsPrivateKeyFile": str(server.key),
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "syncFrequency": f"{SYNC_PERIOD.total_seconds():.0f}s",
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "podLogsDir": str(self._folder / "logs"),
            "volumePluginDir": str(self._folder / "volume-plugins"),
            # Images can't be pulled again, and a nearly full developer's disk is no reason to evict.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        }
        path = self._folder / "kubelet.json"
        path.write_text(json.dumps(config))
        return [
            str(self._programs["kubelet"]),
            f"--config={path}",
            f"--kubeconfig={self._components.kubeconfig('kubelet', identity)}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--hostname-override={NAME}",
            f"--node-ip={link.node}",
        ]

    def _proxy_command(self) -> list[str]:
        identity = self._components.authority.client("system:kube-proxy")
        return [
            str(self._programs["kube-proxy"]),
            f"--kubeconfig={self._components.kubeconfig('kube-proxy', identity)}",
            f"--hostname-override={NAME}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={self._machine.link.pods}",
            # These would be set for the whole machine, not for the node.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ]


def is_in(run: Run) -> bool:
    """Does a node belong to this run, whoever began it?"""
    return (run.folder / PID_FILE).exists()


def load_image(run_folder: Path, archive: Path) -> None:
    """Import the images of a docker-archive into the node of a run, whoever began it."""
    _ctr(run_folder, "image", "import", "--local", str(archive))


def signal_container(run_folder: Path, container: str, number: signal.Signals) -> None:
    """Send the first process of a container a signal, as somebody who is root on the node could.

    Args:
        run_folder: The folder of the run that the node belongs to.
        container: The container's id as a pod's status gives it, `containerd://…`.
        number: The signal, such as SIGKILL.
    """
    identifier = container.removeprefix("containerd://")
    _ctr(run_folder, "task", "kill", f"--signal={number.name}", identifier)


def _ctr(run_folder: Path, *arguments: str) -> str:
    ctr = str(build.ensure(["ctr"])["ctr"])
    return call_in(run_folder, ctr, f"--address={SOCKET}", "--namespace=k8s.io", *arguments)


def _is_ready(node: dict[str, Any] | None) -> bool:
    """Does the API server call it Ready?"""
    conditions = node["status"].get("conditions", []) if node else []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
