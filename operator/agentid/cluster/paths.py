"""Where each kind of object lives on the API server."""

from dataclasses import dataclass
from urllib.parse import quote

from agentid.api.names import API_VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API server serves it: `apiVersion`, `kind` and plural, such as batch/v1, Job, jobs."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """API group: batch of batch/v1, nothing of v1."""
        return group_of(self.api_version)

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, or of the list where `name` is None; None: all namespaces.

        Raises:
            ValueError: a name would lead to another place.
        """
        root = "/api" if "/" not in self.api_version else "/apis"
        parts = [root, self.api_version]
        if namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        parts += [_segment(part) for part in (name, subresource) if part is not None]
        return "/".join(parts)


def group_of(api_version: str) -> str:
    """Return the API group of an apiVersion: batch of batch/v1, nothing of v1."""
    return api_version.rpartition("/")[0]


def _segment(name: str) -> str:
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} can not be the name of an object")
    return quote(name, safe="")


TASKS = Resource(API_VERSION, "AgentTask", "agenttasks")
TEMPLATES = Resource(API_VERSION, "AgentTaskTemplate", "agenttasktemplates")
AGENTS = Resource(API_VERSION, "Agent", "agents")
CLUSTER_AGENT_POLICIES = Resource(API_VERSION, "ClusterAgentPolicy", "clusteragentpolicies")
AGENT_POLICIES = Resource(API_VERSION, "AgentPolicy", "agentpolicies")
AGENT_SECRETS = Resource(API_VERSION, "AgentSecret", "agentsecrets")
APPROVALS = Resource(API_VERSION, "AgentApproval", "agentapprovals")
DECISION_CHECKPOINTS = Resource(API_VERSION, "DecisionCheckpoint", "decisioncheckpoints")
LEDGER_BATCHES = Resource(API_VERSION, "LedgerBatch", "ledgerbatches")
NAMESPACES = Resource("v1", "Namespace", "namespaces")
PODS = Resource("v1", "Pod", "pods")
SECRETS = Resource("v1", "Secret", "secrets")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
