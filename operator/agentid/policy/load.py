"""How much policies are for the engine, in the numbers that are bounded."""

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final, Self

from agentid.api.agentpolicy import MAX_CEDAR_LENGTH


@dataclass(frozen=True, slots=True)
class Load:
    """How much the texts of policies are together, or may be: it bounds what one decision can take.

    Attributes:
        size: Bytes of their texts.
        objects: How many objects.
        tokens: Words and marks of their rules; comments do not count.
        names: Approvers and groups of approvers that they name.
        patterns: Characters of their patterns of `like`: matching takes them times the length of the text.
    """

    size: int = 0
    objects: int = 0
    tokens: int = 0
    names: int = 0
    patterns: int = 0

    def __add__(self, other: Self) -> Self:
        """Return how much both are together."""
        return type(self)(*(mine + its for mine, its in zip(_numbers(self), _numbers(other), strict=True)))

    def __sub__(self, other: Self) -> Self:
        """Return what is left without the other."""
        return type(self)(*(mine - its for mine, its in zip(_numbers(self), _numbers(other), strict=True)))

    def beyond(self, other: Self) -> Self:
        """Return by how much it is more than the other, nowhere less than nothing."""
        more = (max(0, each) for each in _numbers(self - other))
        return type(self)(*more)

    def fits(self, room: Self) -> bool:
        """Whether it is nowhere more than `room`."""
        return all(mine <= its for mine, its in zip(_numbers(self), _numbers(room), strict=True))

    def excess(self, limit: Self) -> str:
        """Say in what it is more than `limit`, for people; empty: in nothing."""
        over = [
            f"{getattr(self, each.name)} {_TOLD[each.name]} (at most {getattr(limit, each.name)})"
            for each in fields(self)
            if getattr(self, each.name) > getattr(limit, each.name)
        ]
        return ", ".join(over)


_numbers = attrgetter(*(each.name for each in fields(Load)))
_TOLD: Final = {
    "size": "bytes of text",
    "objects": "objects",
    "tokens": "words and marks of rules",
    "names": "names of approvers and groups",
    "patterns": "characters in patterns of like",
}

OBJECT_LIMIT: Final = Load(MAX_CEDAR_LENGTH, 1, tokens=8192, names=64, patterns=4096)
"""Of one object."""
NAMESPACE_LIMIT: Final = replace(OBJECT_LIMIT, objects=64)
"""Of all AgentPolicies of one namespace together."""
CLUSTER_LIMIT: Final = Load(4 * MAX_CEDAR_LENGTH, 1024, tokens=32_768, names=256, patterns=16_384)
"""Of all ClusterAgentPolicies together."""
