"""A layer of policies, parsed once: all of the cluster's, or all of one namespace's."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

import cedarpy
from cedarpy import pst

from agentid.policy.accept import AcceptedPolicy, Rule
from agentid.policy.nodes import parts
from agentid.policy.times import Bound, bounds_of


class LayerName(StrEnum):
    """Which of the two layers."""

    CLUSTER = "cluster"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True)
class ConsentAsked:
    """What the rules of a layer ask of approvals, so that a denial can be asked again as if it were there."""

    counted: bool
    approvers: frozenset[str]
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class LayerLimit:
    """What a layer may hold; with more it has no rules, and denies.

    Attributes:
        size: Bytes of all its texts together: it bounds what one decision can take.
        objects: How many objects.
    """

    size: int
    objects: int


CLUSTER_LIMIT: Final = LayerLimit(262_144, 1024)
NAMESPACE_LIMIT: Final = LayerLimit(65_536, 64)


@dataclass(frozen=True, slots=True)
class Layer:
    """The policies of a layer together; make one with `of` for each version, and keep it.

    Attributes:
        sources: The objects it is made of, such as `ClusterAgentPolicy/default`, sorted. Those of which no
            text was ever accepted count: a layer that holds only such objects has no rules, and denies.
        digest: `sha256:` and the SHA-256 over a line `<digest of the text>  <source>` for each text in force,
            sorted by source: as `sha256sum` would print them.
        rules: Each rule by its name.
        parsed: What Cedar evaluates.
        bounds: When one of its rules may turn with time alone.
        consent: What its rules ask of approvals.
        size: Bytes of its texts together.
        limit: What it may hold.
        is_whole: Whether all of its texts were looked through; otherwise they are too many or too large.
    """

    sources: tuple[str, ...]
    digest: str
    rules: Mapping[str, Rule]
    parsed: cedarpy.PolicySet
    bounds: frozenset[Bound]
    consent: ConsentAsked
    size: int
    limit: LayerLimit
    is_whole: bool

    @property
    def too_large(self) -> bool:
        """Whether it holds more than can be asked about: then it has no rules, and denies."""
        return not self.is_whole or self.size > self.limit.size or len(self.sources) > self.limit.objects

    @classmethod
    def of(
        cls,
        policies: Iterable[AcceptedPolicy],
        never_accepted: Iterable[str] = (),
        beyond: Mapping[str, int] = MappingProxyType({}),
        limit: LayerLimit = CLUSTER_LIMIT,
    ) -> Self:
        """Put policies together; each source stands once.

        Args:
            policies: Those with a text in force.
            never_accepted: The objects without one.
            beyond: The objects for which there was no room, with the bytes of their texts.
            limit: What the layer may hold.

        Raises:
            ValueError: a source stands twice.
        """
        ordered = sorted(policies, key=lambda each: each.source)
        sources = sorted([*(each.source for each in ordered), *never_accepted, *beyond])
        if len(set(sources)) < len(sources):
            raise ValueError("a policy stands twice in one layer")
        size = sum(each.size for each in ordered) + sum(beyond.values())
        fits = not beyond and size <= limit.size and len(sources) <= limit.objects
        in_force = ordered if fits else []
        rules = {rule.name: rule for policy in in_force for rule in policy.rules}
        nodes = {name: rule.node for name, rule in rules.items()}
        lines = "".join(f"{each.digest.removeprefix('sha256:')}  {each.source}\n" for each in ordered)
        return cls(
            tuple(sources),
            f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}",
            rules,
            cedarpy.PolicySet.from_pst(pst.PolicySet({}, nodes, ())),
            frozenset().union(*(bounds_of(node) for node in nodes.values())),
            _consent_asked(nodes.values()),
            size,
            limit,
            not beyond,
        )


def _consent_asked(rules: Iterable[pst.Template]) -> ConsentAsked:
    counted = False
    named: dict[str | None, set[str]] = {"approvers": set(), "approverGroups": set()}
    for expr in (part for rule in rules for part in parts(rule.clauses)):
        match expr:
            case pst.GetAttr(base=pst.Var(name="context"), attr="approvals"):
                counted = True
            case pst.BinaryOp(left=left, right=right):
                for attribute, other in ((left, right), (right, left)):
                    named.get(_of_context(attribute), set()).update(_texts(other))
    return ConsentAsked(counted, frozenset(named["approvers"]), frozenset(named["approverGroups"]))


def _of_context(expr: pst.Expr) -> str | None:
    """Return which attribute of the context is read; None if it is something else."""
    match expr:
        case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
            return attr
    return None


def _texts(expr: pst.Expr) -> Iterator[str]:
    return (each.value for each in parts(expr) if isinstance(each, pst.StringLit))
