"""Questions to the decision point, and what it knows: an ordinary task, changed in one thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agentid.api.agent import Sensitivity
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.fields import format_time
from agentid.api.spec_hash import spec_hash
from agentid.gate.answer import Answer
from agentid.gate.asking import Asking
from agentid.gate.case import Limits
from agentid.gate.decide import decide
from agentid.gate.known_task import KnownTask
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.gate.view import Heartbeat, Moment, View
from agentid.policy.layer import Layer
from agentid.watched.facts import agent_facts, pod_facts, read
from tests.unit.policy_questions import NOTHING, PERMIT, cluster

NOW: Final = datetime(2026, 6, 3, 10, 0, tzinfo=UTC)
UPTIME: Final = 1000.0
SECOND: Final = timedelta(seconds=1)
UID: Final = "5c0e9a10-0000-4000-8000-000000000001"
STEP_UID: Final = "5c0e9a10-0000-4000-8000-000000000002"
PARENT_UID: Final = "5c0e9a10-0000-4000-8000-000000000003"
POD_UID: Final = "5c0e9a10-0000-4000-8000-0000000000aa"
SERIAL: Final = "4f" * 16
OLD_SERIAL: Final = "3e" * 16
TRUST_DOMAIN: Final = "prod.example.com"
SPIFFE_ID: Final = f"spiffe://{TRUST_DOMAIN}/ns/support/agent/refund-agent/task/{UID}"
ASKER: Final = EnforcementPoint("spiffe://prod.example.com/ns/edge/sa/envoy", frozenset({"support"}))
LIMITS: Final = Limits(
    trust_domain=TRUST_DOMAIN,
    max_age=dict.fromkeys(Sensitivity, 5 * SECOND),
    max_skew=2 * SECOND,
)
IMAGE: Final = "registry.example.com/refund@sha256:" + "a" * 64


@dataclass
class InForce:
    """Policies that are in force."""

    cluster: Layer
    namespaces: dict[str, Layer] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def of(self, namespace: str) -> Layer:
        return self.namespaces.get(namespace, NOTHING)

    def lost(self, namespace: str) -> tuple[str, ...]:
        return self.unreadable if namespace else ()


def time(moment: datetime) -> str:
    return format_time(moment)


def spec(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a spec
    return {
        "agentRef": {"name": "refund-agent"},
        "intent": {
            "purpose": "Refund order 4711",
            "actions": ["orders:read", "orders:list"],
            "grantable": ["refunds:create"],
            "resources": ["order/4711"],
        },
        "workload": {"serviceAccountName": "refund-agent"},
        "requester": {"username": "alice@example.com", "groups": ["support"]},
        **changes,
    }


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": time(NOW),
    }


def hashed(asked: dict[str, Any]) -> str:
    found, flaw = read(AgentTaskSpec, asked)
    assert found is not None, flaw
    return spec_hash(found)


def credential(serial: str = SERIAL, **changes: object) -> dict[str, object]:
    made = {
        "generation": 2,
        "serial": serial,
        "notBefore": time(NOW - 60 * SECOND),
        "notAfter": time(NOW + 240 * SECOND),
    }
    return made | changes


def status(asked: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {
        "observedGeneration": 1,
        "specHash": hashed(asked),
        "spiffeID": SPIFFE_ID,
        "boundPod": {"name": "refund-1", "uid": POD_UID, "fingerprint": pod_fingerprint()},
        "credentialGeneration": 2,
        "credentials": [
            credential(OLD_SERIAL, generation=1, notAfter=time(NOW + 30 * SECOND)),
            credential(),
        ],
        "startTime": time(NOW - 600 * SECOND),
        "deadline": time(NOW + 3000 * SECOND),
        "conditions": [condition("Finished", "False", "Running")],
        **changes,
    }


def body(
    asked: dict[str, Any] | None = None,
    *,
    name: str = "refund-4711",
    uid: str = UID,
    namespace: str = "support",
    metadata: Mapping[str, object] = {},
    **changes: object,
) -> dict[str, Any]:
    """Return an AgentTask as the API server sends it; `changes` are of its status."""
    asked = spec() if asked is None else asked
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "7", **metadata},
        "spec": asked,
        "status": status(asked, **changes),
    }


def pod_body(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a pod
    found = {
        "metadata": {"namespace": "support", "name": "refund-1", "uid": POD_UID, "resourceVersion": "5"},
        "spec": {
            "serviceAccountName": "refund-agent",
            "nodeName": "node-3",
            "containers": [{"name": "main", "image": "registry.example.com/refund:v1"}],
        },
        "status": {"phase": "Running", "containerStatuses": [{"name": "main", "imageID": IMAGE}]},
    }
    return {part: {**found[part], **changes.get(part, {})} for part in found}


def pod_fingerprint() -> str:
    return pod_facts(pod_body(), labelled=True).fingerprint


def agent_body(**changes: object) -> dict[str, Any]:
    made = {
        "owner": "payments-team@example.com",
        "class": "Ephemeral",
        "actions": ["orders:*", "refunds:create"],
        "serviceAccounts": ["refund-agent"],
    }
    return {
        "metadata": {"namespace": "support", "name": "refund-agent", "uid": "a-1", "resourceVersion": "3"},
        "spec": made | changes,
    }


@dataclass
class Gate:
    """A decision point's core with an ordinary task in its view.

    Attributes:
        policies: The policies in force.
        labels: The labels of the namespace.
        silent: Which watch is silent.
        now: The time.
        uptime: The seconds of the clock that nobody can set.
    """

    policies: InForce = field(default_factory=lambda: InForce(cluster(f"{PERMIT};")))
    labels: Mapping[str, str] | None = field(default_factory=dict)
    silent: str | None = None
    limits: Limits = LIMITS
    now: datetime = NOW
    uptime: float = UPTIME

    def __post_init__(self) -> None:
        self.view = View(self.policies, lambda _: self.labels, lambda: self.silent)
        self.asking = Asking(self.view, trust_domain=TRUST_DOMAIN, cluster_labels={"region": "eu"})
        self.view.beat("", Heartbeat(self.now, self.uptime))
        self.take(body())
        self.pod(pod_body())
        self.agent(agent_body())

    def take(self, task: dict[str, Any]) -> None:
        self.view.put_task(KnownTask.of(task))

    def pod(self, pod: dict[str, Any]) -> None:
        self.view.put_pod(pod_facts(pod, labelled=True))

    def agent(self, agent: dict[str, Any]) -> None:
        self.view.put_agent(("support", "refund-agent"), agent_facts(agent))

    def step(self, *, resources: tuple[str, ...] = ("order/4711",), **changes: object) -> None:
        """Put a live step into the view that grants refunds:create; `changes` are of its status."""
        asked = spec(
            intent={"purpose": "Refund it", "actions": ["refunds:create"], "resources": list(resources)},
            parentRef={"name": "refund-4711", "uid": UID},
            credential={"mode": "None", "renew": False},
        )
        del asked["workload"]
        granted = [condition("Finished", "False", "Running"), condition("Granted", "True", "Issued")]
        chain = [
            {"name": "refund-4711", "uid": UID, "agent": "refund-agent", "requester": "alice@example.com"}
        ]
        made = body(
            asked,
            name="refund-step",
            uid=STEP_UID,
            **{
                "credentials": [],
                "conditions": granted,
                "delegation": {"intentGeneration": 1, "chain": chain},
                "decision": {
                    "action": "issue",
                    "policies": [],
                    "digest": "",
                    "approvers": ["bob@example.com"],
                    "at": time(NOW),
                },
                **changes,
            },
        )
        self.take(made)
        self.grant(resources=resources)

    def grant(self, *, resources: tuple[str, ...] = ("order/4711",), until: datetime | None = None) -> None:
        """Have the parent's status say that the step grants refunds:create."""
        self.take(
            body(
                grants=[
                    {
                        "name": "refund-step",
                        "uid": STEP_UID,
                        "actions": ["refunds:create"],
                        "resources": list(resources),
                        "until": time(until or NOW + 60 * SECOND),
                    }
                ]
            )
        )

    def ask(self, asked: Question | None = None) -> Answer:
        moment = Moment(self.now, self.uptime)
        return decide(asked or question(), self.view, self.limits, self.asking, moment)


def question(**changes: Any) -> Question:  # noqa: ANN401 - fields of Question
    asked = Question(ASKER, SPIFFE_ID, SERIAL, Call("orders:read", "order/4711"))
    return replace(asked, **changes)
