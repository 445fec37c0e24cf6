"""Names that wait in line, a lane for each namespace: a namespace with many waits for the others."""

from collections import OrderedDict

from agentid.watched.facts import Key


class Lanes:
    """Each name once, in the order in which they came within a namespace; namespaces take turns.

    What has no namespace is the platform's, and comes before all others.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, OrderedDict[Key, None]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def waiting(self, namespace: str) -> int:
        """Return how many names of a namespace wait."""
        return len(self._lanes.get(namespace, ()))

    def add(self, key: Key) -> None:
        """Put a name at the end of its lane, unless it is there."""
        self._lanes.setdefault(key[0], OrderedDict()).setdefault(key)

    def discard(self, key: Key) -> bool:
        """Take a name out; return whether it was there."""
        lane = self._lanes.get(key[0])
        if lane is None or key not in lane:
            return False
        del lane[key]
        if not lane:
            del self._lanes[key[0]]
        return True

    def next(self) -> Key:
        """Take out the next name, of the namespace whose turn it is."""
        if "" in self._lanes:
            self._lanes.move_to_end("", last=False)
        namespace, lane = self._lanes.popitem(last=False)
        key, _ = lane.popitem(last=False)
        if lane:
            self._lanes[namespace] = lane
        return key

    def clear(self) -> None:
        """Take all out."""
        self._lanes.clear()
