"""The decision on a call, which is asked for thousands of times a second.

What is plainly allowed is found by evaluating the rules that can be about the call, which are told no more of
it than they read. That the question fits the schema is seen when it is made ready (`prepare_for_calls`).
Whatever is not plainly allowed that way is decided as everything else is, by `engine`, which says why.
"""

from datetime import datetime
from typing import Final

import cedarpy

from agentid.policy import wording
from agentid.policy.decision import Decision, LayerDecision, Reason
from agentid.policy.engine import MAX_ASKED_BYTES, decide_prepared
from agentid.policy.layer import Layer, LayerName
from agentid.policy.prepared import Prepared
from agentid.policy.question import Use
from agentid.policy.request import call_entities

_PARAMETERS: Final = "parameters"


def decide_call(prepared: Prepared, now: datetime, use: Use, cluster: Layer, namespace: Layer) -> Decision:
    """Decide whether `use` is allowed at `now`, as `decide_prepared` does. Never raises."""
    return _allowed(prepared, now, use, cluster, namespace) or decide_prepared(
        prepared, now, use, cluster, namespace
    )


def _allowed(
    prepared: Prepared, now: datetime, use: Use, cluster: Layer, namespace: Layer
) -> Decision | None:
    """Return that it is allowed; None: it is not, or that has to be looked at more closely."""
    if not cluster.sources or cluster.too_large or namespace.too_large or prepared.break_glass:
        return None
    if prepared.requires_policy and not namespace.sources:
        return None
    try:
        return _evaluated(prepared, now, use, cluster, namespace)
    except BaseException as error:
        # A panic of the engine is no Exception. Whatever it is, it is met again where it is told.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def _evaluated(
    prepared: Prepared, now: datetime, use: Use, cluster: Layer, namespace: Layer
) -> Decision | None:
    frame = prepared.frame
    layers = [(LayerName.CLUSTER, cluster.about(frame.action, frame.principal["id"]))]
    if namespace.sources:
        layers.append((LayerName.NAMESPACE, namespace))
    reads = frozenset[str]().union(*(layer.reads for _, layer in layers))
    asked, entities, added = frame.brief(now, use, reads), prepared.entities, ""
    if _PARAMETERS in reads:
        added = call_entities(use)
        entities = entities.with_added_json_str(added)
    if prepared.size + len(str(asked["context"])) + len(added) > MAX_ASKED_BYTES:
        return None
    said = []
    for name, layer in layers:
        result = cedarpy.is_authorized(asked, layer.parsed, entities)
        permitting = tuple(sorted(result.diagnostics.reasons))
        if not result.allowed or result.diagnostics.errors or not permitting:
            return None
        said.append(LayerDecision(name, layer.digest, allowed=True, determined_by=permitting))
    return Decision(
        allowed=True, reason=Reason.ALLOWED, message=wording.allowed(said), layers=tuple(said), at=now
    )
