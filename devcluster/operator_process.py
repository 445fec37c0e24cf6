"""The operator as a process on this machine, under its service account's token: never as administrator."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from devcluster import reaping
from devcluster.cluster import Cluster
from devcluster.components import LOOPBACK
from devcluster.errors import StartError
from devcluster.install import NAMESPACE, TRUST_DOMAIN, operator_kubeconfig
from devcluster.lines import end_of_lines
from devcluster.operator_answers import parsed, sampled
from devcluster.ports import free_ports
from devcluster.process import Process

FOREIGN = ("AGENTID_", "KUBE")
STARTUP = timedelta(seconds=60)
COMMAND = (sys.executable, "-m", "agentid", "operator")


class OperatorProcess:
    """One operator, which can be started, stopped, killed and started again.

    Attributes:
        port: Where it serves `/metrics`, `/healthz` and `/readyz`, on loopback.
        kubeconfig: The kubeconfig that it uses.
    """

    def __init__(
        self, cluster: Cluster, name: str = "operator", environment: Mapping[str, str] | None = None
    ) -> None:
        """An operator that is not running yet.

        Args:
            cluster: Its cluster, with the chart installed.
            name: What to call its log and its kubeconfig, when there are several.
            environment: Settings (`AGENTID_…`) that differ from those of a demo.
        """
        (self.port,) = free_ports(1)
        self.kubeconfig: Path = operator_kubeconfig(cluster, name)
        self._cluster = cluster
        self._name = name
        self._environment = {
            "AGENTID_TRUST_DOMAIN": TRUST_DOMAIN,
            "AGENTID_NAMESPACE": NAMESPACE,
            "AGENTID_INSTANCE": name,
            "AGENTID_KUBECONFIG": str(self.kubeconfig),
            "AGENTID_BIND_ADDRESS": LOOPBACK,
            "AGENTID_METRICS_PORT": str(self.port),
            **(environment or {}),
        }
        self.process = self._new_process({})

    def start(self, environment: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Start it.

        Args:
            environment: Settings for this start only.
            wait: Wait until it is ready: it leads, or stands by with its caches warm.

        Raises:
            StartError: It ended, or was not ready in time; the message holds the end of its log.
        """
        if self.alive():
            raise StartError(f"{self._name} runs already, as process {self.process.pid}")
        self.process = self._new_process(environment or {})
        self.process.start()
        if wait:
            self.wait_ready()

    def wait_ready(self, within: timedelta = STARTUP) -> None:
        """Wait until `/readyz` says yes.

        Raises:
            StartError: It ended, or was not ready in time; the message says why, with the end of its log.
        """
        try:
            self.process.wait_ready(self.ready, within)
        except StartError as error:
            raise StartError(f"{error}\nlast said: {self.why_not_ready()}") from error

    def terminate(self, within: timedelta = timedelta(seconds=30)) -> int:
        """End it with SIGTERM and return its exit code."""
        return self.process.terminate(within)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()

    def restart(self, environment: Mapping[str, str] | None = None) -> None:
        """End it with SIGTERM, start it again and wait until it is ready."""
        self.terminate()
        self.start(environment)

    def alive(self) -> bool:
        """Does it run?"""
        return self.process.alive()

    def ready(self) -> bool:
        """Does `/readyz` say yes?"""
        return _get(self.port, "/readyz")[0]

    def healthy(self) -> bool:
        """Does `/healthz` say yes?"""
        return _get(self.port, "/healthz")[0]

    def why_not_ready(self) -> str:
        """What `/readyz` says."""
        return _get(self.port, "/readyz")[1]

    def metrics(self) -> str:
        """What `/metrics` serves; "" when it does not."""
        served, text = _get(self.port, "/metrics")
        return text if served else ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 where there is none."""
        return sampled(self.metrics(), name, labels)

    def log_position(self) -> int:
        """Where its log ends now, to read from later."""
        return end_of_lines(self.process.log)

    def log_lines(self, since: int = 0) -> list[dict[str, Any]]:
        """What it has logged over all its starts since a `log_position`, one dictionary a line."""
        if not self.process.log.exists():
            return []
        with self.process.log.open("rb") as log:
            log.seek(since)
            return parsed(log.read().decode(errors="replace"))

    def _new_process(self, environment: Mapping[str, str]) -> Process:
        # Nothing of who runs this may reach the operator: neither settings nor credentials.
        mine = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        settings = mine | self._environment | dict(environment)
        return self._cluster.run.process(self._name, [*COMMAND], settings)


def operators(run_id: str) -> list[int]:
    """The process ids of the operators that belong to a run, whoever started them."""
    line = "\0".join((*COMMAND[1:], "")).encode()
    found = []
    for pid in reaping.processes(run_id):
        with suppress(OSError):  # gone since
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(line):
                found.append(pid)
    return found


def _get(port: int, path: str) -> tuple[bool, str]:
    """Whether it answered well, and what."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as answer:
            return True, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return False, refusal.read().decode()
    except OSError as unreachable:
        return False, str(unreachable)
