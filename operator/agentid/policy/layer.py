"""A layer of policies, parsed once: all of the cluster's, or all of one namespace's."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

import cedarpy
from cedarpy import pst

from agentid.policy.accept import AcceptedPolicy, Rule
from agentid.policy.consenting import ConsentAsked
from agentid.policy.load import CLUSTER_LIMIT, Load
from agentid.policy.slicing import attributes_read, concerns, principal_named
from agentid.policy.times import Bound, bounds_of
from agentid.policy.vocabulary import Action

_MOST_PARTS: Final = 64
"""Parts of a layer that are kept: each may hold most of its rules, some 4 kB each."""


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
        reads: The attributes of the context that its rules look at.
        named: The ids of the Agents that its rules name, each in its scope.
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
    reads: frozenset[str]
    named: frozenset[str]
    load: Load
    limit: Load
    is_whole: bool
    _parts: OrderedDict[tuple[Action, str | None], "Layer"] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    @property
    def too_large(self) -> bool:
        """Whether it holds more than can be asked about: then it has no rules, and denies."""
        return not self.is_whole or not self.load.fits(self.limit)

    def about(self, action: Action, principal: str) -> "Layer":
        """Return the part of it that can have a say in `action` of the Agent of id `principal`.

        It has those rules only; all else is the whole layer's. Parts that were asked for lately are kept.
        """
        key = action, principal if principal in self.named else None
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = self._part(*key)
            if len(self._parts) > _MOST_PARTS:
                self._parts.popitem(last=False)
        self._parts.move_to_end(key)
        return found

    def _part(self, action: Action, principal: str | None) -> "Layer":
        rules = {name: rule for name, rule in self.rules.items() if concerns(rule.node, action, principal)}
        if len(rules) == len(self.rules):
            return self
        nodes = {name: rule.node for name, rule in rules.items()}
        return replace(
            self,
            rules=rules,
            parsed=cedarpy.PolicySet.from_pst(pst.PolicySet({}, nodes, ())),
            bounds=frozenset[Bound]().union(*(bounds_of(node) for node in nodes.values())),
            consent=ConsentAsked.together(ConsentAsked.of(node) for node in nodes.values()),
            reads=frozenset(attributes_read(nodes.values())),
            _parts=OrderedDict(),
        )

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
            frozenset(attributes_read(nodes.values())),
            frozenset(name for node in nodes.values() if (name := principal_named(node)) is not None),
            load,
            limit,
            not beyond,
        )
