"""What the operator wrote about tasks, by the audit log of the API server."""

from dataclasses import dataclass

from devcluster.audit import is_write
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from tests.cluster.people import OPERATOR


@dataclass(frozen=True, slots=True)
class Write:
    """One write that was carried out.

    Attributes:
        verb: What was done.
        resource: To what, with its subresource: `agenttasks/status`.
        name: Of which name; empty where it was named in the body only.
    """

    verb: str
    resource: str
    name: str


def requests(cluster: ControlPlane, here: Kubectl, since: int) -> list[Object]:
    """What the operator asked of the API server about what is in that namespace, oldest first."""
    return [
        each
        for each in cluster.audit(since, user=OPERATOR)
        if each.get("objectRef", {}).get("namespace") == here.namespace
    ]


def writes(cluster: ControlPlane, here: Kubectl, since: int) -> list[Write]:
    """What it wrote there, oldest first.

    An Agent's numbers are left out: they are written in rounds of ten seconds, whatever happens meanwhile.
    """
    found = [_write(each) for each in requests(cluster, here, since) if is_write(each)]
    return [each for each in found if each.resource != "agents/status"]


def _write(event: Object) -> Write:
    where = event["objectRef"]
    resource = "/".join(filter(None, (where["resource"], where.get("subresource"))))
    return Write(event["verb"], resource, where.get("name", ""))
