"""Which rules can have a say in one action of one Agent: fewer to evaluate, none missed.

A rule whose scope names another action, or another principal, neither permits nor forbids, and its conditions
are not looked at: leaving it out changes no answer.
"""

from collections.abc import Iterable, Iterator

from cedarpy import pst

from agentid.policy.nodes import parts
from agentid.policy.vocabulary import Action


def concerns(rule: pst.Template, action: Action, principal: str | None) -> bool:
    """Whether a rule can be about `action` of the Agent of id `principal`; None: one that no rule names."""
    named = principal_named(rule)
    return _is_about(rule.action, action) and (named is None or named == principal)


def principal_named(rule: pst.Template) -> str | None:
    """Return the id of the one Agent that a rule is about; None: it may be about others too."""
    match rule.principal:
        # No Agent is in another entity, so that `in` is that one.
        case pst.ScopeEq(entity=pst.EntityUid(id=named)):
            return named
        case pst.ScopeIn(entity=pst.EntityUid(id=named)) | pst.ScopeIsIn(entity=pst.EntityUid(id=named)):
            return named
        case _:
            return None


def attributes_read(rules: Iterable[pst.Template]) -> Iterator[str]:
    """Yield each attribute of the context that rules look at; no accepted rule takes it as a whole."""
    for expr in parts(tuple(clause for rule in rules for clause in rule.clauses)):
        match expr:
            case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
                yield attr
            case pst.HasAttr(base=pst.Var(name="context"), attrs=attrs):
                yield attrs[0]


def _is_about(scope: pst.ActionConstraint, action: Action) -> bool:
    match scope:
        case pst.ActionEq(entity=only):
            return only.id == action
        case pst.ActionIn(entities=several):
            # No action of the schema is a group of others, so that `in` is one of these.
            return any(each.id == action for each in several)
        case _:
            return True
