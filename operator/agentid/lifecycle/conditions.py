"""Puts conditions together as Kubernetes wants them (meta/v1 Condition, kstatus)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agentid.api.agenttask_status import Condition
from agentid.api.reasons import ConditionType
from agentid.lifecycle.wording import clip


@dataclass(frozen=True, slots=True)
class Said:
    """What a pass says in one condition."""

    type: ConditionType
    holds: bool
    reason: str
    message: str


def merge(
    old: Iterable[Condition],
    said: Iterable[Said],
    *,
    dropped: Iterable[ConditionType],
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return the conditions after a pass, in the fixed order.

    What is not `said` stays as it was, now seen at `generation`, unless it is `dropped`.
    `lastTransitionTime` moves only where `status` changes.
    """
    before = {each.type: each for each in old}
    gone = set(dropped)
    after = {
        kind: each.model_copy(update={"observed_generation": generation})
        for kind, each in before.items()
        if kind not in gone
    }
    for each in said:
        status: Literal["True", "False"] = "True" if each.holds else "False"
        previous = before.get(each.type)
        unchanged = previous is not None and previous.status == status
        after[each.type] = Condition(
            type=each.type,
            status=status,
            reason=each.reason,
            message=clip(each.message),
            observed_generation=generation,
            last_transition_time=previous.last_transition_time if previous and unchanged else now,
        )
    return [after[kind] for kind in ConditionType if kind in after]
