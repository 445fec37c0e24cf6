"""One policy object as it was seen: which text of it is in force, if there is room for one in its layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from agentid.api.agentpolicy import PolicySpec, PolicyStatus
from agentid.cluster.paths import Resource
from agentid.controller.facts import mapping, read, text, version_number
from agentid.lifecycle.wording import clip
from agentid.policy.accept import AcceptedPolicy, accept
from agentid.policy.errors import RefusedPolicyError
from agentid.policy.layer import CLUSTER_LIMIT, NAMESPACE_LIMIT, LayerLimit

_log = structlog.get_logger("agentid.policies")

_BEYOND: Final = "more than {0.size} bytes of policies together, or {0.objects} of them, in one layer"


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
        is_beyond: There is no room for it in its layer. Nothing of its texts is kept, in its status neither.
        size: Bytes of the text in force, or of what there is no room for.
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
    is_beyond: bool
    size: int

    @property
    def rules_digest(self) -> str | None:
        """The digest of the text in force, if one is."""
        return self.in_force.digest if self.in_force is not None else None

    @property
    def source(self) -> str:
        """How decisions name it."""
        return f"{self.resource.kind}/{self.name}"

    @property
    def in_layer(self) -> tuple[object, ...]:
        """What its layer is made of; while that stays, the layer stays."""
        return self.rules_digest, self.is_lost, self.is_beyond, self.size


def limit_of(namespace: str) -> LayerLimit:
    """Return what the layer of a namespace may hold; of an empty one, the cluster's."""
    return NAMESPACE_LIMIT if namespace else CLUSTER_LIMIT


def look_through(
    resource: Resource, body: Mapping[str, Any], old: InstalledPolicy | None, room: LayerLimit
) -> InstalledPolicy:
    """Return a policy as it is now, where the others of its layer leave so much room.

    With room for no object it takes no time; otherwise a text can take a second: call it in a thread.
    """
    metadata = mapping(body.get("metadata"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    uid, generation = text(metadata.get("uid")), metadata.get("generation")
    source = f"{resource.kind}/{name}"
    spec, invalid = read(PolicySpec, body.get("spec"))
    status, _ = read(PolicyStatus, body.get("status") or {})
    number = generation if isinstance(generation, int) else 1
    size, in_force, of, is_lost, refusal = _size(spec), None, 0, False, ""
    is_beyond = room.objects < 1 or size > room.size
    if not is_beyond:
        own, refusal = (None, invalid or "") if spec is None else _own(source, spec.cedar, old)
        in_force, of, is_lost = (own, number, False) if own is not None else _kept(source, uid, status, old)
        size = in_force.size if in_force is not None else 0
        is_beyond = size > room.size
    if is_beyond:
        in_force, of, is_lost = None, 0, False
        refusal = f"{source}: {_BEYOND.format(limit_of(namespace))}"
    return InstalledPolicy(
        resource=resource,
        namespace=namespace,
        name=name,
        uid=uid,
        version=version_number(body),
        generation=number,
        status=_without_copies(status, in_force, is_beyond=is_beyond),
        refusal=clip(refusal),
        in_force=in_force,
        in_force_generation=of,
        is_lost=is_lost,
        is_beyond=is_beyond,
        size=size,
    )


def _size(spec: PolicySpec | None) -> int:
    return len(spec.cedar.encode(errors="replace")) if spec is not None else 0


def _without_copies(
    status: PolicyStatus | None, in_force: AcceptedPolicy | None, *, is_beyond: bool
) -> PolicyStatus | None:
    """Return a status that holds the text in force, and no second copy of it."""
    if status is None or status.accepted is None:
        return status
    if is_beyond:
        return status.model_copy(update={"accepted": None})
    if in_force is None or in_force.text != status.accepted.cedar:
        return status
    accepted = status.accepted.model_copy(update={"cedar": in_force.text})
    return status.model_copy(update={"accepted": accepted})


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
    known = old if old is not None and old.uid == uid and not old.is_beyond else None
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
