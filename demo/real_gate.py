"""A decision point in a pod, from the chart, with a certificate of the demo's own."""

from typing import Any, Final

from demo.stage import ENFORCEMENT_POINTS, POD_START
from demo.stage import NAMESPACE as TEAMS
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE

HOST: Final = f"agentid-gate.{NAMESPACE}.svc"
_SECRET: Final = "gate-tls"  # noqa: S105 - its name
VALUES: Final = {
    "enabled": True,
    "replicaCount": 1,
    "tls": {"secret": _SECRET},
    "enforcementPoints": ENFORCEMENT_POINTS,
}
"""The chart's value `gate`."""


def make_certificate(cluster: ControlPlane) -> None:
    """Make the Secret that the chart is told of, before it is installed."""
    pair = cluster.components.authority.server("gate", [HOST])
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    files = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
    secret: dict[str, Any] = {"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": _SECRET}}
    cluster.kubectl.in_namespace(NAMESPACE).create({**secret, "stringData": files})


def ready(cluster: ControlPlane) -> str:
    """Wait until it is, and return the address of its Service; who asks it finds whom to trust beside it."""
    here, teams = cluster.kubectl.in_namespace(NAMESPACE), cluster.kubectl.in_namespace(TEAMS)
    here.wait_for(
        "deployment",
        "agentid-gate",
        lambda seen: seen.get("status", {}).get("readyReplicas"),
        POD_START,
        "the decision point is ready",
    )
    trusted = cluster.components.authority.files.certificate.read_text()
    teams.create({"kind": "ConfigMap", "metadata": {"name": "gate-ca"}, "data": {"ca.crt": trusted}})
    return str(here.get("service", "agentid-gate")["spec"]["clusterIP"])
