"""What tests of approvals apply: an AgentApproval of a task as it stands."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.fields import format_time
from agentid.api.spec_hash import hash_of, projection_text
from devcluster.kubectl import Object


def in_time(**later: float) -> str:
    """A time from now, as an approval says it."""
    return format_time(datetime.now(UTC) + timedelta(**later))


def approval(of: Object, name: str = "approval", **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A yes to the task `of` as it is there, with `spec` over it."""
    asked = AgentTaskSpec.model_validate(of["spec"])
    assert asked.requester is not None
    projection = projection_text(asked)
    said = {
        "taskRef": {key: of["metadata"][key] for key in ("name", "uid")},
        "specHash": hash_of(projection),
        "intentGeneration": asked.requester.intent_generation,
        "projection": projection,
        "decision": "Approve",
        "expiresAt": in_time(hours=1),
        **spec,
    }
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentApproval",
        "metadata": {"name": name, "ownerReferences": [owner_of(of)]},
        "spec": {key: value for key, value in said.items() if value is not None},
    }


def owner_of(of: Object) -> dict[str, str]:
    """What is typed of the task that an approval goes with, where the API server does not stamp it."""
    return {"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentTask"} | {
        key: of["metadata"][key] for key in ("name", "uid")
    }


def denial(of: Object, name: str = "denial", **spec: Any) -> Object:  # noqa: ANN401 - as above
    """A no to the task `of` as it is there, with `spec` over it."""
    return approval(of, name, **{"decision": "Deny", "expiresAt": None, **spec})
