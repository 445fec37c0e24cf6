"""Policy objects as the API server sends them, and the policies that are made of them."""

from typing import Any, Final

from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES, Resource
from agentid.watched.installed_policy import InstalledPolicy
from agentid.watched.policies import Policies

PERMIT: Final = 'permit(principal, action in [Action::"issue", Action::"delegate"], resource);\n'
PERMIT_ALL: Final = "permit(principal, action, resource);\n"
FORBID: Final = "forbid(principal, action, resource);\n"
BROKEN: Final = "permit(principal, action, resource)\nwhen { resource.nope };\n"


def policy(
    cedar: object,
    *,
    name: str = "default",
    namespace: str | None = None,
    uid: str = "u-1",
    version: int = 1,
    generation: int = 1,
    status: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a ClusterAgentPolicy, or an AgentPolicy where there is a namespace."""
    metadata: dict[str, Any] = {
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
    }
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "spec": {"cedar": cedar}, "status": status or {}}


def resource_of(body: dict[str, Any]) -> Resource:
    """Return the kind of what `policy` returned."""
    return AGENT_POLICIES if "namespace" in body["metadata"] else CLUSTER_AGENT_POLICIES


class Installed:
    """Policies, and what they told.

    Attributes:
        changed: Of which namespaces the layer changed, None for the cluster's.
        told: The policies to look at.
    """

    def __init__(self, *, listed: bool = True) -> None:
        self.changed: list[str | None] = []
        self.told: list[InstalledPolicy] = []
        self.policies = Policies(self.changed.append, self.told.append)
        if listed:
            self.all_listed()

    def all_listed(self) -> None:
        """Take in that all have been seen."""
        for resource in (CLUSTER_AGENT_POLICIES, AGENT_POLICIES):
            self.policies.listed(resource)

    async def take(self, *bodies: dict[str, Any]) -> InstalledPolicy:
        """Take them in, and return the last one as it is known then."""
        for body in bodies:
            await self.policies.take(resource_of(body), body)
            await self.policies.renew_all()
        found = self.policies.find(bodies[-1]["metadata"]["uid"])
        assert found is not None
        return found

    async def drop(self, body: dict[str, Any]) -> None:
        """Take in that it is gone."""
        metadata = body["metadata"]
        self.policies.drop(
            resource_of(body), metadata.get("namespace", ""), metadata["name"], metadata["uid"]
        )
        await self.policies.renew_all()
