"""One AgentTask as the decision point knows it: what its rules look at, read once for each version.

Ten thousand of them fit into some tens of megabytes: what only policy is asked about stays packed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, Final, Self

import orjson

from agentid.api.agent import Sensitivity
from agentid.api.agenttask import AgentTaskSpec, CredentialMode, DesiredState
from agentid.api.agenttask_status import AgentTaskStatus, Decision, Delegation
from agentid.api.reasons import ConditionType, RunReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.record import condition
from agentid.watched.facts import mapping, read, text, version_number

_NOBODY: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class HeldCredential:
    """One credential that counts."""

    serial: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class GrantedStep:
    """What a step lets the task's identity do too."""

    name: str
    uid: str
    actions: frozenset[str]
    resources: frozenset[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class BoundTo:
    """The pod that the credential was given to, as it was decided on."""

    name: str
    uid: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What policy is asked about a task: what it asks for, and what the operator found and decided."""

    spec: AgentTaskSpec
    delegation: Delegation | None
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class KnownTask:
    """One AgentTask as last seen.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        uid: Its UID.
        version: Its resourceVersion as a number.
        agent: Name of its Agent.
        spiffe_id: The identity that the operator gave it; None: none yet.
        unreadable: Why it cannot be read; None: it can.
        over: How it is over, or about to be; None: it is not, but for its deadline.
        is_suspended: Whether it is to be suspended.
        is_decided: Whether what it asks for now is what the operator decided on.
        sensitivity: The most sensitive data that it touches; the highest where that cannot be read.
        actions: What may be done with its identity.
        resources: What it may be done to; empty: not said.
        credentials: Those that count.
        deadline: When it ends at the latest.
        in_pod: Whether its credential is for a pod.
        bound: Which one.
        grants: Its live steps.
        ancestors: UIDs of the tasks above it, its parent first.
        is_granted: Of a step, whether the operator found that it grants what it asks for.
        packed: What policy is asked about it, as JSON.
    """

    namespace: str
    name: str
    uid: str
    version: int
    agent: str
    spiffe_id: str | None
    unreadable: str | None
    over: str | None
    is_suspended: bool
    is_decided: bool
    sensitivity: Sensitivity
    actions: frozenset[str]
    resources: frozenset[str]
    credentials: tuple[HeldCredential, ...]
    deadline: datetime | None
    in_pod: bool
    bound: BoundTo | None
    grants: tuple[GrantedStep, ...]
    ancestors: tuple[str, ...]
    is_granted: bool
    packed: bytes

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the task in `body`, as it was shown; whatever is in it, this does not raise."""
        metadata = mapping(body.get("metadata"))
        spec, flaw = read(AgentTaskSpec, body.get("spec"))
        status, status_flaw = read(AgentTaskStatus, body.get("status") or {})
        found = status or AgentTaskStatus()
        return cls(
            namespace=intern(text(metadata.get("namespace"))),
            name=text(metadata.get("name")),
            uid=text(metadata.get("uid")),
            version=version_number(body),
            agent=intern(spec.agent_ref.name) if spec is not None else "",
            spiffe_id=found.spiffe_id,
            unreadable=flaw or status_flaw,
            over=_over(metadata, spec, found),
            is_suspended=spec is not None and spec.state is DesiredState.SUSPENDED,
            is_decided=spec is not None and spec_hash(spec) == found.spec_hash,
            sensitivity=spec.intent.sensitivity if spec is not None else Sensitivity.RESTRICTED,
            actions=_words(spec.intent.actions) if spec is not None else _NOBODY,
            resources=frozenset(spec.intent.resources) if spec is not None else _NOBODY,
            credentials=tuple(
                HeldCredential(each.serial, each.not_before, each.not_after) for each in found.credentials
            ),
            deadline=found.deadline,
            in_pod=spec is not None and spec.workload is not None,
            bound=_bound(found),
            grants=_grants(found),
            ancestors=tuple(each.uid for each in found.delegation.chain) if found.delegation else (),
            is_granted=_is_granted(spec, found),
            packed=_packed(body),
        )

    def asked(self) -> Asked:
        """Return what policy is asked about it.

        Raises:
            ValueError: it cannot be read.
        """
        body = orjson.loads(self.packed)
        spec, flaw = read(AgentTaskSpec, body["spec"])
        status, status_flaw = read(AgentTaskStatus, body["status"])
        if spec is None or status is None:
            raise ValueError(flaw or status_flaw)
        return Asked(spec, status.delegation, status.decision)

    @property
    def title(self) -> str:
        """How it is called in messages."""
        return f"AgentTask {self.namespace}/{self.name}"


def _over(metadata: Mapping[str, Any], spec: AgentTaskSpec | None, status: AgentTaskStatus) -> str | None:
    finished = condition(status, ConditionType.FINISHED)
    if finished is not None and finished.status == "True":
        return f"has ended ({finished.reason})"
    if "deletionTimestamp" in metadata:
        return "is being deleted"
    return "is ended" if spec is not None and spec.state is DesiredState.ENDED else None


def _is_granted(spec: AgentTaskSpec | None, status: AgentTaskStatus) -> bool:
    granted, finished = (condition(status, each) for each in (ConditionType.GRANTED, ConditionType.FINISHED))
    runs = finished is not None and finished.reason == RunReason.RUNNING
    is_step = spec is not None and spec.credential.mode is CredentialMode.NONE
    return is_step and runs and granted is not None and granted.status == "True"


def _bound(status: AgentTaskStatus) -> BoundTo | None:
    bound = status.bound_pod
    return None if bound is None else BoundTo(bound.name, bound.uid, bound.fingerprint)


def _grants(status: AgentTaskStatus) -> tuple[GrantedStep, ...]:
    return tuple(
        GrantedStep(each.name, each.uid, _words(each.actions), frozenset(each.resources), each.until)
        for each in status.grants
    )


def _words(items: list[str]) -> frozenset[str]:
    return frozenset(map(intern, items))


def _packed(body: Mapping[str, Any]) -> bytes:
    status = mapping(body.get("status"))
    kept = {name: status[name] for name in ("delegation", "decision") if name in status}
    try:
        return orjson.dumps({"spec": body.get("spec"), "status": kept})
    except (orjson.JSONEncodeError, RecursionError):
        return b'{"spec":null,"status":{}}'
