"""A machine within the machine: the namespaces that a node lives in, and its one network link.

All of a node (containers, mounts, routes, nftables rules) is inside; when its first process dies, the
kernel ends and removes it all. Outside there is one end of a virtual cable, which goes with the other end.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from devcluster.errors import CommandError, StartError
from devcluster.places import cache
from devcluster.process import Process
from devcluster.run import Run
from devcluster.waiting import wait_until

# What a kubelet sets for the whole machine: inside, each reads as it wants it, so it changes nothing.
KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Programs of the node write to fixed places below these; inside, they are empty and forgotten afterwards.
OWN_FOLDERS = ("/run", "/var/log", "/var/lib")
NAMESPACES = ("--mount", "--propagation=private", "--pid", "--net", "--mount-proc")
UNSHARE = ("unshare", *NAMESPACES, "--fork", "--kill-child", "--")
NODES = 250
PID_FILE = "machine.pid"


@dataclass(frozen=True, slots=True)
class Link:
    """The cable between this machine and a node, and the addresses behind it.

    Attributes:
        device: The name of its end here.
        host: The address here, where the API server listens.
        node: The node's address.
        pods: The range of its pods, which is routed from here too.
    """

    device: str
    host: str
    node: str
    pods: str

    @classmethod
    def number(cls, index: int) -> "Link":
        """The addresses of one of the nodes: 198.18.0.0/15 is for tests, in no network that is used."""
        return cls(f"agentid{index}", f"198.18.{index}.1", f"198.18.{index}.2", f"10.244.{index}.0/24")


class Machine:
    """The namespaces of one node.

    Attributes:
        link: Its network.
    """

    def __init__(self, run: Run) -> None:
        """Make the namespaces and connect them; needs root.

        Raises:
            StartError: The kernel or a missing right forbids it; the message says what it said.
        """
        self._run = run
        self._init = run.process("machine", self._init_command())
        self._init.start()
        marker = run.folder / "machine.ready"
        self._init.wait_ready(marker.exists, within=timedelta(seconds=15))
        self._pid = self._first_process()
        (run.folder / PID_FILE).write_text(f"{self._pid}")
        self.link = self._connect()

    def process(self, name: str, command: list[str]) -> Process:
        """A program inside, not yet started; it dies with the process that stands for it outside."""
        return self._run.process(name, [*_enter(self._pid), "setpriv", "--pdeathsig=KILL", *command])

    def call(self, *command: str) -> str:
        """Run a program inside to its end and return its output; CommandError when it fails."""
        return _call(*_enter(self._pid), *command)

    def _init_command(self) -> list[str]:
        """The first process inside: sets the place up, then only reaps who has lost its parent."""
        keep = cache()
        sysctls = self._run.folder / "sysctls"
        for name, value in KUBELET_SYSCTLS.items():
            (sysctls / name).parent.mkdir(parents=True, exist_ok=True)
            (sysctls / name).write_text(f"{value}\n")
        lines = [
            "set -e",
            *(f"mount --bind {sysctls / name} /proc/sys/{name}" for name in KUBELET_SYSCTLS),
            f"exec 9<{keep}",
            *(f"mount -t tmpfs -o mode=0755 agentid {folder}" for folder in OWN_FOLDERS),
            # Where the cache itself is below one of these, it is brought back.
            f"[ -d {self._run.folder} ] || (mkdir -p {keep} && mount --bind /proc/self/fd/9 {keep})",
            "mkdir /run/lock",
            "ip link set lo up",
            f"touch {self._run.folder}/machine.ready",
            "set +e; trap '' TERM INT HUP",
            "while :; do sleep 3600 & wait $!; done",
        ]
        return [*UNSHARE, "sh", "-c", "\n".join(lines)]

    def _first_process(self) -> int:
        """The process id, seen from here, of the first process inside."""
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        found = wait_until("the node's first process is there", lambda: children.read_text().split())
        return int(found[0])

    def _connect(self) -> Link:
        """Lay the cable."""
        link = self._first_free_link()
        _call(*f"ip address add {link.host}/30 dev {link.device}".split())
        _call(*f"ip link set {link.device} up".split())
        self.call(*f"ip address add {link.node}/30 dev eth0".split())
        self.call(*["ip", "link", "set", "eth0", "up"])
        self.call(*f"ip route add default via {link.host}".split())
        self.call("sysctl", "-qw", "net.ipv4.ip_forward=1")
        _call(*f"ip route add {link.pods} via {link.node}".split())
        return link

    def _first_free_link(self) -> Link:
        """The cable with the lowest number that no other node has: the kernel gives each name once."""
        for link in map(Link.number, range(NODES)):
            try:
                _call(*f"ip link add {link.device} type veth peer name eth0 netns {self._pid}".split())
            except CommandError as refusal:
                if "File exists" not in refusal.stderr:
                    raise
            else:
                return link
        raise StartError(f"this machine has {NODES} nodes already")


def call_in(folder: Path, *command: str) -> str:
    """The same as `Machine.call`, in the machine of a run that somebody else began.

    Args:
        folder: The run's folder.
        command: What to run.
    """
    return _call(*_enter(int((folder / PID_FILE).read_text())), *command)


def obstacle() -> str | None:
    """Why this machine can't have a node, or None if it can."""
    if sys.platform != "linux":
        return "a node takes Linux"
    if os.geteuid() != 0:
        return "a node takes root"
    if shutil.which("unshare") is None:
        return "a node takes Debian's util-linux"
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"a node takes namespaces of its own: {done.stderr.strip()}" if done.returncode else None


def _enter(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "--mount", "--pid", "--net", "--"]


def _call(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(list(command), done.returncode, done.stderr)
    return done.stdout
