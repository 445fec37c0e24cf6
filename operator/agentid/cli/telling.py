"""How a task and a decision about it are told: to people in rows, to programs as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import JsonValue

from agentid.api.agenttask import AgentTaskSpec, CredentialMode
from agentid.api.fields import format_time
from agentid.cli.asking import Verdict
from agentid.lifecycle.delegation import longest_life
from agentid.policy.decision import Decision
from agentid.policy.explaining import Condition, Explanation, InTheWay
from agentid.policy.wording import rule_told

Row = tuple[str, str]
"""What a row is about, and what is said."""

_MINUTE: Final = 60
_HOUR: Final = 3600


def asked_for(spec: AgentTaskSpec, verb: str) -> Iterator[Row]:
    """Yield who asks, and for what."""
    asker = person(spec.asker.username) if spec.asker is not None else "nobody is known to have asked"
    whom = f" on behalf of {spec.on_behalf_of}" if spec.on_behalf_of else ""
    whom += f", in AgentTaskTemplate {spec.template_ref.name}" if spec.template_ref is not None else ""
    yield "asked by", f"{asker}{whom}"
    intent = spec.intent
    parts = [", ".join(intent.actions)]
    parts += [f"may grant {', '.join(intent.grantable)}"] if intent.grantable else []
    on = f" on {', '.join(intent.resources)}" if intent.resources else ""
    where = "bound to no pod"
    if spec.credential.mode is CredentialMode.NONE:
        where = "as a step, with its parent's identity"
    elif spec.workload is not None:
        ref = spec.workload.ref
        where = f"in {ref.kind} {ref.name}" if ref is not None else "in a labelled pod"
    how_long = f"for up to {duration(longest_life(spec))}"
    yield verb, f"{'; '.join(parts)}{on}, {intent.sensitivity.value}, {how_long}, {where}"
    yield "to", intent.purpose


def decided(verdict: Verdict, explanations: Sequence[Explanation]) -> Iterator[Row]:
    """Yield what is decided, by what, on which facts, and what would have to be otherwise."""
    if verdict.ceiling is not None:
        yield "Agent", verdict.ceiling
    if verdict.answer is not None:
        judgement = verdict.answer.judgement
        yield "policy", judgement.message
        for name in judgement.policies if judgement.allowed else ():
            yield "rules", rule_told(name)
        if judgement.holds_until is not None:
            yield "holds", f"until {format_time(judgement.holds_until)} at the most, when it is asked again"
    elif verdict.ceiling is None:
        yield "policy", "could not be asked, as nobody is known to have asked for the task"
    yield from _explained(explanations)
    for gap in verdict.gaps:
        yield "not known", f"to you: {gap}"


def _explained(explanations: Sequence[Explanation]) -> Iterator[Row]:
    for explanation in explanations:
        for name, value in explanation.facts.items():
            yield "facts", f"{name} = {json.dumps(value, ensure_ascii=False)}"
    for explanation in explanations:
        for way in explanation.in_the_way:
            yield "to change", _otherwise(way)


def _otherwise(way: InTheWay) -> str:
    told = rule_told(way.rule)
    if way.forbids:
        what = " or ".join(f"`{each.text}`" for each in way.conditions)
        return f"{told} forbids it" + (f" while all of this holds; end {what}" if what else " always")
    what = " and ".join(_unmet(each) for each in way.conditions)
    return f"{told} would permit it, if {what}" if what else f"{told} permits it"


def _unmet(condition: Condition) -> str:
    return f"`{condition.text}`" + ("" if condition.holds is False else " (which cannot be evaluated alone)")


def as_json(verdict: Verdict, explanations: Sequence[Explanation]) -> dict[str, JsonValue]:
    """Return a verdict as programs read it."""
    asked = verdict.answer.asked if verdict.answer is not None else ()
    judgement = verdict.answer.judgement if verdict.answer is not None else None
    until = judgement.holds_until if judgement is not None else None
    return {
        "action": verdict.action.value,
        "at": format_time(verdict.observation.now),
        "outcome": verdict.outcome,
        "message": verdict.message,
        "ceiling": verdict.ceiling,
        "rules": list(judgement.policies) if judgement is not None else [],
        "digest": judgement.digest if judgement is not None else None,
        "holdsUntil": format_time(until) if until is not None else None,
        "asked": [
            _decision(question.action.value, decision, explanation)
            for (question, decision), explanation in zip(asked, explanations, strict=True)
        ],
        "notKnown": list(verdict.gaps),
    }


def _decision(action: str, decision: Decision, explanation: Explanation) -> JsonValue:
    layers: list[JsonValue] = [
        {
            "layer": each.layer.value,
            "digest": each.digest,
            "allowed": each.allowed,
            "rules": list(each.determined_by),
            "errors": list(each.errors),
        }
        for each in decision.layers
    ]
    ways: list[JsonValue] = [
        {
            "rule": way.rule,
            "effect": "forbid" if way.forbids else "permit",
            "advice": way.advice,
            "conditions": [{"text": each.text, "holds": each.holds} for each in way.conditions],
        }
        for way in explanation.in_the_way
    ]
    return {
        "action": action,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "message": decision.message,
        "layers": layers,
        "facts": explanation.facts,
        "toChange": ways,
    }


def task_as_json(namespace: str, name: str, spec: AgentTaskSpec | None) -> dict[str, JsonValue]:
    """Return what a task is, in short."""
    if spec is None:
        return {"namespace": namespace, "name": name}
    return {
        "namespace": namespace,
        "name": name,
        "agent": spec.agent_ref.name,
        "requester": spec.asker.username if spec.asker is not None else None,
        "onBehalfOf": spec.on_behalf_of,
    }


def next_told(name: str, namespace: str, spec_hash: str | None) -> str:
    """Return the commands by which a task that waits is approved, as it was shown, or denied.

    Each has a line of its own, which is not wrapped, so that it can be copied.
    """
    here = f"{name} -n {namespace}"
    just_this = f" --spec-hash {spec_hash}" if spec_hash is not None else ""
    return f"agentid approve {here}{just_this}\nor\nagentid deny {here} --reason …"


def duration(seconds: int) -> str:
    """Return a time as people say it: 90 s, 15 min, 8 h."""
    if seconds % _HOUR == 0:
        return f"{seconds // _HOUR} h"
    return f"{seconds // _MINUTE} min" if seconds % _MINUTE == 0 else f"{seconds} s"


def person(username: str) -> str:
    """Return who somebody is; of a service account its name first."""
    if not username.startswith("system:serviceaccount:"):
        return username
    namespace, _, name = username.removeprefix("system:serviceaccount:").partition(":")
    return f"{name} (service account {namespace}/{name})"
