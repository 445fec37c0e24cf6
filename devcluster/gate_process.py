"""A decision point as a process on this machine, on loopback and without TLS."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from devcluster.cluster import Cluster
from devcluster.components import LOOPBACK
from devcluster.install import NAMESPACE, TRUST_DOMAIN
from devcluster.operator_process import FOREIGN
from devcluster.ports import free_ports

STARTUP = timedelta(seconds=60)
STOP = timedelta(seconds=30)
AUDIENCE = "agentid-gate"


class DecisionPoint:
    """One that answers on loopback.

    Attributes:
        http_port: Where it answers AuthZEN.
        grpc_port: Where it answers ext_authz.
        metrics_port: Where it serves `/metrics`, `/healthz` and `/readyz`.
    """

    def __init__(self) -> None:
        """One that is not running yet, with ports that are free."""
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)

    def ready(self) -> bool:
        """Does `/readyz` say yes?"""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.metrics_port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, token: str, question: Mapping[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask it by AuthZEN, with further headers; return the HTTP status and the answer."""
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.http_port}/access/v1/evaluation",
            json.dumps(question).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)


class GateProcess(DecisionPoint):
    """One decision point."""

    def __init__(
        self, cluster: Cluster, kubeconfig: Path, environment: Mapping[str, str], name: str = "gate"
    ) -> None:
        """A decision point that is not running yet.

        Args:
            cluster: Its cluster.
            kubeconfig: Whose rights it has.
            environment: Settings (`AGENTID_GATE_…`) besides those that it needs here.
            name: What to call its log, when there are several.
        """
        super().__init__()
        mine = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        settings = {
            "TRUST_DOMAIN": TRUST_DOMAIN,
            "NAMESPACE": NAMESPACE,
            "KUBECONFIG": str(kubeconfig),
            "INSECURE": "true",
            "BIND_ADDRESS": LOOPBACK,
            "HTTP_PORT": str(self.http_port),
            "GRPC_PORT": str(self.grpc_port),
            "METRICS_PORT": str(self.metrics_port),
            "TOKEN_AUDIENCE": AUDIENCE,
        }
        own = {f"AGENTID_GATE_{name}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "agentid", "gate"]
        self.process = cluster.run.process(name, command, {**mine, **own, **environment})

    def start(self, within: timedelta = STARTUP, *, wait: bool = True) -> None:
        """Start it, and wait until all its watches are synced, unless `wait` says no."""
        self.process.start()
        if wait:
            self.process.wait_ready(self.ready, within)

    def terminate(self) -> None:
        """End it with SIGTERM, if it runs."""
        if self.process.alive():
            self.process.terminate(STOP)
