"""The hash of what a decision was made on, so that a later change shows."""

import hashlib
from typing import Final

import rfc8785

from agentid.api.agenttask import AgentTaskSpec

_STATE_FIELDS: Final = {"state", "state_reason", "state_changed_by"}


def spec_hash(spec: AgentTaskSpec) -> str:
    """Return `v1:` and the SHA-256, in hexadecimal, over the RFC 8785 form of `spec` without its state.

    Fields that are not set are left out, so that a field added by an upgrade does not change the hash of an
    object that does not use it. `requester.intentGeneration` is part of it: a change and back is a change.
    """
    projection = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_STATE_FIELDS)
    return f"v1:{hashlib.sha256(rfc8785.dumps(projection)).hexdigest()}"
