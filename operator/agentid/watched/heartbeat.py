"""Tells the operator's heartbeat from the tasks that it comes among."""

from collections.abc import Mapping
from typing import Any

from agentid.api.names import HEARTBEAT
from agentid.watched.facts import mapping


def is_heartbeat(body: Mapping[str, Any]) -> bool:
    """Whether an AgentTask is no task but the operator's heartbeat; admission keeps the name for that."""
    return mapping(body.get("metadata")).get("name") == HEARTBEAT
