"""One policy object as it was seen: which text of it is in force, as far as its layer has room for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from agentid.api.agentpolicy import PolicySpec, PolicyStatus
from agentid.cluster.paths import Resource
from agentid.lifecycle.wording import clip
from agentid.policy.accept import AcceptedPolicy, accept
from agentid.policy.errors import RefusedPolicyError
from agentid.policy.load import CLUSTER_LIMIT, NAMESPACE_LIMIT, OBJECT_LIMIT, Load
from agentid.watched.facts import mapping, read, text, version_number

_log = structlog.get_logger("agentid.policies")

_NOT_LISTED: Final = "not all policies of its layer have been seen yet"


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
        load: How much room it takes of its layer.
        waits: Where there is no room for its own text: how much that is, as far as it is known. It is read
            again when there is room for so much; so long the last text that was accepted stays in force.
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
    load: Load
    waits: Load | None

    @property
    def is_beyond(self) -> bool:
        """Whether there is no room for it, and no text of it in force: what it forbids is not known."""
        return self.waits is not None and self.in_force is None and not self.is_lost

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
        return self.rules_digest, self.is_lost, self.is_beyond, self.load


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of reading a text: it is in force, or refused, or there is no room for so much (`waits`)."""

    policy: AcceptedPolicy | None = None
    refusal: str = ""
    waits: Load | None = None


def limit_of(namespace: str) -> Load:
    """Return what the layer of a namespace may hold; of an empty one, the cluster's."""
    return NAMESPACE_LIMIT if namespace else CLUSTER_LIMIT


def look_through(
    resource: Resource, body: Mapping[str, Any], old: InstalledPolicy | None, room: Load, *, listed: bool
) -> InstalledPolicy:
    """Return a policy as it is now, where the others of its layer leave so much room.

    Until all of its layer are `listed`, only texts that were accepted before are taken, so that after a
    restart none takes the room of another that was in force. With room for no object it takes no time;
    otherwise a text can take a second: call it in a thread.
    """
    metadata = mapping(body.get("metadata"))
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    uid, generation = text(metadata.get("uid")), metadata.get("generation")
    source = f"{resource.kind}/{name}"
    spec, invalid = read(PolicySpec, body.get("spec"))
    status, _ = read(PolicyStatus, body.get("status") or {})
    number = generation if isinstance(generation, int) else 1
    told = status.accepted if status is not None else None
    own = _Read(refusal=invalid or "")
    if spec is not None:
        may_be_taken = listed or (told is not None and told.cedar == spec.cedar)
        own = _own(source, spec.cedar, old, room if may_be_taken else Load())
    in_force, of, is_lost = own.policy, number, False
    if in_force is None:
        in_force, of, is_lost = _kept(source, uid, status, old, room)
    refusal = own.refusal
    if own.waits is not None:
        limit = limit_of(namespace)
        refusal = _no_room(source, limit - room + own.waits, limit) if listed else f"{source}: {_NOT_LISTED}"
    found = InstalledPolicy(
        resource=resource,
        namespace=namespace,
        name=name,
        uid=uid,
        version=version_number(body),
        generation=number,
        status=status,
        refusal=clip(refusal),
        in_force=in_force,
        in_force_generation=of,
        is_lost=is_lost and own.waits is None,
        load=Load(objects=1) if in_force is None else in_force.load,
        waits=own.waits,
    )
    without = _without_copies(status, in_force, is_beyond=found.is_beyond)
    return replace(found, status=without, load=Load() if found.is_beyond else found.load)


def _no_room(source: str, load: Load, limit: Load) -> str:
    return f"{source}: with it, its layer has {load.excess(limit)}"


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


def _own(source: str, cedar: str, old: InstalledPolicy | None, room: Load) -> _Read:
    """Return what comes of the text in an object's spec."""
    if old is not None and old.in_force is not None and old.in_force.text == cedar:
        return _Read(old.in_force)
    least = Load(size=len(cedar.encode(errors="replace")), objects=1)
    if room.objects < 1 or room.size < least.size <= OBJECT_LIMIT.size:
        return _Read(waits=least)
    policy, refusal = _accepted(source, cedar)
    if policy is not None and not policy.load.fits(room):
        return _Read(waits=policy.load)
    return _Read(policy, refusal)


def _accepted(source: str, cedar: str) -> tuple[AcceptedPolicy | None, str]:
    """Return the text if it is accepted, or else why it is not; it runs in a thread, where nothing ends."""
    try:
        return accept(source, cedar), ""
    except RefusedPolicyError as error:
        return None, str(error)
    except BaseException as error:  # noqa: BLE001 - a panic of the engine; one text must not stop all
        return None, f"{source}: the text could not be looked through: {type(error).__name__}"


def _kept(
    source: str, uid: str, status: PolicyStatus | None, old: InstalledPolicy | None, room: Load
) -> tuple[AcceptedPolicy | None, int, bool]:
    """Return the text that was accepted last, its generation, and whether it is lost.

    The status may not tell yet what is remembered, and after a restart nothing is remembered. Another version
    of agentid may have accepted what this one does not, or written a status that this one cannot read; and
    another replica may have had room for what this one has not: then what is remembered stays.
    """
    known = old if old is not None and old.uid == uid and not old.is_beyond else None
    if status is None:
        return (known.in_force, known.in_force_generation, known.is_lost) if known else (None, 0, True)
    told = status.accepted
    if known is not None and (told is None or told.generation <= known.in_force_generation):
        return known.in_force, known.in_force_generation, known.is_lost
    if told is None or room.objects < 1:
        return None, 0, False
    kept, refusal = _accepted(source, told.cedar)
    if kept is None:
        _log.error("accepted policy no longer accepted", policy=source, error=refusal)
    elif not kept.load.fits(room):
        return (known.in_force, known.in_force_generation, known.is_lost) if known else (None, 0, True)
    return kept, told.generation, kept is None
