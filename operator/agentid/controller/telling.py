"""Tells what was done: one Event and one log line for each transition, and the metrics that count them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.names import secret_name
from agentid.api.reasons import ConditionType, EventAction, EventReason
from agentid.cluster.events import Event, Events, Reference, task_reference
from agentid.cluster.paths import PODS, SECRETS
from agentid.controller.metrics import Metrics
from agentid.controller.records import Record, Untold
from agentid.controller.secret_actions import Outcome
from agentid.lifecycle.model import Observation, SecretFacts, SecretState, TaskFacts
from agentid.lifecycle.plan import WIPES, EventDraft, Plan, Report
from agentid.lifecycle.wording import at
from agentid.pki.svid import X509Svid

_log = structlog.get_logger("agentid.tasks")

_TAKES_AWAY: Final = frozenset({EventAction.END, EventAction.REVOKE})
_BECAME: Final = {SecretState.ABSENT: "deleted", SecretState.EMPTIED: "emptied"}


class Teller:
    """Sends Events and writes log lines about tasks; never anything of a key."""

    def __init__(self, events: Events, metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._metrics = metrics
        self._clock = clock

    def event(self, task: TaskFacts, draft: EventDraft) -> None:
        """Send the Event."""
        self._events.send(
            Event(
                time=self._clock(),
                regarding=task_reference(task.namespace, task.name, task.uid),
                related=_related(task, draft),
                reason=draft.reason,
                action=draft.action,
                warning=draft.warning,
                note=draft.note,
            )
        )

    def taken_away(self, untold: Untold, state: SecretState | None) -> None:
        """Send the Event, with what became of a Secret that there was; None: it holds the key still."""
        note, secret = untold.draft.note, secret_name(untold.task.name)
        if state is None:
            note += f"; Secret {secret} still has to be emptied"
        elif state in _BECAME and untold.task.status.credential_generation:
            later = round((self._clock() - untold.decided_at).total_seconds() * 1000)
            note += f", Secret {secret} {_BECAME[state]} {later} ms later"
        self.event(untold.task, replace(untold.draft, note=note))

    def deleted(self, namespace: str, name: str, uid: str, before: SecretFacts, *, alone: bool) -> None:
        """Log that the Secret of a task is gone.

        `alone`: its credential was taken away earlier, so that no other Event says that the Secret went.
        """
        _log.info("Secret deleted", namespace=namespace, task=name, uid=uid)
        if not alone:
            return
        since = f", which was empty since {at(before.emptied_at)}" if before.emptied_at is not None else ""
        self._events.send(
            Event(
                time=self._clock(),
                regarding=task_reference(namespace, name, uid),
                related=_secret(namespace, name),
                reason=EventReason.CREDENTIAL_DELETED,
                action=EventAction.CLEAN_UP,
                warning=False,
                note=f"Secret {secret_name(name)} deleted{since}",
            )
        )

    def status(
        self, observation: Observation, plan: Plan, status: AgentTaskStatus, svid: X509Svid | None
    ) -> None:
        """Log and count what the status says now."""
        task = observation.task
        finished = next((each for each in status.conditions if each.type is ConditionType.FINISHED), None)
        reason = finished.reason if finished is not None else ""
        log = _log.bind(namespace=task.namespace, task=task.name, uid=task.uid, rule=plan.rule, status=reason)
        count = {each.serial for each in status.credentials}
        if dropped := [each.serial for each in task.status.credentials if each.serial not in count]:
            log = log.bind(dropped=dropped)
        if svid is not None and plan.issue is not None:
            self._metrics.issued.labels(reason=plan.issue.why.value).inc()
            self._metrics.first_issue(observation, plan.issue)
            if status.static_secrets:
                self._metrics.static_secret_copies.inc(len(status.static_secrets))
                log = log.bind(static_secrets={each.name: each.version for each in status.static_secrets})
            if task.spec is not None and task.spec.break_glass is not None:
                self._metrics.break_glass.inc()
            log.info("credential issued", serial=svid.serial, generation=plan.issue.generation)
        elif finished is not None and finished.status == "True" and task.status.end_time is None:
            self._metrics.ended.labels(reason=reason).inc()
            log.info("task ended", message=finished.message)
        else:
            log.info("task status", message=finished.message if finished is not None else "")

    def done(  # noqa: PLR0913, PLR0917 - what was decided, recorded, made and done
        self,
        record: Record,
        observation: Observation,
        plan: Plan,
        report: Report | None,
        outcome: Outcome,
        svid: X509Svid | None,
    ) -> None:
        """Send the Event; that of an end says what became of the Secret, that of an issue waits until it did.

        An emptied Secret that is deleted later is told by itself.
        """
        task, draft = observation.task, report.event if report is not None else None
        if svid is not None and report is not None:
            # Neither counted nor logged as issued unless it is there.
            is_there = outcome is not Outcome.FAILED
            self.status(observation, plan, report.status, svid if is_there else None)
        ends = draft is not None and plan.secret in WIPES and draft.action in _TAKES_AWAY
        if draft is not None and plan.issue is not None:
            record.unconfirmed = (plan.issue.generation, Untold(task, draft, observation.now))
        elif draft is not None and ends:
            self.taken_away(
                Untold(task, draft, observation.now),
                None if outcome is Outcome.FAILED else record.secret.facts_for(task.uid).state,
            )
        elif draft is not None:
            self.event(task, draft)
        if outcome is Outcome.DELETED and not ends:
            alone = not task.status.credentials
            self.deleted(task.namespace, task.name, task.uid, observation.secret, alone=alone)
        self._confirm(record, task.uid)

    def _confirm(self, record: Record, task_uid: str) -> None:
        """Tell of a credential once it surely is in its Secret; never of one that surely is not."""
        secret = record.secret.facts_for(task_uid)
        if record.unconfirmed is None or secret.state is SecretState.DOUBTFUL:
            return
        (generation, untold), record.unconfirmed = record.unconfirmed, None
        is_there = secret.state is SecretState.FILLED and secret.generation == generation
        if is_there and untold.task.uid == task_uid:
            self.event(untold.task, untold.draft)


def _related(task: TaskFacts, draft: EventDraft) -> Reference | None:
    """Return what an Event is related to: the pod, or else the Secret where there ever was one."""
    if draft.related_secret:
        return _secret(task.namespace, task.name)
    if (pod := draft.related_pod) is not None:
        return Reference(PODS.kind, PODS.api_version, task.namespace, pod.name, pod.uid)
    had_none = not task.status.credential_generation and draft.action is not EventAction.ISSUE
    if draft.action is EventAction.WAIT or had_none:
        return None
    return _secret(task.namespace, task.name)


def _secret(namespace: str, task_name: str) -> Reference:
    return Reference(SECRETS.kind, SECRETS.api_version, namespace, secret_name(task_name))
