"""One pass over one task name: observe, decide, make the credential, write the status, the Secret, tell."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from agentid.api.agenttask import Credential
from agentid.api.names import secret_name
from agentid.api.reasons import EventAction
from agentid.cluster.errors import ApiAnswerError, ConflictError, NotFoundError
from agentid.cluster.events import Event, Events, Reference, task_reference
from agentid.cluster.paths import PODS, SECRETS
from agentid.cluster.secrets import Secrets
from agentid.cluster.tasks import Tasks
from agentid.controller.deadlines import Deadlines
from agentid.controller.metrics import Metrics
from agentid.controller.observing import UNLABELLED_LOOK, Observer
from agentid.controller.queue import retry_pause
from agentid.controller.secret_keeper import SecretKeeper
from agentid.controller.world import Key, Record, World
from agentid.lifecycle.decide import decide
from agentid.lifecycle.departure import decide_departure
from agentid.lifecycle.model import (
    Departure,
    EventDraft,
    FailedWrite,
    IssueOrder,
    Limits,
    Observation,
    Plan,
    PodFacts,
    Report,
    SecretAction,
    SecretState,
)
from agentid.lifecycle.reporting import issued
from agentid.pki.authority import CertificateAuthority
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

_log = structlog.get_logger("agentid.reconcile")

_MAX_ROUNDS: Final = 8
"""A pass decides again after it has written; it settles within three rounds, this only bounds a mistake."""
_TAKEN_LOOK: Final = timedelta(seconds=30)
"""How often it is tried whether a name held by somebody else's Secret is free again."""
_WIPES: Final = frozenset({SecretAction.EMPTY, SecretAction.DELETE})


class Reconciler:
    """Carries out plans. It holds no state of its own but what it remembers in the world's records."""

    def __init__(  # noqa: PLR0913 - everything a plan needs to be carried out
        self,
        *,
        world: World,
        observer: Observer,
        tasks: Tasks,
        secrets: Secrets,
        events: Events,
        deadlines: Deadlines,
        metrics: Metrics,
        limits: Limits,
        trust_domain: TrustDomain,
        authority: Callable[[], CertificateAuthority],
        clock: Callable[[], datetime],
        randomness: Callable[[], float],
    ) -> None:
        self._world = world
        self._observer = observer
        self._tasks = tasks
        self._secrets = secrets
        self._events = events
        self._deadlines = deadlines
        self._metrics = metrics
        self._limits = limits
        self._trust_domain = trust_domain
        self._authority = authority
        self._clock = clock
        self._randomness = randomness

    async def reconcile(self, key: Key) -> None:
        """Bring everything under one task name to where it should be.

        Raises:
            ApiAnswerError: something could not be read or written; the pass has to be tried again.
            PkiError: no certificate could be made.
            NotLeadingError: the lease is not held any more.
        """
        record = self._world.record(key)
        if record is None:
            return
        wake_at: datetime | None = None
        for _ in range(_MAX_ROUNDS):
            departures_wake = await self._finish_departures(key, record)
            again, wake_at = await self._round(key, record)
            wake_at = _earlier(wake_at, departures_wake)
            if not again:
                break
        if any(not pod.facts.labelled for pod in record.pods.values()):
            wake_at = _earlier(wake_at, self._clock() + UNLABELLED_LOOK)
        self._deadlines.set(key, wake_at)
        self._world.forget_if_empty(key)

    async def _finish_departures(self, key: Key, record: Record) -> datetime | None:
        """Take the Secrets of tasks that are gone away; return when to look again."""
        wake_at: datetime | None = None
        for uid, since in list(record.departed.items()):
            for _ in range(_MAX_ROUNDS):
                pods = tuple(pod.facts for pod in record.pods.values())
                secret = record.secret.facts_for(uid)
                plan = decide_departure(Departure(self._clock(), since, secret, pods, self._limits))
                if plan.secret is SecretAction.NONE:
                    break
                await self._act_on_secret(key, record, uid, plan, None, None, pods)
            if plan.secret is SecretAction.NONE and plan.wake_at is None and not _lingers(record, uid):
                del record.departed[uid]
                if uid:
                    _log.info("task gone", namespace=key[0], task=key[1], uid=uid, secret=record.secret.state)
            wake_at = _earlier(wake_at, plan.wake_at)
        return wake_at

    async def _round(self, key: Key, record: Record) -> tuple[bool, datetime | None]:
        """Decide once and act; return whether to decide again, and when to look again otherwise."""
        task = record.task
        if task is None:
            return False, None
        observation = await self._observer.observe(key, record, task)
        if record.task is not task:
            return True, None
        plan = decide(observation)
        svid, report = None, plan.report
        if plan.issue is not None:
            svid = self._make(plan.issue, observation.now)
            report = issued(observation, plan, _credential(svid, plan.issue.generation))
        wrote = False
        if report is not None and report.status != observation.task.status:
            if not await self._write_status(key, record, observation, report):
                return True, None
            wrote = True
            self._tell_log(observation, plan, report, svid)
        before = (record.secret.state, record.secret.generation)
        done = await self._try_secret(key, record, observation, plan, svid)
        if report is not None and report.event is not None:
            self._tell(observation, plan, report.event, record, done=done)
        if plan.delete_task and record.task is not None:
            await self._tasks.delete(*key, task.uid, observation.task.resource_version)
        wake_at = plan.wake_at
        if record.secret.state is SecretState.TAKEN:
            wake_at = _earlier(wake_at, self._clock() + _TAKEN_LOOK)
        changed = wrote or not done or before != (record.secret.state, record.secret.generation)
        return changed, wake_at

    def _make(self, order: IssueOrder, now: datetime) -> X509Svid:
        with self._metrics.signing.time():
            return issue_x509_svid(
                self._authority(),
                SpiffeId.parse(order.spiffe_id),
                now=now,
                ttl=order.ttl,
                not_after_limit=order.not_after_limit,
            )

    async def _write_status(self, key: Key, record: Record, observation: Observation, report: Report) -> bool:
        """Write the status; False where the task was changed or is gone, which the world then knows."""
        task, facts = record.task, observation.task
        if task is None:
            return False
        old: dict[str, Any] = task.unpacked()["status"]
        reply = None
        self._world.begin_own_write(record)
        try:
            reply = await self._tasks.write_status(
                *key, facts.uid, facts.resource_version, old, report.status
            )
        except (ConflictError, NotFoundError):
            self._metrics.conflicts.inc()
        finally:
            self._world.end_own_write(record, reply)
        if reply is None:
            await self._refresh(key, facts.uid)
        return reply is not None

    async def _refresh(self, key: Key, uid: str) -> None:
        """Have the world know the task as it is now, without waiting for the watch."""
        try:
            self._world.take_task(await self._tasks.get(*key))
        except NotFoundError:
            self._world.drop_task(key, uid)

    async def _try_secret(
        self,
        key: Key,
        record: Record,
        observation: Observation,
        plan: Plan,
        svid: X509Svid | None,
    ) -> bool:
        """Act on the Secret; where that fails, the next decision knows of it. Return whether it was done."""
        if plan.secret is SecretAction.NONE:
            return True
        generation = plan.issue.generation if plan.issue else observation.task.status.credential_generation
        pods = observation.pods
        if plan.issue is not None:
            pods = (plan.issue.pod,) if plan.issue.pod is not None else ()
        try:
            await self._act_on_secret(
                key, record, observation.task.uid, plan, svid, generation, _mounting(pods)
            )
        except ApiAnswerError as error:
            record.failures += 1
            pause = retry_pause(record.failures, self._randomness())
            record.failed_write = FailedWrite(
                f"Secret {secret_name(key[1])} could not be {_DONE[plan.secret]}: {error}",
                self._clock() + timedelta(seconds=pause),
            )
            self._metrics.secret_failures.inc()
            _log.warning(
                "secret write failed",
                namespace=key[0],
                task=key[1],
                uid=observation.task.uid,
                action=plan.secret.value,
                error=str(error),
                retry_seconds=round(pause, 2),
            )
            return False
        record.failed_write, record.failures = None, 0
        return True

    async def _act_on_secret(  # noqa: PLR0913, PLR0917 - whose Secret, what to do, and with what
        self,
        key: Key,
        record: Record,
        uid: str,
        plan: Plan,
        svid: X509Svid | None,
        generation: int | None,
        pods: tuple[PodFacts, ...],
    ) -> None:
        keeper = SecretKeeper(
            self._secrets,
            record.secret,
            namespace=key[0],
            task_name=key[1],
            task_uid=uid,
            trust_domain=self._trust_domain,
            clock=self._clock,
        )

        async def still_wanted() -> bool:
            await self._refresh(key, uid)
            current = record.task.facts() if record.task is not None else None
            return (
                current is not None
                and current.uid == uid
                and current.status.credential_generation == generation
                and bool(current.status.credentials)
            )

        match plan.secret:
            case SecretAction.FILL if svid is not None and generation is not None:
                await keeper.fill(svid, generation, pods, still_wanted)
            case SecretAction.EMPTY:
                await keeper.empty(pods)
            case SecretAction.DELETE:
                await keeper.delete(pods)
            case SecretAction.PROBE:
                await keeper.probe(generation or 0)
            case _:
                return

    def _tell(
        self, observation: Observation, plan: Plan, draft: EventDraft, record: Record, *, done: bool
    ) -> None:
        """Send the Event; where a Secret was wiped with it, its note says how long after the decision."""
        task, now = observation.task, self._clock()
        note = draft.note
        if done and plan.secret in _WIPES and draft.action in {EventAction.END, EventAction.REVOKE}:
            what = "deleted" if record.secret.state is SecretState.ABSENT else "emptied"
            milliseconds = round((now - observation.now).total_seconds() * 1000)
            note = f"{note}, Secret {secret_name(task.name)} {what} {milliseconds} ms later"
        related = None
        if draft.related_pod is not None:
            pod = draft.related_pod
            related = Reference(PODS.kind, PODS.api_version, task.namespace, pod.name, pod.uid)
        elif draft.action is EventAction.CLEAN_UP:
            related = Reference(SECRETS.kind, SECRETS.api_version, task.namespace, secret_name(task.name))
        self._events.send(
            Event(
                time=now,
                regarding=task_reference(task.namespace, task.name, task.uid),
                related=related,
                reason=draft.reason,
                action=draft.action,
                warning=draft.warning,
                note=note,
            )
        )

    def _tell_log(self, observation: Observation, plan: Plan, report: Report, svid: X509Svid | None) -> None:
        """Log what the status now says, and count it."""
        task = observation.task
        finished = next((c for c in report.status.conditions if c.type == "Finished"), None)
        reason = finished.reason if finished is not None else ""
        fields = {
            "namespace": task.namespace,
            "task": task.name,
            "uid": task.uid,
            "rule": plan.rule,
            "status": reason,
        }
        if svid is not None and plan.issue is not None:
            self._metrics.issued.labels(reason=plan.issue.why.value).inc()
            self._metrics.since_seen(observation, plan.issue)
            _log.info("credential issued", serial=svid.serial, generation=plan.issue.generation, **fields)
        elif finished is not None and finished.status == "True" and task.status.end_time is None:
            self._metrics.ended.labels(reason=reason).inc()
            _log.info("task ended", message=finished.message, **fields)
        else:
            _log.info("task status", **fields)


_DONE: Final = {
    SecretAction.FILL: "written",
    SecretAction.EMPTY: "emptied",
    SecretAction.DELETE: "deleted",
    SecretAction.PROBE: "looked for",
}


def _credential(svid: X509Svid, generation: int) -> Credential:
    return Credential(
        generation=generation, serial=svid.serial, not_before=svid.not_before, not_after=svid.not_after
    )


def _mounting(pods: tuple[PodFacts, ...]) -> tuple[PodFacts, ...]:
    """Return the pods that may have the Secret mounted, to be named as its owners."""
    return tuple(pod for pod in pods if not pod.finished)


def _lingers(record: Record, uid: str) -> bool:
    """Whether the Secret of a task that is gone is still there, emptied, until its pods have seen it."""
    return record.secret.task_uid == uid and record.secret.state is SecretState.EMPTIED


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)
