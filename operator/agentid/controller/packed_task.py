"""One AgentTask as it is kept in memory: what indexes need as fields, the rest packed."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from sys import intern
from typing import Any, Final, Self

import orjson

from agentid.api.agentsecret import MAX_STATIC_SECRETS
from agentid.api.agenttask import AgentTaskSpec, CredentialMode, DesiredState
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.names import TRACEPARENT_ANNOTATION
from agentid.api.reasons import ConditionType
from agentid.lifecycle.model import ChildFacts, TaskFacts
from agentid.process.trace_context import MAX_TRACEPARENT
from agentid.watched.facts import mapping, moment, read, sequence, text, version_number

_COMMON: Final = (
    b'"groups":["system:authenticated","system:serviceaccounts"],"podUID":"stateReason":"grantable":["resources"'
    b'"onBehalfOf":"session":"sensitivity":"Confidential","workload":{"ref":{"apiVersion":"batch/v1","kind":"Job",'
    b'"name":""serviceAccountName":"Suspended"Succeeded"Stalled"{"metadata":{"generation":1,"resourceVersion":"'
    b'"creationTimestamp":"2026-"},"spec":{"activeDeadlineSeconds":3600,"agentRef":{"name":"},"credential":{"mode":'
    b'"Secret","renew":true,"ttlSeconds":300},"intent":{"actions":[""],"purpose":"","sensitivity":"Internal"},'
    b'"requester":{"groups":["system:authenticated"],"intentGeneration":1,"username":"system:serviceaccount:"},'
    b'"startDeadlineSeconds":600,"state":"Active","stateChangedBy":{"username":"system:serviceaccount:"},'
    b'"ttlSecondsAfterFinished":86400,"workload":{"replacement":"Never"}},"status":{"boundPod":{"fingerprint":"",'
    b'"name":"","node":"","uid":""},"conditions":[{"lastTransitionTime":"2026-","message":"allowed by ",'
    b'"observedGeneration":1,"reason":"PolicyAllowed","status":"True","type":"Approved"},{"lastTransitionTime":'
    b'"message":"pod  on ","observedGeneration":1,"reason":"PodBound","status":"True","type":"Bound"},'
    b'{"lastTransitionTime":"","message":"serial , 1st of this task, until ","observedGeneration":1,"reason":'
    b'"Issued","status":"True","type":"CredentialIssued"},{"lastTransitionTime":"","message":"ends by ",'
    b'"observedGeneration":1,"reason":"Running","status":"False","type":"Finished"}],"credentialGeneration":1,'
    b'"credentials":[{"generation":1,"notAfter":"","notBefore":"","serial":""}],"deadline":"",'
    b'"observedGeneration":1,"specHash":"v1:","spiffeID":"spiffe:///ns//agent//task/","startTime":""}}'
)
"""What most tasks have in common, as JSON: named once here, it need not be in each packed task."""


_IS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch


@dataclass(frozen=True, slots=True)
class WorkloadKey:
    """The object that a task's `workload.ref` names."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Standing(Enum):
    """How a task stands by its status."""

    WAITING = "waiting"
    """It has had no credential yet."""
    LIVE = "live"
    """It has a credential that counts."""
    PAUSED = "paused"
    """It has had one and has none for now, such as while it is suspended or between two pods."""
    OVER = "over"


ACTIVE: Final = (Standing.LIVE, Standing.PAUSED)
"""From the first credential to the end."""


@dataclass(frozen=True, slots=True)
class PackedTask:
    """One AgentTask; spec and status are compressed, so that ten thousand fit into a few megabytes.

    `workload` is the object that says when the task ends; None also for one that is over, unless it was made
    from a template: it stays as long as its Job. `static_secrets` are the names of those that it asks for,
    which are also keys of its Secret. `parent` is name and UID of the task that it names as its parent, and
    `child` what it is to that one. `traceparent` is what its annotation of that name says, whatever that is.
    """

    namespace: str
    name: str
    uid: str
    version: int
    agent: str
    workload: WorkloadKey | None
    standing: Standing
    static_secrets: tuple[str, ...]
    packed: bytes
    parent: tuple[str, str] | None = None
    child: ChildFacts | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Pack the object in `body`."""
        metadata, spec = mapping(body.get("metadata")), mapping(body.get("spec"))
        namespace = intern(text(metadata.get("namespace")))
        kept = {
            "metadata": {
                key: metadata[key]
                for key in ("generation", "resourceVersion", "creationTimestamp", "deletionTimestamp")
                if key in metadata
            },
            "spec": spec,
            "status": mapping(body.get("status")),
        }
        standing = _standing(kept["status"])
        ref = mapping(mapping(spec.get("workload")).get("ref"))
        if standing is Standing.OVER and "templateRef" not in spec:
            ref = {}
        return cls(
            namespace=namespace,
            name=text(metadata.get("name")),
            uid=text(metadata.get("uid")),
            version=version_number(body),
            agent=intern(text(mapping(spec.get("agentRef")).get("name"))),
            workload=WorkloadKey(
                intern(text(ref.get("apiVersion"))),
                intern(text(ref.get("kind"))),
                namespace,
                text(ref.get("name")),
            )
            if ref
            else None,
            standing=standing,
            static_secrets=_static_secrets(spec),
            packed=_compressed(orjson.dumps(kept)),
            parent=_parent(spec),
            child=_child(metadata, spec, kept["status"]) if _parent(spec) is not None else None,
            traceparent=_traceparent(metadata),
        )

    def unpacked(self) -> dict[str, Any]:
        """Return `metadata` (in part), `spec` and `status` as they were sent."""
        body: dict[str, Any] = orjson.loads(_decompressed(self.packed))
        return body

    def came_after(self, earlier: datetime) -> bool:
        """Whether it was created at `earlier` or later, and no credential was ever issued to it."""
        body = self.unpacked()
        created = moment(body["metadata"].get("creationTimestamp"))
        return not body["status"].get("credentialGeneration") and (created is None or created >= earlier)

    def facts(self) -> TaskFacts:
        """Return what a decision needs; a body that does not fit its model gives facts that say so."""
        body = self.unpacked()
        metadata = body["metadata"]
        spec, invalid = read(AgentTaskSpec, body["spec"])
        status, status_invalid = read(AgentTaskStatus, body["status"])
        generation = metadata.get("generation")
        return TaskFacts(
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            generation=generation if isinstance(generation, int) else 1,
            resource_version=text(metadata.get("resourceVersion")),
            created=moment(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            deleting="deletionTimestamp" in metadata,
            spec=spec,
            status=status if status is not None else AgentTaskStatus(),
            invalid=invalid,
            status_invalid=status_invalid,
        )


def _static_secrets(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that can be those of static secrets, whatever else is asked for."""
    asked = (text(mapping(each).get("name")) for each in sequence(spec.get("staticSecrets")))
    return tuple(intern(name) for name in asked if _IS_NAME(name))[:MAX_STATIC_SECRETS]


def _parent(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    reference = mapping(spec.get("parentRef"))
    name, uid = text(reference.get("name")), text(reference.get("uid"))
    return (name, uid) if name and uid else None


def _traceparent(metadata: Mapping[str, Any]) -> str | None:
    """Return what is kept of the annotation: nothing that is longer than it may be."""
    said = text(mapping(metadata.get("annotations")).get(TRACEPARENT_ANNOTATION))
    return said if 0 < len(said) <= MAX_TRACEPARENT else None


def _child(metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> ChildFacts:
    is_over = (
        "deletionTimestamp" in metadata
        or spec.get("state") == DesiredState.ENDED
        or _standing(status) is Standing.OVER
    )
    return ChildFacts(
        uid=text(metadata.get("uid")),
        is_step=mapping(spec.get("credential")).get("mode") == CredentialMode.NONE,
        is_over=is_over,
        has_begun=status.get("startTime") is not None,
        is_refused=status.get("observedGeneration") is not None and status.get("delegation") is None,
        created=moment(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
    )


def _standing(status: Mapping[str, Any]) -> Standing:
    conditions = {
        text(each.get("type")): each.get("status") == "True"
        for each in map(mapping, sequence(status.get("conditions")))
    }
    if conditions.get(ConditionType.FINISHED):
        return Standing.OVER
    if status.get("credentials") or conditions.get(ConditionType.GRANTED):
        return Standing.LIVE
    return Standing.PAUSED if status.get("startTime") else Standing.WAITING


def _compressed(text: bytes) -> bytes:
    compressor = zlib.compressobj(level=6, wbits=-15, zdict=_COMMON)
    return compressor.compress(text) + compressor.flush()


def _decompressed(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15, zdict=_COMMON).decompress(packed)
