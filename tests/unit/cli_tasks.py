"""Tasks and approvals as an API server sends them, for the tests of the command line."""

from datetime import UTC, datetime
from typing import Any

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import hash_of, projection_text
from agentid.cli.pending import Pending, judge

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LATER = "2026-11-23T12:00:00Z"
UID = "00000000-0000-4000-8000-{:012d}"
NEED = 'AgentPolicy/refunds, rule "large-refunds" allows it only with an approval.'


def task(
    name: str = "refund", number: int = 1, standing: str = "AwaitingApproval", **spec: object
) -> dict[str, Any]:
    """A task that stands as the operator said last; `over` and running ones hold what their status says."""
    over = standing in {"Completed", "Ended", "Revoked", "Expired"}
    finished = {
        "type": "Finished",
        "status": str(over),
        "reason": standing,
        "message": NEED if standing == "AwaitingApproval" else "because",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T09:59:00Z",
    }
    return {
        "metadata": {
            "namespace": "support",
            "name": name,
            "uid": UID.format(number),
            "generation": 1,
            "resourceVersion": str(number),
            "creationTimestamp": f"2026-11-23T09:{number % 60:02d}:00Z",
        },
        "spec": {
            "agentRef": {"name": "refund-agent"},
            "intent": {"purpose": "Refund order 4711", "actions": ["refunds:create"]},
            "requester": {"username": "alice@example.com", "intentGeneration": 1},
            **spec,
        },
        "status": {"conditions": [finished] if standing else [], "observedGeneration": 1},
    }


def approval(of: dict[str, Any], name: str, by: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A yes to a task as it is, with `spec` over it."""
    asked = AgentTaskSpec.model_validate(of["spec"])
    projection = projection_text(asked)
    said = {
        "taskRef": {key: of["metadata"][key] for key in ("name", "uid")},
        "specHash": hash_of(projection),
        "intentGeneration": asked.requester.intent_generation if asked.requester is not None else 1,
        "projection": projection,
        "decision": "Approve",
        "expiresAt": LATER,
        "approver": {"username": by, "groups": []},
        **spec,
    }
    metadata = {
        "namespace": "support",
        "name": name,
        "uid": f"u-{name}",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-23T09:59:30Z",
    }
    return {"metadata": metadata, "spec": {key: each for key, each in said.items() if each is not None}}


def denial(of: dict[str, Any], name: str, by: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A no to a task as it is."""
    return approval(of, name, by, **{"decision": "Deny", "expiresAt": None, **spec})


def pending(of: dict[str, Any], *approvals: dict[str, Any], now: datetime = NOW) -> Pending:
    """The task as whoever approves sees it, with all approvals of its name."""
    return judge(of, {}, list(approvals), now)
