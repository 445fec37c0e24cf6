"""Writes into each policy's status which of its texts is in force, and tells of one that is refused."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import structlog

from agentid.api.agentpolicy import AcceptedText, PolicyCondition, PolicyStatus
from agentid.api.fields import format_time
from agentid.api.names import API_VERSION
from agentid.api.reasons import EventAction, EventReason, PolicyConditionType, PolicyReason
from agentid.cluster.errors import ApiAnswerError, ConflictError, NotFoundError
from agentid.cluster.events import Event, Events, Reference
from agentid.cluster.statuses import StatusWrites
from agentid.controller.errors import NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.errors import AgentidError
from agentid.lifecycle.journal import Entry, Kind
from agentid.lifecycle.wording import clip
from agentid.policy.accept import AcceptedPolicy
from agentid.watched.facts import Key
from agentid.watched.installed_policy import InstalledPolicy
from agentid.watched.lanes import Lanes
from agentid.watched.pauses import retry_pause
from agentid.watched.policies import Policies

_log = structlog.get_logger("agentid.policies")


class PolicyStatuses:
    """What is to be told of policies; only the active operator tells it."""

    def __init__(  # noqa: PLR0913 - what is told, where, and when
        self,
        policies: Policies,
        writes: StatusWrites,
        events: Events,
        metrics: Metrics,
        *,
        record: Callable[[Entry], None],
        leads: Callable[[], bool],
        clock: Callable[[], datetime],
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._policies = policies
        self._writes = writes
        self._events = events
        self._metrics = metrics
        self._record = record
        self._leads = leads
        self._clock = clock
        self._randomness = randomness
        self._failures: dict[str, int] = {}
        self._untold = Lanes()
        self._new = asyncio.Event()

    def note(self, policy: InstalledPolicy) -> None:
        """Have it looked at whether there is something to tell of a policy."""
        self._note((policy.namespace, policy.uid))

    def note_all(self) -> None:
        """Have all looked at: this operator has just become the active one."""
        for policy in self._policies.installed():
            self.note(policy)

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._new.wait()
            if (key := self._next()) is None:
                self._new.clear()
            elif (error := await self._tell(key[1])) is None:
                self._failures.pop(key[1], None)
            else:
                self._try_again(key, error)

    def _try_again(self, key: Key, error: AgentidError) -> None:
        """Have it tried again, ever later: what is refused may be refused for good."""
        failures = self._failures[key[1]] = self._failures.get(key[1], 0) + 1
        asyncio.get_running_loop().call_later(
            retry_pause(failures, self._randomness(), error), self._note, key
        )

    def _note(self, key: Key) -> None:
        self._untold.add(key)
        self._new.set()

    def _next(self) -> Key | None:
        """Return namespace and UID of the next: one of the cluster, then namespaces in turn."""
        if not self._leads():
            # A standby tells nothing; when it leads, it looks at all.
            self._untold.clear()
        return self._untold.next() if self._untold else None

    async def _tell(self, uid: str) -> AgentidError | None:
        """Write the status of one policy if it is to be another one; return why it has to be tried again."""
        policy = self._policies.find(uid)
        if policy is None:
            return None
        status = status_of(policy, self._clock())
        if status == policy.status:
            return None
        try:
            await self._writes.write_status(
                policy.resource, policy.namespace or None, policy.name, policy.uid, policy.version, status
            )
        except (NotFoundError, ConflictError):
            # The watch shows what it is now, which is then looked at.
            return None
        except (ApiAnswerError, NotLeadingError) as error:
            _log.warning("policy status not written", policy=policy.source, error=str(error))
            return error
        self._say(policy, status)
        return None

    def _say(self, policy: InstalledPolicy, status: PolicyStatus) -> None:
        self._record(_entry(policy, status, self._clock()))
        fields = {"policy": policy.source, "namespace": policy.namespace, "generation": policy.generation}
        if not policy.refusal:
            _log.info("policy accepted", digest=policy.rules_digest, **fields)
            self._send(policy, EventReason.POLICY_ACCEPTED, f"in force, digest {policy.rules_digest}")
            return
        self._metrics.refused_policies.inc()
        _log.warning("policy refused", error=policy.refusal, in_force=policy.rules_digest, **fields)
        self._send(policy, EventReason.POLICY_REFUSED, _refusal(policy))

    def _send(self, policy: InstalledPolicy, reason: EventReason, note: str) -> None:
        self._events.send(
            Event(
                time=self._clock(),
                regarding=Reference(
                    policy.resource.kind, API_VERSION, policy.namespace, policy.name, policy.uid
                ),
                related=None,
                reason=reason,
                action=EventAction.ACCEPT,
                warning=reason is EventReason.POLICY_REFUSED,
                note=clip(note),
            )
        )


def status_of(policy: InstalledPolicy, now: datetime) -> PolicyStatus:
    """Return the status that a policy is to have."""
    before = policy.status or PolicyStatus()
    own = policy.in_force if not policy.refusal else None
    accepted, held = before.accepted, policy.in_force
    # Of one that is beyond, the status keeps what the API server has: what is left out is not written over.
    if held is not None and (accepted is None or accepted.cedar != held.text):
        accepted = AcceptedText(
            cedar=held.text, digest=held.digest, generation=policy.in_force_generation, rules=len(held.rules)
        )
    reason = PolicyReason.VALID if own is not None else PolicyReason.INVALID
    if policy.waits is not None:
        reason = PolicyReason.TOO_LARGE
    holds: Literal["True", "False"] = "True" if own is not None else "False"
    old = next((each for each in before.conditions if each.type is PolicyConditionType.ACCEPTED), None)
    condition = PolicyCondition(
        type=PolicyConditionType.ACCEPTED,
        status=holds,
        reason=reason,
        message=_refusal(policy) if own is None else f"in force, {_counted(own)}",
        observed_generation=policy.generation,
        last_transition_time=old.last_transition_time
        if old is not None and old.status == holds
        else now.replace(microsecond=0),
    )
    return PolicyStatus(observed_generation=policy.generation, accepted=accepted, conditions=[condition])


def _entry(policy: InstalledPolicy, status: PolicyStatus, now: datetime) -> Entry:
    """Return what is recorded of a policy whose status has just been written."""
    (condition,) = status.conditions
    return Entry(
        kind=Kind.POLICY_REFUSED if policy.refusal else Kind.POLICY_ACCEPTED,
        at=format_time(now),
        namespace=policy.namespace,
        policy=policy.source,
        uid=policy.uid,
        generation=policy.generation,
        reason=condition.reason,
        message=condition.message,
        policy_digest=policy.rules_digest,
    )


def _refusal(policy: InstalledPolicy) -> str:
    if policy.is_beyond:
        where = "in this namespace" if policy.namespace else "in the cluster"
        stays = f"Nothing is allowed {where} until others are deleted or shortened; then this one is read."
    elif policy.is_lost:
        stays = (
            "The text accepted before cannot be read by this version of agentid, so that nothing is allowed."
        )
    elif policy.in_force is not None:
        stays = f"The text accepted before stays in force, digest {policy.rules_digest}."
        if policy.waits is not None:
            stays += " When others are deleted or shortened, this one is read again."
    else:
        stays = "None was accepted before, so that it permits nothing."
    return clip(f"{policy.refusal.removesuffix('.')}. {stays}")


def _counted(policy: AcceptedPolicy) -> str:
    return "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
