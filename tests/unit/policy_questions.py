"""Questions to policies, and the layers that answer them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.policy.accept import accept
from agentid.policy.layer import Layer
from agentid.policy.load import NAMESPACE_LIMIT
from agentid.policy.question import Environment, Person, Pod, Question
from agentid.policy.vocabulary import Action

NOW: Final = datetime(2026, 6, 3, 10, 0, tzinfo=UTC)
UID: Final = "5c0e9a10-0000-4000-8000-000000000001"
PERMIT: Final = "permit(principal, action, resource)"
NOTHING: Final = Layer.of([])


def agent(**fields: object) -> AgentSpec:
    return AgentSpec.model_validate(
        {
            "owner": "payments-team@example.com",
            "class": "Recurring",
            "reviewBy": "2027-05-31T00:00:00Z",
            "actions": ["orders:*"],
            "serviceAccounts": ["refund-agent"],
            **fields,
        }
    )


def task(sensitivity: str = "Internal", **fields: object) -> AgentTaskSpec:
    return AgentTaskSpec.model_validate(
        {
            "agentRef": {"name": "refund-agent"},
            "intent": {
                "purpose": "Refund order 4711",
                "session": "chat-83f1",
                "actions": ["orders:read"],
                "grantable": ["refunds:create"],
                "resources": ["order/4711"],
                "sensitivity": sensitivity,
            },
            "workload": {
                "serviceAccountName": "refund-agent",
                "ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "refund-4711"},
            },
            **fields,
        }
    )


def question(sensitivity: str = "Internal", **changes: Any) -> Question:  # noqa: ANN401 - fields of Question
    asked = Question(
        action=Action.ISSUE,
        namespace="support",
        agent=agent(),
        task_name="refund-4711",
        task_uid=UID,
        task=task(sensitivity),
        requester=Person("alice@example.com", ("system:authenticated", "support")),
        now=NOW,
        environment=Environment("example.org", {"region": "eu"}, {"env": "test"}),
        pod=Pod("refund-agent", ("registry.example.com/refund:v1",)),
    )
    return replace(asked, **changes)


def cluster(*texts: str) -> Layer:
    return Layer.of(accept(f"ClusterAgentPolicy/p{n}", text) for n, text in enumerate(texts))


def namespace(*texts: str) -> Layer:
    policies = [accept(f"AgentPolicy/p{n}", text) for n, text in enumerate(texts)]
    return Layer.of(policies, limit=NAMESPACE_LIMIT)


def when(condition: str) -> str:
    return f"{PERMIT} when {{ {condition} }};"
