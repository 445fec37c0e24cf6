"""The parts of a rule as Cedar reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

from cedarpy import pst


def parts(of: object) -> Iterator[pst.Expr]:
    """Yield each expression in an expression, a clause or several, at any depth."""
    waiting = [of]
    while waiting:
        match waiting.pop():
            case tuple() as several:
                waiting.extend(several)
            case Mapping() as named:
                waiting.extend(named.values())
            case pst.When(expr) | pst.Unless(expr):
                waiting.append(expr)
            case expr if isinstance(expr, pst.Expr):
                yield expr
                waiting.extend(getattr(expr, each.name) for each in fields(expr))
