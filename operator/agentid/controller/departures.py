"""Takes away the Secrets of tasks that are gone, and tells how those ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from agentid.cluster.errors import ApiAnswerError
from agentid.controller.observing import Observer
from agentid.controller.recording import Recorder
from agentid.controller.records import Record, Untold
from agentid.controller.secret_actions import Outcome, SecretActions
from agentid.controller.spans import tell_end
from agentid.controller.telling import Teller
from agentid.lifecycle.decide import decide
from agentid.lifecycle.departure import at_its_deletion, decide_departure
from agentid.lifecycle.journal import entry
from agentid.lifecycle.model import Departure, Limits, SecretState
from agentid.lifecycle.plan import SecretAction
from agentid.process.tracing import Span, trial
from agentid.watched.facts import Key

_log = structlog.get_logger("agentid.reconcile")

_MAX_ROUNDS: Final = 4
"""A Secret is gone or waits for its grace after two actions; this bounds a mistake."""


class Departures:
    """Finishes what is left of tasks that are gone; they are in the records of their names until then."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it sees, does and tells
        self,
        observer: Observer,
        secrets: SecretActions,
        teller: Teller,
        recorder: Recorder,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._observer = observer
        self._secrets = secrets
        self._teller = teller
        self._recorder = recorder
        self._limits = limits
        self._clock = clock

    async def finish(self, key: Key, record: Record) -> datetime | None:
        """Take the Secrets of tasks that are gone away; return when to look again."""
        wake_at: datetime | None = None
        for uid, departed in list(record.departed.items()):
            with trial(departed.task.traceparent if departed.task is not None else None) as traced:
                wake_at = earlier(wake_at, await self._finish(key, record, uid, traced))
        return wake_at

    async def _finish(self, key: Key, record: Record, uid: str, traced: Span) -> datetime | None:
        """Take the Secret of one of them away; return when to look again."""
        for _ in range(_MAX_ROUNDS):
            pods = tuple(pod.facts for pod in record.pods.values())
            departure = Departure(self._clock(), record.secret.facts_for(uid), pods, self._limits)
            plan = decide_departure(departure)
            if plan.secret is SecretAction.NONE or not await self._is_gone(key, record, uid):
                break
            try:
                outcome = await self._secrets.for_departed(key, record, uid, plan.secret, pods)
            except ApiAnswerError:
                self._tell(record, uid, departure, None, traced)
                raise
            if outcome is Outcome.DELETED and self._is_told(record, uid):
                self._teller.deleted(*key, uid, departure.secret, alone=True)
        if uid not in record.departed:
            return None
        if plan.secret is SecretAction.NONE:
            self._tell(record, uid, departure, departure.secret.state, traced)
        if plan.secret is SecretAction.NONE and plan.wake_at is None:
            record.forget_departed(uid)
            _log.info("task gone and its Secret with it", namespace=key[0], task=key[1], uid=uid)
        return plan.wake_at

    async def _is_gone(self, key: Key, record: Record, uid: str) -> bool:
        """Whether the Secret is a departed task's; where nobody knows which one's, by a fresh look.

        The task of that name may have got its own credential by now, which the watch does not show yet.
        """
        if uid or record.secret.version is not None:
            return True
        await self._observer.look_again(key, record.task.uid if record.task is not None else "")
        task = record.task.facts() if record.task is not None else None
        if task is not None and (task.status.credential_generation or task.status_invalid is not None):
            record.forget_departed(uid)
        return uid in record.departed

    def _is_told(self, record: Record, uid: str) -> bool:
        """Whether the end of a task that is gone was told, so that what follows is told by itself."""
        departed = record.departed.get(uid)
        return bool(uid) and (departed is None or departed.task is None)

    def _tell(
        self, record: Record, uid: str, departure: Departure, state: SecretState | None, traced: Span
    ) -> None:
        """Tell, once its Secret is wiped or could not be, that a task ended by being deleted, if by that."""
        departed = record.departed[uid]
        record.depart(uid, replace(departed, task=None))
        self._recorder.settle(record, uid, None)
        if departed.task is None:
            return
        self._recorder.make_sure(record, departed.task.facts(), gone=True)
        observation = at_its_deletion(departure, departed.task.facts())
        plan = decide(observation)
        if plan.report is None or plan.report.event is None:
            return
        tell_end(traced, observation.task, plan.report.status, plan.rule)
        self._recorder.note(entry(observation, plan, plan.report.status))
        self._teller.status(observation, plan, plan.report.status, None)
        self._teller.taken_away(Untold(observation.task, plan.report.event, departed.since), state)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two times, either of which may be none."""
    return min((each for each in (one, other) if each is not None), default=None)
