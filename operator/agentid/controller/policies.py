"""The policies that are installed: which text of each is in force, and the layers that they make."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from agentid.api.agentpolicy import PolicySpec, PolicyStatus
from agentid.cluster.paths import Resource
from agentid.controller.facts import mapping, read, text, version_number
from agentid.policy.accept import AcceptedPolicy, accept
from agentid.policy.errors import RefusedPolicyError
from agentid.policy.layer import Layer

_log = structlog.get_logger("agentid.policies")


@dataclass(frozen=True, slots=True)
class InstalledPolicy:
    """One policy object as last seen, and what is in force of it.

    Attributes:
        resource: Its kind.
        namespace: Its namespace; empty for the cluster's.
        name: Its name.
        uid: Its UID.
        version: Its resourceVersion as a number.
        generation: Its metadata.generation.
        status: Its status as it was seen; None where that cannot be read.
        refusal: Why its text is not accepted; empty if it is.
        in_force: The text in force: its own, or else the last one that was accepted, if any.
        in_force_generation: The metadata.generation that the text in force is of.
        is_lost: A text was accepted that cannot be read here, so that it is not known what it forbids.
    """

    resource: Resource
    namespace: str
    name: str
    uid: str
    version: int
    generation: int
    status: PolicyStatus | None
    refusal: str
    in_force: AcceptedPolicy | None
    in_force_generation: int
    is_lost: bool

    @property
    def rules_digest(self) -> str | None:
        """The digest of the text in force, if one is."""
        return self.in_force.digest if self.in_force is not None else None

    @property
    def source(self) -> str:
        """How decisions name it."""
        return f"{self.resource.kind}/{self.name}"


class Policies:
    """All policies by layer; tells `changed` whose layer is another one now, None for the cluster's."""

    def __init__(
        self, changed: Callable[[str | None], None], to_tell: Callable[[InstalledPolicy], None]
    ) -> None:
        self._changed = changed
        self._to_tell = to_tell
        self._installed: dict[str, dict[str, InstalledPolicy]] = {"": {}}
        self._layers: dict[str, Layer] = {}
        self._lost: dict[str, tuple[str, ...]] = {"": ()}
        self._under_way = 0
        self._gone: set[str] = set()

    @property
    def cluster(self) -> Layer:
        """The layer of all ClusterAgentPolicies."""
        return self._layer("")

    def of(self, namespace: str) -> Layer:
        """Return the layer of a namespace's AgentPolicies."""
        return self._layer(namespace)

    def lost(self, namespace: str) -> tuple[str, ...]:
        """Return those of the cluster's and the namespace's policies of which the text in force is lost."""
        return self._lost[""] + self._lost.get(namespace, ())

    def installed(self) -> list[InstalledPolicy]:
        """Return all of them, as they are now."""
        return [each for by_name in self._installed.values() for each in by_name.values()]

    def find(self, uid: str) -> InstalledPolicy | None:
        """Return the policy with that UID."""
        return next((each for each in self.installed() if each.uid == uid), None)

    async def take(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Take in a policy as a watch or a read showed it; older states than the known one are ignored.

        A text can take a second to be looked through. Until that is done, what was in force stays so.
        """
        metadata = mapping(body.get("metadata"))
        namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
        old = self._find(namespace, name)
        if old is not None and version_number(body) <= old.version:
            return
        self._under_way += 1
        try:
            new = await asyncio.to_thread(_installed, resource, body, old)
        finally:
            self._under_way -= 1
        if self._went_meanwhile(new.uid):
            return
        old = self._find(namespace, name)
        if old is not None and new.version <= old.version:
            return
        self._installed.setdefault(namespace, {})[name] = new
        if old is None or (old.rules_digest, old.is_lost) != (new.rules_digest, new.is_lost):
            self._renew(namespace)
        self._to_tell(new)

    def drop(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take in that the policy with that UID is gone: what it permitted or forbade holds no longer."""
        if self._under_way:
            # What is looked through just now may be what is gone.
            self._gone.add(uid)
        by_name = self._installed.get(namespace, {})
        known = by_name.get(name)
        if known is None or known.uid != uid or known.resource != resource:
            return
        del by_name[name]
        if namespace and not by_name:
            del self._installed[namespace]
        self._renew(namespace)

    def _find(self, namespace: str, name: str) -> InstalledPolicy | None:
        return self._installed.get(namespace, {}).get(name)

    def _went_meanwhile(self, uid: str) -> bool:
        went = uid in self._gone
        if not self._under_way:
            self._gone.clear()
        return went

    def _renew(self, namespace: str) -> None:
        self._layers.pop(namespace, None)
        lost = tuple(each.source for each in self._installed.get(namespace, {}).values() if each.is_lost)
        if lost or not namespace:
            self._lost[namespace] = lost
        else:
            self._lost.pop(namespace, None)
        self._changed(namespace or None)

    def _layer(self, namespace: str) -> Layer:
        found = self._layers.get(namespace)
        if found is None:
            policies = self._installed.get(namespace, {}).values()
            found = Layer.of(
                [each.in_force for each in policies if each.in_force is not None],
                [each.source for each in policies if each.in_force is None],
            )
            if policies or not namespace:
                self._layers[namespace] = found
        return found


def _installed(resource: Resource, body: Mapping[str, Any], old: InstalledPolicy | None) -> InstalledPolicy:
    metadata = mapping(body.get("metadata"))
    name, uid, generation = text(metadata.get("name")), text(metadata.get("uid")), metadata.get("generation")
    source = f"{resource.kind}/{name}"
    spec, invalid = read(PolicySpec, body.get("spec"))
    status, _ = read(PolicyStatus, body.get("status") or {})
    number = generation if isinstance(generation, int) else 1
    own, refusal = (None, invalid or "") if spec is None else _own(source, spec.cedar, old)
    in_force, of, is_lost = (own, number, False) if own is not None else _kept(source, uid, status, old)
    return InstalledPolicy(
        resource=resource,
        namespace=text(metadata.get("namespace")),
        name=name,
        uid=uid,
        version=version_number(body),
        generation=number,
        status=status,
        refusal=refusal,
        in_force=in_force,
        in_force_generation=of,
        is_lost=is_lost,
    )


def _own(source: str, cedar: str, old: InstalledPolicy | None) -> tuple[AcceptedPolicy | None, str]:
    """Return the text as it is accepted, or why it is not."""
    if old is not None and old.in_force is not None and old.in_force.text == cedar:
        return old.in_force, ""
    return _accepted(source, cedar)


def _accepted(source: str, cedar: str) -> tuple[AcceptedPolicy | None, str]:
    """Return the text if it is accepted, or else why it is not; it runs in a thread, where nothing ends."""
    try:
        return accept(source, cedar), ""
    except RefusedPolicyError as error:
        return None, str(error)
    except BaseException as error:  # noqa: BLE001 - a panic of the engine; one text must not stop all
        return None, f"{source}: the text could not be looked through: {type(error).__name__}"


def _kept(
    source: str, uid: str, status: PolicyStatus | None, old: InstalledPolicy | None
) -> tuple[AcceptedPolicy | None, int, bool]:
    """Return the text that was accepted last, its generation, and whether it is lost.

    The status may not tell yet what is remembered, and after a restart nothing is remembered. Another version
    of agentid may have accepted what this one does not, or written a status that this one cannot read.
    """
    known = old if old is not None and old.uid == uid else None
    if status is None:
        return (known.in_force, known.in_force_generation, known.is_lost) if known else (None, 0, True)
    told = status.accepted
    if known is not None and (told is None or told.generation <= known.in_force_generation):
        return known.in_force, known.in_force_generation, known.is_lost
    if told is None:
        return None, 0, False
    kept, refusal = _accepted(source, told.cedar)
    if kept is None:
        _log.error("accepted policy no longer accepted", policy=source, error=refusal)
    return kept, told.generation, kept is None
