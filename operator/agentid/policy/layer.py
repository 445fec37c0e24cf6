"""A layer of policies, parsed once: all of the cluster's, or all of one namespace's."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

import cedarpy
from cedarpy import pst

from agentid.policy.accept import AcceptedPolicy, Rule
from agentid.policy.consenting import ConsentAsked
from agentid.policy.load import CLUSTER_LIMIT, Load
from agentid.policy.times import Bound


class LayerName(StrEnum):
    """Which of the two layers."""

    CLUSTER = "cluster"
    NAMESPACE = "namespace"


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
        load: How much its texts are together.
        limit: What it may hold.
        is_whole: Whether there is room for all of its objects.
    """

    sources: tuple[str, ...]
    digest: str
    rules: Mapping[str, Rule]
    parsed: cedarpy.PolicySet
    bounds: frozenset[Bound]
    consent: ConsentAsked
    load: Load
    limit: Load
    is_whole: bool

    @property
    def too_large(self) -> bool:
        """Whether it holds more than can be asked about: then it has no rules, and denies."""
        return not self.is_whole or not self.load.fits(self.limit)

    @classmethod
    def of(
        cls,
        policies: Iterable[AcceptedPolicy],
        never_accepted: Iterable[str] = (),
        beyond: Mapping[str, Load] = MappingProxyType({}),
        limit: Load = CLUSTER_LIMIT,
    ) -> Self:
        """Put policies together; each source stands once.

        Args:
            policies: Those with a text in force.
            never_accepted: The objects without one.
            beyond: The objects for which there is no room, with how much they are, as far as that is known.
            limit: What the layer may hold.

        Raises:
            ValueError: a source stands twice.
        """
        ordered, without = sorted(policies, key=lambda each: each.source), tuple(never_accepted)
        sources = sorted([*(each.source for each in ordered), *without, *beyond])
        if len(set(sources)) < len(sources):
            raise ValueError("a policy stands twice in one layer")
        load = sum((*(each.load for each in ordered), *beyond.values()), Load(objects=len(without)))
        in_force = ordered if not beyond and load.fits(limit) else []
        rules = {rule.name: rule for policy in in_force for rule in policy.rules}
        nodes = {name: rule.node for name, rule in rules.items()}
        lines = "".join(f"{each.digest.removeprefix('sha256:')}  {each.source}\n" for each in ordered)
        return cls(
            tuple(sources),
            f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}",
            rules,
            cedarpy.PolicySet.from_pst(pst.PolicySet({}, nodes, ())),
            frozenset[Bound]().union(*(each.bounds for each in in_force)),
            ConsentAsked.together(each.consent for each in in_force),
            load,
            limit,
            not beyond,
        )
