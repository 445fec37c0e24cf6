"""In which order the children of a parent have the places that there are, its steps and the others apart."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import takewhile

from agentid.lifecycle.children import Rank, is_rival, limit_of, rank
from agentid.lifecycle.model import ChildFacts

Parent = tuple[str, str]
"""Namespace and UID of a task that others name as their parent, whether it is there or not."""


class Siblings:
    """All children that count, in order, so that nobody looks through thousands to find who comes first."""

    def __init__(self) -> None:
        self._orders: dict[tuple[Parent, bool], list[Rank]] = {}

    def take(self, parent: Parent, old: ChildFacts | None, new: ChildFacts | None) -> str | None:
        """Take in that the child `old` is `new` now; None: it was not there, or is not any more.

        Return the UID of who has the place that it had, if somebody has it now.
        """
        had_place = old is not None and is_rival(old) and self._drop(parent, old)
        has_place = new is not None and is_rival(new) and self._put(parent, new)
        if old is None or not had_place or has_place:
            return None
        order, limit = self._orders.get((parent, old.is_step), []), limit_of(is_step=old.is_step)
        return order[limit - 1][-1] if len(order) >= limit else None

    def ahead(self, parent: Parent, child: ChildFacts) -> int:
        """Return how many of its sort come before a child, whether it counts itself or not."""
        return bisect_left(self._orders.get((parent, child.is_step), []), rank(child))

    def steps(self, parent: Parent) -> Iterator[str]:
        """Yield the UIDs of those steps that have begun and are not over."""
        begun = takewhile(lambda each: not each[0], self._orders.get((parent, True), []))
        return (uid for _, _, uid in begun)

    def _drop(self, parent: Parent, child: ChildFacts) -> bool:
        """Take a child out; return whether it had a place."""
        order, at = self._orders[parent, child.is_step], self.ahead(parent, child)
        del order[at]
        if not order:
            del self._orders[parent, child.is_step]
        return at < limit_of(is_step=child.is_step)

    def _put(self, parent: Parent, child: ChildFacts) -> bool:
        """Put a child in; return whether it has a place."""
        insort(self._orders.setdefault((parent, child.is_step), []), rank(child))
        return self.ahead(parent, child) < limit_of(is_step=child.is_step)
