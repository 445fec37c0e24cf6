"""Decision points as users run them: from the chart, in pods, with a certificate of the run's own CA."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from devcluster.certificates import Authority
from devcluster.cluster import Cluster
from devcluster.install import NAMESPACE
from devcluster.waiting import wait_until

HOST: Final = f"agentid-gate.{NAMESPACE}.svc"
DEPLOYMENT: Final = "agentid-gate"
TRUSTED: Final = "gate-ca"
"""ConfigMap beside who asks, with the CA of the certificate."""
STARTUP: Final = timedelta(seconds=120)
_SECRET: Final = "gate-tls"  # noqa: S105 - its name


class GatePod:
    """The decision points of a cluster.

    Attributes:
        values: The chart's value `gate` for them.
    """

    def __init__(self, cluster: Cluster, points: Sequence[object], replicas: int = 1) -> None:
        """Decision points that the chart is yet to be told of; `points` may ask them."""
        self._kubectl = cluster.kubectl
        self._here = cluster.kubectl.in_namespace(NAMESPACE)
        self._replicas = replicas
        self._authority = Authority.make(cluster.run.folder / "gate", "gate-ca")
        self.values: dict[str, Any] = {
            "enabled": True,
            "replicaCount": replicas,
            "tls": {"secret": _SECRET},
            "enforcementPoints": list(points),
        }

    def make_certificate(self) -> None:
        """Make the Secret that the chart is told of."""
        if self._kubectl.find("namespace", NAMESPACE) is None:
            self._kubectl.create({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
        pair = self._authority.server("gate", [HOST])
        files = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
        self._here.apply({**secret, "metadata": {"name": _SECRET}, "stringData": files})

    def trusted_in(self, namespace: str) -> None:
        """Tell who asks there whom to trust."""
        config = {"kind": "ConfigMap", "metadata": {"name": TRUSTED}}
        trusted = self._authority.files.certificate.read_text()
        self._kubectl.in_namespace(namespace).create({**config, "data": {"ca.crt": trusted}})

    def ready(self) -> None:
        """Wait until all of them have listed everything."""
        wait_until(
            "the decision points are ready",
            lambda: (self._here.find("deployment", DEPLOYMENT) or {}).get("status", {}),
            lambda status: (
                status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == self._replicas
            ),
            within=STARTUP,
        )

    def known_by(self) -> dict[str, Any]:
        """What the spec of a pod that asks has to hold where there is no DNS."""
        address = self._here.get("service", DEPLOYMENT)["spec"]["clusterIP"]
        return {"hostAliases": [{"ip": address, "hostnames": [HOST]}]}
