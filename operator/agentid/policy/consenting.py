"""What rules ask of approvals, so that a denial can be asked again as if they were there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from cedarpy import pst

from agentid.policy.nodes import parts

_READING: Final = frozenset({"approved", "approvals", "approvers", "approverGroups"})


@dataclass(frozen=True, slots=True)
class ConsentAsked:
    """What rules ask of approvals.

    Attributes:
        reads: Whether they look at approvals at all.
        counted: Whether it matters how many there are.
        approvers: The people that they name.
        groups: The groups that they name.
    """

    reads: bool = False
    counted: bool = False
    approvers: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @property
    def names(self) -> int:
        """How many people and groups are named."""
        return len(self.approvers) + len(self.groups)

    @classmethod
    def of(cls, rule: pst.Template) -> Self:
        """Return what one rule asks."""
        read: set[str] = set()
        named: dict[str | None, set[str]] = {"approvers": set(), "approverGroups": set()}
        for expr in parts(rule.clauses):
            match expr:
                case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
                    read.add(attr)
                case pst.BinaryOp(left=left, right=right):
                    for attribute, other in ((left, right), (right, left)):
                        named.get(_of_context(attribute), set()).update(_texts(other))
        return cls(
            bool(read & _READING),
            "approvals" in read,
            frozenset(named["approvers"]),
            frozenset(named["approverGroups"]),
        )

    @classmethod
    def together(cls, several: Iterable["ConsentAsked"]) -> Self:
        """Return what all of them ask."""
        known = tuple(several)
        return cls(
            any(each.reads for each in known),
            any(each.counted for each in known),
            frozenset[str]().union(*(each.approvers for each in known)),
            frozenset[str]().union(*(each.groups for each in known)),
        )


def _of_context(expr: pst.Expr) -> str | None:
    """Return which attribute of the context is read; None if it is something else."""
    match expr:
        case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
            return attr
    return None


def _texts(expr: pst.Expr) -> Iterator[str]:
    return (each.value for each in parts(expr) if isinstance(each, pst.StringLit))
