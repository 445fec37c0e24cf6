"""What in a policy text would take the engine long at each decision: it is refused.

The engine answers with Python's lock held, so that one decision holds up all others. What a rule takes grows
with its length, but for what is refused here: sets are sorted, so that large values in one are compared with
each other again and again; patterns take their length times that of the text; and each name of an approver is
put into what is asked.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from cedarpy import pst

from agentid.policy.consenting import ConsentAsked
from agentid.policy.errors import TextError
from agentid.policy.load import OBJECT_LIMIT
from agentid.policy.locate import mentioned
from agentid.policy.nodes import parts
from agentid.policy.text import Statement, error_at
from agentid.policy.vocabulary import ACTIONS, CONTEXT, PRINCIPAL, RESOURCE, Attribute

_WHOLE: Final = "`context` stands by itself. Name the attributes of it that are meant."
_LARGE_MEMBER: Final = "a set holds `{}`, which is a set or record itself. Compare that by itself."


def costly(
    text: str, found: Sequence[Statement], nodes: Sequence[pst.Template], names: Sequence[str]
) -> Iterator[TextError]:
    """Yield what is refused of rules, which have these names, each at the rule where it is."""
    people, patterns = ConsentAsked(), 0
    for statement, node, name in zip(found, nodes, names, strict=True):
        said = [_WHOLE] if _has_whole_context(node) else []
        said += [_LARGE_MEMBER.format(each) for each in _large_members(node)][:1]
        within, people = people.names, ConsentAsked.together((people, ConsentAsked.of(node)))
        if within <= OBJECT_LIMIT.names < people.names:
            more = f"with this rule the text names {people.names} approvers and groups of them; at most"
            said.append(f"{more} {OBJECT_LIMIT.names} are allowed. Name a group in place of its people.")
        within, patterns = patterns, patterns + pattern_length(node)
        if within <= OBJECT_LIMIT.patterns < patterns:
            more = f"with this rule the patterns of `like` have more than {OBJECT_LIMIT.patterns} characters"
            said.append(f"{more} together. Name what is meant with == or contains instead.")
        for each in said:
            place = mentioned(statement, each) or statement.tokens[0]
            yield error_at(text, place.start, each, name)


def pattern_length(node: pst.Template) -> int:
    """Return how many characters the patterns of a rule have together."""
    return sum(len(each.pattern) for each in parts(node.clauses) if isinstance(each, pst.Like))


def _has_whole_context(node: pst.Template) -> bool:
    """Whether a rule does anything with the context but to read an attribute of it."""
    bases: set[int] = set()
    for each in parts(node.clauses):
        match each:
            case pst.GetAttr(base=base) | pst.HasAttr(base=base):
                bases.add(id(base))
            case pst.Var(name="context") if id(each) not in bases:
                return True
    return False


def _large_members(node: pst.Template) -> Iterator[str]:
    """Yield the attributes that are sets or records, and that a member of a set can be or hold."""
    for each in parts(node.clauses):
        if isinstance(each, pst.Set):
            for member in each.elements:
                yield from _large_values(member)


def _large_values(expr: pst.Expr) -> Iterator[str]:
    """Yield the attributes that are sets or records, and that an expression can come to, or its record hold.

    A set in it is looked at by itself; all else comes to a number, a text or a boolean.
    """
    for value in _values(expr):
        match value:
            case pst.Record(fields=fields):
                for each in fields.values():
                    yield from _large_values(each)
            case pst.GetAttr(attr=attr) if attr in _LARGE:
                yield attr


def _values(expr: pst.Expr) -> Iterator[pst.Expr]:
    """Yield what an expression can come to: with `if` either branch, and of a written record the part."""
    match expr:
        case pst.IfThenElse(then_expr=first, else_expr=other):
            yield from _values(first)
            yield from _values(other)
        case pst.GetAttr(base=base, attr=attr):
            for each in _values(base):
                if not isinstance(each, pst.Record):
                    yield expr
                elif attr in each.fields:
                    yield from _values(each.fields[attr])
        case _:
            yield expr


def _large(attributes: Sequence[Attribute]) -> Iterator[str]:
    for each in attributes:
        if each.parts or each.type.startswith("Set<"):
            yield each.name
        yield from _large(each.parts)


_OF_ACTIONS: Final = tuple(each for row in ACTIONS for each in row.context)
_LARGE: Final = frozenset(_large((*PRINCIPAL, *RESOURCE, *CONTEXT, *_OF_ACTIONS)))
"""Names of attributes that are sets or records."""
