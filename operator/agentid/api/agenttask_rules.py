"""What the parts of an AgentTask's spec have to be together, and which of them may change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentid.api.fields import Rule

if TYPE_CHECKING:
    from agentid.api.agenttask import AgentTaskSpec

_FIXED: Final = (
    "agentRef",
    "startDeadlineSeconds",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "credential",
)
_FIXED_IF_GIVEN: Final = ("onBehalfOf", "parentRef", "workload", "staticSecrets", "breakGlass", "templateRef")
_NOTHING_GRANTABLE: Final = "!has(self.intent.grantable) || size(self.intent.grantable) == 0"
_STEP: Final = "credential.mode None makes the task a step, a grant for its parent's identity"
_EMERGENCY: Final = "breakGlass makes the task an emergency"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One condition over several fields.

    Attributes:
        rule: As the API server checks it, with the message that both give.
        holds: The same for pydantic.
    """

    rule: Rule
    holds: "Callable[[AgentTaskSpec], bool]"


def _is_step(spec: "AgentTaskSpec") -> bool:
    return spec.credential.mode == "None"


def _fixed(field: str, expression: str) -> Rule:
    return Rule(expression, f"{field} can't be changed after creation: create a new AgentTask", f".{field}")


AGREEMENTS: Final = (
    Agreement(
        Rule(
            "self.credential.ttlSeconds <= self.activeDeadlineSeconds",
            "credential.ttlSeconds must be at most activeDeadlineSeconds: lower it, or raise the deadline",
            ".credential.ttlSeconds",
        ),
        lambda spec: spec.credential.ttl_seconds <= spec.active_deadline_seconds,
    ),
    Agreement(
        Rule(
            "self.credential.mode != 'None' || has(self.parentRef)",
            f"{_STEP}, and no parent is named: set parentRef, or another mode",
            ".parentRef",
        ),
        lambda spec: not _is_step(spec) or spec.parent_ref is not None,
    ),
    Agreement(
        Rule(
            "self.credential.mode != 'None' || !has(self.workload)",
            f"{_STEP}, which runs in the parent's pod: leave workload out",
            ".workload",
        ),
        lambda spec: not _is_step(spec) or spec.workload is None,
    ),
    Agreement(
        Rule(
            "self.credential.mode != 'None' || !self.credential.renew",
            f"{_STEP}, which ends after credential.ttlSeconds: set credential.renew to false",
            ".credential.renew",
        ),
        lambda spec: not _is_step(spec) or not spec.credential.renew,
    ),
    Agreement(
        Rule(
            f"self.credential.mode != 'None' || {_NOTHING_GRANTABLE}",
            f"{_STEP}, and has no children: leave intent.grantable empty",
            ".intent.grantable",
        ),
        lambda spec: not _is_step(spec) or not spec.intent.grantable,
    ),
    Agreement(
        Rule(
            "self.credential.mode != 'None' || !has(self.staticSecrets) || size(self.staticSecrets) == 0",
            f"{_STEP}, and has no Secret for copies: leave staticSecrets out",
            ".staticSecrets",
        ),
        lambda spec: not _is_step(spec) or not spec.static_secrets,
    ),
    Agreement(
        Rule(
            "!has(self.breakGlass) || !has(self.parentRef)",
            f"{_EMERGENCY}, which somebody answers for alone: leave parentRef out",
            ".parentRef",
        ),
        lambda spec: spec.break_glass is None or spec.parent_ref is None,
    ),
    Agreement(
        Rule(
            "!has(self.breakGlass) || !self.credential.renew",
            f"{_EMERGENCY}, which ends after credential.ttlSeconds: set credential.renew to false",
            ".credential.renew",
        ),
        lambda spec: spec.break_glass is None or not spec.credential.renew,
    ),
    Agreement(
        Rule(
            f"!has(self.breakGlass) || {_NOTHING_GRANTABLE}",
            f"{_EMERGENCY}, and has no children: leave intent.grantable empty",
            ".intent.grantable",
        ),
        lambda spec: spec.break_glass is None or not spec.intent.grantable,
    ),
)
"""Each holds of every spec."""

CHANGES: Final = (
    Rule(
        "oldSelf.state != 'Ended' || self.state == 'Ended'",
        "an Ended task stays Ended: create a new AgentTask",
        ".state",
    ),
    Rule(
        "!has(self.breakGlass) || self.intent == oldSelf.intent",
        "the intent of a task with breakGlass can't be changed: create a new AgentTask",
        ".intent",
    ),
    *(_fixed(field, f"self.{field} == oldSelf.{field}") for field in _FIXED),
    *(
        _fixed(
            field,
            f"has(self.{field}) == has(oldSelf.{field}) "
            f"&& (!has(self.{field}) || self.{field} == oldSelf.{field})",
        )
        for field in _FIXED_IF_GIVEN
    ),
)
"""Each holds of every change, which only the API server sees."""
