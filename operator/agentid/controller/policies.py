"""The policies that are installed: which text of each is in force, and the layers that they make."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from agentid.api.agentpolicy import PolicySpec, PolicyStatus
from agentid.cluster.paths import Resource
from agentid.controller.facts import mapping, read, text, version_number
from agentid.controller.records import Key
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

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

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

    @property
    def cluster(self) -> Layer:
        """The layer of all ClusterAgentPolicies."""
        return self._layer("")

    def of(self, namespace: str) -> Layer:
        """Return the layer of a namespace's AgentPolicies."""
        return self._layer(namespace)

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
        new = await asyncio.to_thread(_installed, resource, body, old)
        old = self._find(namespace, name)
        if old is not None and new.version <= old.version:
            return
        self._installed.setdefault(namespace, {})[name] = new
        if old is None or old.rules_digest != new.rules_digest:
            self._renew(namespace)
        self._to_tell(new)

    def drop(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take in that the policy with that UID is gone: what it permitted or forbade holds no longer."""
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

    def _renew(self, namespace: str) -> None:
        self._layers.pop(namespace, None)
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
    name, generation = text(metadata.get("name")), metadata.get("generation")
    source = f"{resource.kind}/{name}"
    spec, invalid = read(PolicySpec, body.get("spec"))
    status, _ = read(PolicyStatus, body.get("status") or {})
    refusal, in_force = invalid or "", None
    if spec is not None:
        if old is not None and old.in_force is not None and old.in_force.text == spec.cedar:
            in_force = old.in_force
        else:
            try:
                in_force = accept(source, spec.cedar)
            except RefusedPolicyError as error:
                refusal = str(error)
    if in_force is None and status is not None and status.accepted is not None:
        in_force = _kept(source, status.accepted.cedar)
    return InstalledPolicy(
        resource=resource,
        namespace=text(metadata.get("namespace")),
        name=name,
        uid=text(metadata.get("uid")),
        version=version_number(body),
        generation=generation if isinstance(generation, int) else 1,
        status=status,
        refusal=refusal,
        in_force=in_force,
    )


def _kept(source: str, cedar: str) -> AcceptedPolicy | None:
    """Read the text that was accepted last; a version of agentid with another schema may not accept it."""
    try:
        return accept(source, cedar)
    except RefusedPolicyError as error:
        _log.error("accepted policy no longer accepted", policy=source, error=str(error))
        return None
