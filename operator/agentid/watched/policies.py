"""The policies that are installed: which text of each is in force, and the layers that they make."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from agentid.cluster.paths import CLUSTER_AGENT_POLICIES, Resource
from agentid.policy.layer import Layer
from agentid.policy.load import Load
from agentid.watched.facts import Key, mapping, text, version_number
from agentid.watched.installed_policy import InstalledPolicy, limit_of, look_through

_log = structlog.get_logger("agentid.policies")

_NO_POLICIES: Final = Layer.of([])
_REMEMBERED_ENDS: Final = 4096
"""Of the cluster's policies, and of all others: what was read before an end is taken in soon after it."""


@dataclass(slots=True)
class _Held:
    """The policies of one layer, with how much room they take together."""

    by_name: dict[str, InstalledPolicy] = field(default_factory=dict)
    load: Load = field(default_factory=Load)


class Policies:
    """All policies by layer; tells `changed` whose layer is another one now, None for the cluster's.

    A layer that is made of others is `stale` until it has been made anew; the one before is in force so long.
    """

    def __init__(
        self, changed: Callable[[str | None], None], to_tell: Callable[[InstalledPolicy], None]
    ) -> None:
        self._changed = changed
        self._to_tell = to_tell
        self._held: dict[str, _Held] = {"": _Held()}
        self._by_uid: dict[str, InstalledPolicy] = {}
        self._layers: dict[str, Layer] = {}
        self._lost: dict[str, tuple[str, ...]] = {}
        self._ended: dict[bool, OrderedDict[str, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._listed: set[bool] = set()
        self.stale: set[str] = set()
        """The namespaces whose layer has to be made anew; empty: the cluster's."""

    @property
    def cluster(self) -> Layer:
        """The layer of all ClusterAgentPolicies."""
        return self.of("")

    def of(self, namespace: str) -> Layer:
        """Return the layer of a namespace's AgentPolicies."""
        return self._layers.get(namespace, _NO_POLICIES)

    def lost(self, namespace: str) -> tuple[str, ...]:
        """Return those of the cluster's and the namespace's policies of which the text in force is lost."""
        return self._lost.get("", ()) + self._lost.get(namespace, ())

    def installed(self) -> list[InstalledPolicy]:
        """Return all of them, as they are now."""
        return list(self._by_uid.values())

    def find(self, uid: str) -> InstalledPolicy | None:
        """Return the policy with that UID."""
        return self._by_uid.get(uid)

    def named(self, namespace: str, name: str) -> InstalledPolicy | None:
        """Return the policy of that name."""
        return self._held[namespace].by_name.get(name) if namespace in self._held else None

    def room(self, namespace: str) -> Load:
        """Return what a layer can take in besides what it holds."""
        return limit_of(namespace) - self._held.get(namespace, _Held()).load

    def listed(self, resource: Resource) -> list[str]:
        """Take in that all of a kind have been seen; return the layers that they are in.

        From now on there is room for texts that were not accepted before.
        """
        is_clusters = resource == CLUSTER_AGENT_POLICIES
        self._listed.add(is_clusters)
        return [namespace for namespace in self._held if (not namespace) == is_clusters]

    def fitting(self, namespace: str) -> list[InstalledPolicy]:
        """Return those for which there was no room and is some now; their texts have to be read again."""
        found: list[InstalledPolicy] = []
        if not self._is_listed(namespace):
            return found
        room = self.room(namespace)
        for each in self._held.get(namespace, _Held()).by_name.values():
            if each.waits is not None and (each.waits - each.load).fits(room):
                found.append(each)
                room -= each.waits.beyond(each.load)
        return found

    def _is_listed(self, namespace: str) -> bool:
        return (not namespace) in self._listed

    async def take(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Take in a policy as a watch or a read showed it; older states than the known one are ignored.

        A text can take a second to be looked through. Until that is done, what was in force stays so.
        """
        if not self.is_news(body):
            return
        namespace, name = _key(body)
        old, room, listed = self.named(namespace, name), self.room(namespace), self._is_listed(namespace)
        room += old.load if old is not None else Load()
        new = await asyncio.to_thread(look_through, resource, body, old, room, listed=listed)
        if self.is_news(body):
            self._put(new)
        if listed != self._is_listed(namespace):
            await self.take(resource, body)

    def set_aside(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Take in a policy for which there is no room in its layer; it takes no time."""
        if self.is_news(body):
            room = replace(self.room(_key(body)[0]), objects=0)
            self._put(look_through(resource, body, None, room, listed=True))

    def drop(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take in that the policy with that UID is gone: what it permitted or forbade holds no longer."""
        # It may be looked through just now, or come with an answer of before its end.
        ended = self._ended[not namespace]
        ended[uid] = None
        if len(ended) > _REMEMBERED_ENDS:
            ended.popitem(last=False)
        known = self.named(namespace, name)
        if known is None or known.uid != uid or known.resource != resource:
            return
        self._remove(known)
        if namespace and not self._held[namespace].by_name:
            del self._held[namespace]
        self.stale.add(namespace)

    def is_news(self, body: Mapping[str, Any]) -> bool:
        """Whether a state of a policy tells more than what is known of it."""
        namespace, name = _key(body)
        if text(mapping(body.get("metadata")).get("uid")) in self._ended[not namespace]:
            return False
        old, version = self.named(namespace, name), version_number(body)
        # What there was no room for is read again.
        return old is None or version > old.version or (old.waits is not None and version == old.version)

    async def renew(self, namespace: str) -> None:
        """Have a layer made anew in a thread. Until that is done, the one before is in force."""
        self.stale.discard(namespace)
        policies = list(self._held[namespace].by_name.values()) if namespace in self._held else []
        layer = await asyncio.to_thread(_layer_of, policies, limit_of(namespace))
        lost = tuple(each.source for each in policies if each.is_lost or layer is None)
        self._lost.pop(namespace, None)
        if lost:
            self._lost[namespace] = lost
        if layer is not None:
            self._layers.pop(namespace, None)
            if policies:
                self._layers[namespace] = layer
        self._changed(namespace or None)

    async def renew_all(self) -> None:
        """Have all layers made anew that are stale."""
        for namespace in sorted(self.stale):
            await self.renew(namespace)

    def _put(self, new: InstalledPolicy) -> None:
        old = self.named(new.namespace, new.name)
        if old is not None:
            self._remove(old)
        held = self._held.setdefault(new.namespace, _Held())
        held.by_name[new.name] = self._by_uid[new.uid] = new
        held.load += new.load
        if old is None or old.in_layer != new.in_layer:
            self.stale.add(new.namespace)
        self._to_tell(new)

    def _remove(self, known: InstalledPolicy) -> None:
        held = self._held[known.namespace]
        del held.by_name[known.name]
        self._by_uid.pop(known.uid, None)
        held.load -= known.load


def _key(body: Mapping[str, Any]) -> Key:
    metadata = mapping(body.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def _layer_of(policies: Sequence[InstalledPolicy], limit: Load) -> Layer | None:
    """Return the layer of these policies, None where it cannot be made; it runs in a thread."""
    try:
        return Layer.of(
            [each.in_force for each in policies if each.in_force is not None],
            [each.source for each in policies if each.in_force is None and not each.is_beyond],
            {each.source: each.waits for each in policies if each.is_beyond and each.waits is not None},
            limit,
        )
    except BaseException:  # noqa: BLE001 - a panic of the engine; nothing is allowed then
        _log.exception("policies could not be put together", policies=[each.source for each in policies[:5]])
        return None
