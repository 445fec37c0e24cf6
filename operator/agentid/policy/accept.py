"""Whether a policy text is accepted: read, held to the schema, its rules named."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cedarpy
from cedarpy import pst

from agentid.policy.consenting import ConsentAsked
from agentid.policy.costs import costly, pattern_length
from agentid.policy.errors import RefusedPolicyError, TextError
from agentid.policy.load import Load
from agentid.policy.locate import syntax_error, validation_error
from agentid.policy.schema import schema
from agentid.policy.text import Statement, error_at, statements, too_much, unfit
from agentid.policy.times import Bound, bounds_of

_RULE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MAX_TOLD_LENGTH: Final = 256
_MAX_ERRORS: Final = 20
_POSITIONAL: Final = re.compile(r"policy([0-9]+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an accepted policy.

    Attributes:
        name: `ClusterAgentPolicy/default/short-lived`: kind and name of the object, then the rule's own name,
            which is its `@id`, or `policy<N>` with N counted from 0.
        forbids: Whether it is a `forbid`.
        advice: Its `@advice`: what to do about a denial by it, for the person who is denied.
        node: The rule as Cedar reads it, under its full name.
    """

    name: str
    forbids: bool
    advice: str | None
    node: pst.Template


@dataclass(frozen=True, slots=True)
class AcceptedPolicy:
    """A policy text that parses, fits the schema and names each rule once.

    Attributes:
        source: Kind and name of its object, such as `AgentPolicy/refunds`.
        text: The text as it was written.
        digest: `sha256:` and the SHA-256 of the text, as `sha256sum` prints it.
        rules: Its rules, in the order of the text.
        consent: What its rules ask of approvals.
        bounds: When one of its rules may turn with time alone.
        load: How much it is for the engine.
    """

    source: str
    text: str
    digest: str
    rules: tuple[Rule, ...]
    consent: ConsentAsked
    bounds: frozenset[Bound]
    load: Load


def accept(source: str, text: str) -> AcceptedPolicy:
    """Read `text` as the policy of the object `source` (`ClusterAgentPolicy/default`).

    It can take a second for the worst text, most of it without Python's lock: call it in a thread.

    Raises:
        RefusedPolicyError: it is too large, does not parse, does not fit the schema, holds a template or
            what takes the engine long, or names two rules alike; the error says where.
    """
    if (unreadable := unfit(text)) is not None:
        raise RefusedPolicyError(source, (unreadable,))
    found = tuple(statements(text))
    if (excess := too_much(text, found)) is not None:
        raise RefusedPolicyError(source, (excess,))
    nodes = _parsed(source, text, found)
    names = [_rule_name(node, position) for position, node in enumerate(nodes)]
    if errors := tuple(_errors(text, found, nodes, names)):
        raise RefusedPolicyError(source, errors[:_MAX_ERRORS])
    digest = hashlib.sha256(text.encode()).hexdigest()
    rules = tuple(_rule(f"{source}/{name}", node) for name, node in zip(names, nodes, strict=True))
    consent = ConsentAsked.together(ConsentAsked.of(node) for node in nodes)
    load = Load(
        size=len(text.encode()),
        objects=1,
        tokens=sum(len(each.tokens) for each in found),
        names=consent.names,
        patterns=sum(pattern_length(node) for node in nodes),
    )
    bounds = frozenset[Bound]().union(*(bounds_of(node) for node in nodes))
    return AcceptedPolicy(source, text, f"sha256:{digest}", rules, consent, bounds, load)


def _parsed(source: str, text: str, found: Sequence[Statement]) -> list[pst.Template]:
    """Return each rule as Cedar reads it, in the order of the text."""
    try:
        parsed = cedarpy.PolicySet.from_str(text, release_gil=True)
    except ValueError as error:
        raise RefusedPolicyError(source, (syntax_error(text, found, str(error)),)) from error
    if parsed.templates():
        places = (each for each in found if any(token.text == "?" for token in each.tokens))
        said = "a template (?principal, ?resource) allows nothing by itself. Write out whom it is about."
        raise RefusedPolicyError(source, tuple(error_at(text, each.start, said) for each in places))
    try:
        static = parsed.to_pst().static_policies
    except ValueError as error:
        raise RefusedPolicyError(source, (_untold(text, found, error),)) from error
    if len(static) != len(found):
        raise RefusedPolicyError(source, (TextError(1, 1, "its rules cannot be told apart."),))
    return [static[f"policy{position}"] for position in range(len(found))]


def _untold(text: str, found: Sequence[Statement], error: ValueError) -> TextError:
    """Say which rule cannot be looked through: nested deeper than 100 levels, or with Cedar's `unknown`."""
    for each in found:
        try:
            cedarpy.policies_to_pst(text[each.start : each.end])
        except ValueError as own:
            return error_at(text, each.start, f"this rule is refused: {own}")
    return TextError(1, 1, f"the text is refused: {error}")


def _rule_name(node: pst.Template, position: int) -> str:
    return node.annotations.get("id", f"policy{position}")


def _rule(name: str, node: pst.Template) -> Rule:
    named = pst.Template(
        name, node.effect, node.principal, node.action, node.resource, node.clauses, node.annotations
    )
    return Rule(name, node.effect == "forbid", node.annotations.get("advice"), named)


def _errors(
    text: str, found: Sequence[Statement], nodes: Sequence[pst.Template], names: Sequence[str]
) -> Iterator[TextError]:
    yield from _misnamed(text, found, nodes, names)
    if refused := tuple(costly(text, found, nodes, names)):
        yield from refused
        return
    result = cedarpy.validate_policies(text, schema(), release_gil=True)
    told = set()
    for each in result.errors:
        position = _POSITIONAL.fullmatch(each.policy_id)
        if position is None:
            yield TextError(1, 1, each.error)
            continue
        number = int(position[1])
        error = validation_error(text, found[number], each.error, names[number])
        # One mistake is found again for each action that the rule is about.
        if (error.line, error.column) not in told:
            told.add((error.line, error.column))
            yield error
    if not result.validation_passed and not result.errors:
        yield TextError(1, 1, "it does not fit the schema, and Cedar does not say why.")


def _misnamed(
    text: str, found: Sequence[Statement], nodes: Sequence[pst.Template], names: Sequence[str]
) -> Iterator[TextError]:
    count = Counter(names)
    for statement, node, name in zip(found, nodes, names, strict=True):
        if _RULE_NAME.fullmatch(name) is None:
            said = "@id must be 1 to 63 letters, digits, '.', '_' and '-', and begin with a letter or digit."
            yield error_at(text, statement.start, said)
        elif count[name] > 1:
            said = "two rules have this name. Give each an @id of its own."
            yield error_at(text, statement.start, said, name)
        advice = node.annotations.get("advice", "")
        if len(advice) > _MAX_TOLD_LENGTH:
            said = f"@advice has more than {_MAX_TOLD_LENGTH} characters."
            yield error_at(text, statement.start, said, name)
        if not advice.isprintable():
            # An escape hides from `unfit`, and Cedar has undone it by now.
            unseen = next(each for each in advice if not each.isprintable())
            said = f"@advice holds U+{ord(unseen):04X}, which cannot be seen. Remove it."
            yield error_at(text, _annotated(statement, "advice"), said, name)


def _annotated(statement: Statement, annotation: str) -> int:
    """Return where the text of an annotation begins."""
    words = [token.text for token in statement.tokens]
    names = (at for at, word in enumerate(words) if word == annotation and words[at - 1 : at] == ["@"])
    return next((statement.tokens[at + 2].start for at in names), statement.start)
