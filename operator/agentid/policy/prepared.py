"""A question made ready once, to be asked many times: what stays of it is encoded and parsed only once."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import cedarpy
from cedarpy import pst

from agentid.api.names import REQUIRE_POLICY_LABEL
from agentid.policy.encoding import dumps
from agentid.policy.question import Question, Use
from agentid.policy.request import Frame, call_entities, frame
from agentid.policy.schema import schema

_NO_RULES: Final = cedarpy.PolicySet.from_pst(pst.PolicySet({}, {}, ()))
_KEPT: Final = 128
"""Sets of entities, some 22 kB each: soon after a task is asked about, it is asked about again."""


@dataclass(frozen=True)
class Prepared:
    """A question that can be asked at any time, and of `use` about any call; make it with `prepare`.

    Attributes:
        frame: What it says each time.
        entities: The entities of that, parsed.
        break_glass: Whether it is an emergency.
        requires_policy: Whether its namespace has to have a policy of its own.
    """

    frame: Frame
    entities: cedarpy.Entities
    break_glass: bool
    requires_policy: bool

    @cached_property
    def size(self) -> int:
        """Bytes of its entities and its context: read for each call, and for no other question."""
        return len(self.frame.entities.encode()) + len(dumps(self.frame.context).encode())


def prepare(question: Question) -> Prepared:
    """Return what of `question` is the same at another time and about another call.

    Raises:
        ValueError: the engine cannot read it.
    """
    made = frame(question)
    return Prepared(
        made,
        _parsed(made.entities),
        question.break_glass,
        REQUIRE_POLICY_LABEL in question.environment.namespace_labels,
    )


def prepare_for_calls(question: Question) -> Prepared:
    """Return a question about calls, made ready to be asked of any of them; it is held to the schema here.

    Raises:
        ValueError: it does not fit the schema, or the engine cannot read it.
    """
    prepared, call = prepare(question), Use("call")
    asked = prepared.frame.request(question.now, call)
    entities = prepared.entities.with_added_json_str(call_entities(call), schema())
    result = cedarpy.is_authorized(asked.as_cedar(), _NO_RULES, entities, schema())
    if result.decision is cedarpy.Decision.NoDecision:
        raise ValueError(f"the question does not fit the schema: {'; '.join(result.diagnostics.errors)}")
    return prepared


@lru_cache(maxsize=_KEPT)
def _parsed(entities: str) -> cedarpy.Entities:
    return cedarpy.Entities.from_json_str(entities, schema())
