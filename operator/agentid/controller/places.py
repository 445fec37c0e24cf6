"""Who gets the next place where a namespace or an Agent may have so many active tasks and no more.

Who waits gets the next place that becomes free, who waits longest first. It is held for that task until the
task was looked at, so that neither a newer one nor two at once take it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from agentid.controller.census import Census, Scope
from agentid.controller.packed_task import ACTIVE
from agentid.watched.facts import Key


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tasks of `scope` may be active at once; `message` says so to who waits."""

    scope: Scope
    most: int
    message: str


class Places:
    """The places of all namespaces and Agents that have a limit, and who waits for one."""

    def __init__(self, census: Census, look_at: Callable[[Key], None]) -> None:
        self._census = census
        self._look_at = look_at
        self._most: dict[Scope, int] = {}
        self._held: dict[Key, tuple[Scope, ...]] = {}
        self._held_in: Counter[Scope] = Counter()
        self._waiting: dict[Scope, OrderedDict[Key, None]] = {}
        self._waits_in: dict[Key, Scope] = {}

    def begin_anew(self) -> None:
        """Forget who waits and what is held: every task is looked at once."""
        for each in (self._most, self._held, self._held_in, self._waiting, self._waits_in):
            each.clear()

    def full(self, key: Key, limits: Sequence[Limit]) -> Limit | None:
        """Return the first of `limits` that leaves no place for a task that is not active yet."""
        for limit in limits:
            self._most[limit.scope] = limit.most
            own = limit.scope in self._held.get(key, ())
            if self._taken(limit.scope) - own >= limit.most:
                return limit
        return None

    def hold(self, key: Key, limits: Sequence[Limit]) -> None:
        """Hold a place for a task that is about to become active, until `let_go`."""
        self.let_go(key)
        self.leave(key)
        self._take(key, tuple(limit.scope for limit in limits))

    def wait(self, key: Key, limit: Limit) -> None:
        """Have a task wait for a place; it keeps its turn where it waits for that already."""
        if self._waits_in.get(key) != limit.scope:
            self.leave(key)
            self._waits_in[key] = limit.scope
            self._waiting.setdefault(limit.scope, OrderedDict())[key] = None

    def leave(self, key: Key) -> None:
        """Have a task wait no longer."""
        scope = self._waits_in.pop(key, None)
        if scope is not None:
            waiting = self._waiting[scope]
            del waiting[key]
            if not waiting:
                del self._waiting[scope]

    def let_go(self, key: Key) -> None:
        """Hold nothing for a task any more: it is active, and counted as such, or takes no place."""
        for scope in self._held.pop(key, ()):
            self._held_in[scope] -= 1
            if not self._held_in[scope]:
                del self._held_in[scope]

    def settle(self, key: Key) -> None:
        """End a pass over a task: what is free in its namespace goes to who waits for it there."""
        self.let_go(key)
        for scope in [each for each in self._waiting if each.namespace == key[0]]:
            self._give_out(scope)

    def _give_out(self, scope: Scope) -> None:
        free = self._most[scope] - self._taken(scope)
        for key in list(islice(self._waiting[scope], max(free, 0))):
            self.leave(key)
            self._take(key, (scope,))
            self._look_at(key)

    def _take(self, key: Key, scopes: tuple[Scope, ...]) -> None:
        self._held[key] = scopes
        self._held_in.update(scopes)

    def _taken(self, scope: Scope) -> int:
        return self._census.count(scope, *ACTIVE) + self._held_in[scope]
