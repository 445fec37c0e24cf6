"""Why a decision is as it is: the facts that its rules looked at, and what would have to be otherwise."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import cedarpy
import orjson
from cedarpy import pst
from pydantic import JsonValue

from agentid.policy.accept import Rule
from agentid.policy.decision import Decision, Reason
from agentid.policy.encoding import Json
from agentid.policy.layer import Layer, LayerName
from agentid.policy.nodes import parts
from agentid.policy.question import Question
from agentid.policy.request import Request, request
from agentid.policy.schema import schema

Path = tuple[str, ...]
"""An attribute, such as ("context", "environment", "clusterLabels")."""

NOT_THERE: Final = "not there"
"""How an attribute reads that a question does not have."""

_MAX_RULES: Final = 3
_PLAIN: Final = re.compile(
    r"(?<!\w)\((!?-?\w+(?:\.\w+(?:\(\))?)*|\w+\(\"[^\"()]*\"\)|\"[^\"()]*\"|\[[^\[\]()]*\])\)"
)
"""Brackets around what needs none; those of a call follow a word."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the conditions that a rule has all to hold; None: it cannot be evaluated by itself."""

    text: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class InTheWay:
    """A rule that would have to come out otherwise.

    Attributes:
        rule: Its name.
        forbids: It forbids, and would not if one of `conditions` did not hold. Otherwise it would permit, if
            all of them did.
        advice: What it says to do.
        conditions: Those that matter.
    """

    rule: str
    forbids: bool
    advice: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a decision was made on.

    Attributes:
        facts: Each attribute that the rules looked at which determined it, or which are in the way, as
            policies name it, with its value.
        in_the_way: For a denial: what would have to be otherwise, the nearest first.
    """

    facts: dict[str, JsonValue]
    in_the_way: tuple[InTheWay, ...]


def explain(question: Question, decision: Decision, cluster: Layer, namespace: Layer) -> Explanation:
    """Return why `decision` is the answer of the two layers to `question`."""
    asked = request(question)
    layers = {LayerName.CLUSTER: cluster, LayerName.NAMESPACE: namespace}
    by_name = {rule.name: rule for each in layers.values() for rule in each.rules.values()}
    ways: list[InTheWay] = []
    if not decision.allowed and decision.reason not in {Reason.POLICY_ERROR, Reason.ENGINE_ERROR}:
        entities = cedarpy.Entities.from_json_str(asked.entities, schema())
        for each in decision.layers:
            if not each.allowed:
                rules = layers[each.layer].rules
                denying = [rules[name] for name in each.determined_by if name in rules]
                ways += _forbidding(asked, entities, denying) or _permitting(asked, entities, rules.values())
    names = dict.fromkeys([*decision.determined_by, *(way.rule for way in ways)])
    nodes = [by_name[name].node for name in names if name in by_name]
    return Explanation(facts_of(asked, nodes), tuple(ways))


def reads(rules: Iterable[Rule]) -> frozenset[Path]:
    """Return every attribute that a condition of `rules` looks at."""
    return frozenset(path for rule in rules for path, _ in _attributes(rule.node))


def facts_of(asked: Request, nodes: Iterable[pst.Template]) -> dict[str, JsonValue]:
    """Return what the conditions of rules look at, as they name it, with its value in the request."""
    world = _world(asked)
    facts: dict[str, JsonValue] = {}
    for path, tag in sorted({each for node in nodes for each in _attributes(node)}, key=str):
        value = _value(world, path)
        name = ".".join(path)
        if tag is not None:
            name, value = (
                f'{name}["{tag}"]',
                value.get(tag, NOT_THERE) if isinstance(value, dict) else NOT_THERE,
            )
        facts[name] = value
    return facts


def _forbidding(asked: Request, entities: cedarpy.Entities, rules: Iterable[Rule]) -> list[InTheWay]:
    """Return rules that forbid it, each with the conditions that make it do so."""
    return [
        InTheWay(rule.name, True, rule.advice, tuple(_conditions(asked, entities, rule)))
        for rule in rules
        if rule.forbids
    ]


def _permitting(asked: Request, entities: cedarpy.Entities, rules: Iterable[Rule]) -> list[InTheWay]:
    """Return the rules that would permit it, with the conditions that do not hold; the nearest ones."""
    ways = []
    for rule in rules:
        if not rule.forbids and _is_about(asked, entities, rule):
            missed = [each for each in _conditions(asked, entities, rule) if not each.holds]
            ways.append(InTheWay(rule.name, False, rule.advice, tuple(missed)))
    return sorted(ways, key=lambda way: (len(way.conditions), way.rule))[:_MAX_RULES]


def _is_about(asked: Request, entities: cedarpy.Entities, rule: Rule) -> bool:
    """Whether a rule is about this principal, action and resource at all."""
    node = rule.node
    bare = pst.Template("rule", "permit", node.principal, node.action, node.resource, (), {})
    return _holds(asked, entities, bare) is True


def _conditions(asked: Request, entities: cedarpy.Entities, rule: Rule) -> Iterator[Condition]:
    for clause in rule.node.clauses:
        for each in _split(clause):
            alone = pst.Template(
                "rule", "permit", pst.ScopeAny(), pst.ScopeAny(), pst.ScopeAny(), (each,), {}
            )
            yield Condition(_text(alone), _holds(asked, entities, alone))


def _split(clause: pst.Clause) -> Iterator[pst.Clause]:
    """Yield the conditions that have to hold one and all: what `&&` joins, and in `unless` what `||` does."""
    match clause:
        case pst.When(pst.BinaryOp(op="and", left=left, right=right)):
            yield from _split(pst.When(left))
            yield from _split(pst.When(right))
        case pst.Unless(pst.BinaryOp(op="or", left=left, right=right)):
            yield from _split(pst.Unless(left))
            yield from _split(pst.Unless(right))
        case pst.Unless(expr):
            yield pst.When(pst.UnaryOp("not", expr))
        case _:
            yield clause


def _policy(node: pst.Template) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_pst(pst.PolicySet({}, {node.id: node}, ()))


def _holds(asked: Request, entities: cedarpy.Entities, node: pst.Template) -> bool | None:
    result = cedarpy.is_authorized(asked.as_cedar(), _policy(node), entities, schema())
    return None if result.diagnostics.errors else result.allowed


def _text(node: pst.Template) -> str:
    """Return the one condition of a rule as its author could have written it."""
    text = str(_policy(node)).partition("when {")[2].rpartition("}")[0].strip()
    while (plainer := _PLAIN.sub(r"\1", text)) != text:
        text = plainer
    return text


def _attributes(node: pst.Template) -> Iterator[tuple[Path, str | None]]:
    """Yield each attribute that is looked at, whole, and which tag of it where one is named."""
    inner: set[int] = set()
    for expr in parts(node.clauses):
        match expr:
            case pst.BinaryOp(op="get_tag" | "has_tag", left=left, right=pst.StringLit(value=tag)):
                inner.add(id(left))
                if (path := _path(left)) is not None:
                    yield path, tag
            case pst.HasAttr(base=base, attrs=attrs):
                inner.add(id(base))
                if (path := _path(base)) is not None:
                    yield (*path, *attrs), None
            case pst.GetAttr(base=base):
                inner.add(id(base))
        if isinstance(expr, pst.GetAttr) and id(expr) not in inner and (path := _path(expr)) is not None:
            yield path, None


def _path(expr: pst.Expr) -> Path | None:
    match expr:
        case pst.Var(name=name):
            return (name,)
        case pst.GetAttr(base=base, attr=attr):
            before = _path(base)
            return None if before is None else (*before, attr)
    return None


def _world(asked: Request) -> Json:
    """Return principal, resource and context as one object, in which labels are what they refer to."""
    entities = {each["uid"]["id"]: each for each in orjson.loads(asked.entities)}
    tags = {key: each["tags"] for key, each in entities.items() if "tags" in each}
    context = asked.as_cedar()["context"]
    return {
        "principal": _resolved(entities[asked.principal["id"]]["attrs"], tags),
        "resource": _resolved(entities[asked.resource["id"]]["attrs"], tags),
        "context": _resolved(orjson.loads(str(context)), tags),
        "action": asked.action["id"],
    }


def _resolved(value: JsonValue, tags: Json) -> JsonValue:
    match value:
        case {"__entity": {"id": str(key)}}:
            return tags.get(key)
        case {"__extn": {"arg": arg}}:
            return arg
        case dict():
            return {key: _resolved(each, tags) for key, each in value.items()}
        case list():
            return [_resolved(each, tags) for each in value]
    return value


def _value(world: Json, path: Path) -> JsonValue:
    value: JsonValue = world
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return NOT_THERE
        value = value[name]
    return value
