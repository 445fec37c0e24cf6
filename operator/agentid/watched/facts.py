"""Turns what the API server sends into facts; whatever is in a body, nothing here raises."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from sys import intern
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from agentid.api.agent import AgentSpec
from agentid.api.names import TASK_LABEL, TEMPLATE_LABEL
from agentid.lifecycle.model import AgentFacts, PodEnd, PodFacts, PodPhase, WorkloadFacts, WorkloadState

_Part = TypeVar("_Part", bound=BaseModel)

Key = tuple[str, str]
"""Namespace and name; everything under one name of a task is worked on in turn, never at once."""

_BEGINNING: Final = datetime.fromtimestamp(0, UTC)
_NODE_LOST_REASONS: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC", "NodeLost"})
_SUCCEEDED_CONDITIONS: Final = frozenset({"Complete", "Completed", "Succeeded", "Finished"})
_MAX_MESSAGE_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class OwnerReference:
    """The controlling owner of an object."""

    api_version: str
    kind: str
    name: str
    uid: str


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` if it is an object of JSON, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return `value` if it is a list of JSON, otherwise an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return `value` if it is a string, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def moment(value: object) -> datetime | None:
    """Return the time that `value` writes, in UTC, if it does."""
    try:
        read = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return read.astimezone(UTC) if read.tzinfo is not None else None


def read(model: type[_Part], part: object) -> tuple[_Part | None, str | None]:
    """Return `part` as the model has it, or what does not fit."""
    try:
        return model.model_validate_json(orjson.dumps(part)), None
    except ValidationError as error:
        return None, _first_problem(error)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{error.title}.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def version_number(body: Mapping[str, Any]) -> int:
    """Return metadata.resourceVersion as the number that it is (comparable since Kubernetes 1.35), or 0."""
    version = text(mapping(body.get("metadata")).get("resourceVersion"))
    return int(version) if version.isdecimal() else 0


def pod_task(body: Mapping[str, Any]) -> str:
    """Return the name of the task that the pod's label names, or nothing."""
    return text(mapping(mapping(body.get("metadata")).get("labels")).get(TASK_LABEL))


def controller_of(body: Mapping[str, Any]) -> OwnerReference | None:
    """Return the object's controlling owner, if it has one."""
    for each in sequence(mapping(body.get("metadata")).get("ownerReferences")):
        owner = mapping(each)
        if owner.get("controller") is True:
            return OwnerReference(
                intern(text(owner.get("apiVersion"))),
                intern(text(owner.get("kind"))),
                text(owner.get("name")),
                text(owner.get("uid")),
            )
    return None


def pod_facts(body: Mapping[str, Any], *, labelled: bool) -> PodFacts:
    """Return what a decision needs of a pod; whose it is only follows from looking at its owners."""
    metadata, spec, status = (mapping(body.get(part)) for part in ("metadata", "spec", "status"))
    deleted = moment(metadata.get("deletionTimestamp"))
    leaving = "deletionTimestamp" in metadata
    phase = _phase(status)
    owner = controller_of(body)
    return PodFacts(
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        service_account=intern(text(spec.get("serviceAccountName"))),
        node=intern(text(spec.get("nodeName"))) or None,
        phase=phase,
        labelled=labelled,
        leaving=leaving,
        gone_by=deleted,
        containers_ended=_containers_ended(spec, status, phase, leaving=leaving),
        end=_pod_end(status),
        controllers=(),
        fingerprint=_fingerprint(spec, owner),
        created=moment(metadata.get("creationTimestamp")) or _BEGINNING,
        template=intern(text(mapping(metadata.get("labels")).get(TEMPLATE_LABEL))) or None,
        images=_images(spec, ("initContainers", "containers", "ephemeralContainers"), "image"),
        running_images=_images(
            status, ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"), "imageID"
        ),
        all_run=_all_run(spec, status),
    )


def seen_before(old: PodFacts, new: PodFacts) -> PodFacts:
    """Return `new` with the images of `old`, where a container that ran has none at the moment.

    A kubelet that starts a container again may say for a while that nothing of it runs. It must make no
    difference: a rule that forbids an image goes on to see it, one that demands an image does not miss it,
    and no pod gets around either by a container that it lets crash.
    """
    if new.all_run or not old.all_run or new.fingerprint != old.fingerprint:
        return new
    images = tuple(sorted({*old.running_images, *new.running_images}))
    return replace(new, running_images=images, all_run=True)


def _images(part: Mapping[str, Any], kinds: Iterable[str], field: str) -> tuple[str, ...]:
    found = {text(mapping(each).get(field)) for kind in kinds for each in sequence(part.get(kind))}
    return tuple(intern(image) for image in sorted(found - {""}))


def _all_run(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Return whether each container runs or has run, and each sidecar: an init container that stays."""
    statuses = [
        mapping(each)
        for kind in ("initContainerStatuses", "containerStatuses")
        for each in sequence(status.get(kind))
    ]
    run = {text(each.get("name")) for each in statuses if text(each.get("imageID"))}
    named = {text(mapping(each).get("name")) for each in sequence(spec.get("containers"))}
    init_containers = [mapping(each) for each in sequence(spec.get("initContainers"))]
    sidecars = {text(each.get("name")) for each in init_containers if each.get("restartPolicy") == "Always"}
    return bool(named) and named | sidecars <= run


def _phase(status: Mapping[str, Any]) -> PodPhase:
    try:
        return PodPhase(status.get("phase"))
    except ValueError:
        return PodPhase.UNKNOWN


def _containers_ended(
    spec: Mapping[str, Any], status: Mapping[str, Any], phase: PodPhase, *, leaving: bool
) -> bool:
    if phase in {PodPhase.SUCCEEDED, PodPhase.FAILED}:
        return True
    if not leaving:
        return False
    if not spec.get("nodeName"):
        return True
    states = [
        mapping(mapping(each).get("state"))
        for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for each in sequence(status.get(kind))
    ]
    return bool(states) and all("terminated" in state for state in states)


def _pod_end(status: Mapping[str, Any]) -> PodEnd:
    reasons = {text(status.get("reason"))}
    for each in sequence(status.get("conditions")):
        condition = mapping(each)
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            reasons.add(text(condition.get("reason")) or "DisruptionTarget")
    if reasons & _NODE_LOST_REASONS:
        return PodEnd.NODE_LOST
    disrupted = reasons - {""}
    told_by_kubelet = text(status.get("reason"))
    if told_by_kubelet == "Evicted" or (disrupted and disrupted != {told_by_kubelet}):
        return PodEnd.EVICTED
    return PodEnd.UNSAID


def _fingerprint(spec: Mapping[str, Any], owner: OwnerReference | None) -> str:
    """Return a digest of what makes a pod the one that was decided on: what runs in it, and who controls it.

    A controller that lets a pod go, or takes up one that was nobody's, makes another pod of it.
    """
    containers = [
        [kind, text(mapping(each).get("name")), text(mapping(each).get("image"))]
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for each in sequence(spec.get(kind))
    ]
    identity = [sorted(containers), owner.uid if owner is not None else None]
    return intern(hashlib.sha256(orjson.dumps(identity)).hexdigest())


def agent_facts(body: Mapping[str, Any]) -> AgentFacts:
    """Return what a decision needs of an Agent."""
    metadata = mapping(body.get("metadata"))
    try:
        spec = AgentSpec.model_validate_json(orjson.dumps(mapping(body.get("spec"))))
    except (ValidationError, orjson.JSONEncodeError):
        spec = None
    return AgentFacts(text(metadata.get("uid")), "deletionTimestamp" in metadata, spec)


def workload_facts(body: Mapping[str, Any]) -> WorkloadFacts:
    """Return how an object that runs a task stands, from the conditions that kinds of work commonly have."""
    uid = text(mapping(body.get("metadata")).get("uid"))
    succeeded: WorkloadFacts | None = None
    for each in sequence(mapping(body.get("status")).get("conditions")):
        condition = mapping(each)
        kind, status = text(condition.get("type")), condition.get("status")
        message = _told(condition)
        if (kind == "Failed" and status == "True") or (kind == "Succeeded" and status == "False"):
            return WorkloadFacts(WorkloadState.FAILED, uid, message)
        if kind in _SUCCEEDED_CONDITIONS and status == "True":
            succeeded = WorkloadFacts(WorkloadState.SUCCEEDED, uid, message)
    return succeeded or WorkloadFacts(WorkloadState.LIVE, uid)


def _told(condition: Mapping[str, Any]) -> str:
    parts = (text(condition.get("reason")), text(condition.get("message")))
    return ": ".join(part for part in parts if part)[:_MAX_MESSAGE_LENGTH]
