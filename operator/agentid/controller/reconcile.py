"""One pass over one task name: observe, decide, make the credential, write the status, the Secret, tell."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from agentid.cluster.errors import (
    ApiAnswerError,
    ConflictError,
    NotFoundError,
    PassingError,
    TooManyRequestsError,
)
from agentid.cluster.tasks import Tasks
from agentid.controller.deadlines import Deadlines
from agentid.controller.departures import Departures, earlier
from agentid.controller.job_tasks import JobTasks
from agentid.controller.making import Maker
from agentid.controller.metrics import Metrics
from agentid.controller.observing import UNLABELLED_LOOK, Observer
from agentid.controller.packed_task import PackedTask
from agentid.controller.quotas import Quotas
from agentid.controller.recording import Recorder
from agentid.controller.records import Record
from agentid.controller.secret_actions import Outcome, SecretActions
from agentid.controller.spans import tell_plan
from agentid.controller.telling import Teller
from agentid.controller.world import World
from agentid.lifecycle.decide import decide
from agentid.lifecycle.journal import Entry, entry, in_order
from agentid.lifecycle.model import Limits, Observation, SecretState
from agentid.lifecycle.plan import WIPES, Plan, Report
from agentid.lifecycle.record import may_write
from agentid.pki.svid import X509Svid
from agentid.process.tracing import Span, span, trial
from agentid.watched.facts import Key

_log = structlog.get_logger("agentid.reconcile")

_MAX_ROUNDS: Final = 8
"""A pass decides again after it has written; it settles within three rounds, this bounds a mistake."""
_UNSETTLED_LOOK: Final = timedelta(seconds=1)
_TAKEN_LOOK: Final = timedelta(seconds=30)
"""How often it is tried whether a name held by somebody else's Secret is free again."""
_MAX_LOST_WRITES: Final = 2
"""How many status writes in a row an end loses to others' changes before the Secret is taken away anyway."""


class Reconciler:
    """Carries out plans. It holds no state of its own but what it remembers in the world's records."""

    def __init__(  # noqa: PLR0913 - everything a plan needs to be carried out
        self,
        *,
        world: World,
        observer: Observer,
        tasks: Tasks,
        secrets: SecretActions,
        maker: Maker,
        teller: Teller,
        recorder: Recorder,
        deadlines: Deadlines,
        quotas: Quotas,
        job_tasks: JobTasks,
        metrics: Metrics,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._observer = observer
        self._tasks = tasks
        self._secrets = secrets
        self._maker = maker
        self._teller = teller
        self._recorder = recorder
        self._departures = Departures(observer, secrets, teller, recorder, limits, clock)
        self._deadlines = deadlines
        self._quotas = quotas
        self._job_tasks = job_tasks
        self._metrics = metrics
        self._clock = clock

    async def reconcile(self, key: Key) -> None:
        """Bring everything under one task name to where it should be.

        Raises:
            ApiAnswerError: something could not be read or written; the pass has to be tried again.
            PkiError: no certificate could be made.
            NotLeadingError: the lease is not held any more.
        """
        record = self._world.record(key)
        try:
            if record is not None:
                await self._pass(key, record)
        finally:
            self._quotas.settle(key, is_there=record is not None and record.task is not None)

    async def _pass(self, key: Key, record: Record) -> None:
        """Decide and act until all is settled.

        Raises:
            ApiAnswerError: as `reconcile` does; and its others.
        """
        wake_at, turns_at, departed_wake, failed = None, None, None, None
        for _ in range(_MAX_ROUNDS):
            try:
                departed_wake = await self._departures.finish(key, record) if failed is None else None
            except ApiAnswerError as error:
                # What cannot be taken away of a predecessor must not keep the task from its own end.
                failed = error
            again, wake_at, turns_at = await self._round(key, record)
            wake_at = earlier(wake_at, departed_wake)
            if not again:
                break
        else:
            wake_at = self._clock() + _UNSETTLED_LOOK
            _log.warning("pass did not settle", namespace=key[0], task=key[1])
        if any(not pod.facts.labelled for pod in record.pods.values()):
            wake_at = earlier(wake_at, self._clock() + UNLABELLED_LOOK)
        self._deadlines.set(key, wake_at, turns_at)
        self._world.forget_if_empty(key)
        if failed is not None:
            raise failed

    async def _round(self, key: Key, record: Record) -> tuple[bool, datetime | None, datetime | None]:
        """Decide once and act; return whether to decide again, when to look again, when time may turn it."""
        task = record.task
        if task is None:
            its = await self._job_tasks.make(key, record)
            return its.there, its.wake_at, None
        with trial(task.traceparent) as traced:
            return await self._look_and_act(key, record, task, traced)

    async def _look_and_act(
        self, key: Key, record: Record, task: PackedTask, traced: Span
    ) -> tuple[bool, datetime | None, datetime | None]:
        observation = await self._observer.observe(key, record, task)
        if record.task is not task:
            return True, None, None
        self._recorder.make_sure(record, observation.task)
        plan = decide(observation)
        tell_plan(traced, observation, plan)
        self._quotas.decided(task, observation, plan)
        self._job_tasks.see(key, record, observation)
        made = await self._maker.make(observation, plan)
        if made is None or record.task is not task:
            return True, None, None
        report, svid = made.report, made.svid
        if svid is not None:
            traced.set(lambda: {"agentid.serial": svid.serial})
        wrote = report is not None and report.status != observation.task.status
        before = record.known_of_secret

        async def act() -> Outcome:
            return await self._secrets.for_task(
                key,
                record,
                observation,
                plan,
                svid,
                made.copies,
                lambda: self._is_newest(key, record, observation, plan),
            )

        unrecorded = None
        if report is not None and wrote:
            try:
                unrecorded = await self._say(key, record, observation, plan, report, svid)
            except ApiAnswerError as error:
                traced.fail(error)
                await self._unwritten(key, record, observation, plan, act, error)
                return True, None, None
        try:
            outcome = await act()
        finally:
            # The status says it, whatever becomes of the Secret.
            self._recorder.pay(record, unrecorded)
        if outcome is Outcome.FAILED:
            traced.fail("the Secret was not written")
        self._teller.done(record, observation, plan, report, outcome, svid)
        if plan.delete_task:
            await self._tasks.delete(*key, task.uid, observation.task.resource_version)
        wake_at = plan.wake_at
        if record.secret.facts_for(task.uid).state is SecretState.TAKEN:
            wake_at = earlier(wake_at, self._clock() + _TAKEN_LOOK)
        changed = wrote or outcome is Outcome.FAILED or before != record.known_of_secret
        return changed, wake_at, plan.turns_at

    async def _say(  # noqa: PLR0913, PLR0917 - what was decided, on what, and what was made for it
        self,
        key: Key,
        record: Record,
        observation: Observation,
        plan: Plan,
        report: Report,
        svid: X509Svid | None,
    ) -> Entry | None:
        """Write the status, and record it before; return what is to be recorded once all else is done.

        Raises:
            ApiAnswerError: it is not written, or nobody knows.
            LedgerUnavailableError: what it gives is not known to be recorded, so that it is not given.
        """
        found = entry(observation, plan, report.status, svid.public_key_digest if svid is not None else None)
        first, owed = in_order(found, observation, plan)
        await self._recorder.before(record, first)
        self._recorder.doubt(record, owed, observation.task.resource_version, report.status)
        try:
            await self._write_status(key, record, observation, report)
        except ApiAnswerError as error:
            if not isinstance(error, PassingError):
                self._recorder.refused(record, first, owed)
            raise
        self._recorder.settle(record, observation.task.uid, report.status)
        self._quotas.active(key)
        if svid is None:
            self._teller.status(observation, plan, report.status, None)
        record.owed = owed
        return owed

    async def _write_status(self, key: Key, record: Record, observation: Observation, report: Report) -> None:
        """Write the status over the one that was decided on.

        Raises:
            ApiAnswerError: it is not written, or nobody knows.
        """
        task, facts = record.task, observation.task
        if task is None:
            raise NotFoundError(f"AgentTask {key[0]}/{key[1]} is gone")
        old: dict[str, Any] = task.unpacked()["status"]
        reply = None
        self._world.begin_own_write(record)
        try:
            with span("agentid.status"):
                reply = await self._tasks.write_status(
                    *key, facts.uid, facts.resource_version, old, report.status
                )
        except TooManyRequestsError:
            raise
        except PassingError:
            # If it was done all the same, nobody else tells of it, nor has the key that it records.
            self._world.end_own_write(record, None)
            if not await self._observer.finds(key, record, facts.uid, report.status):
                raise
        finally:
            self._world.end_own_write(record, reply)
        record.lost_writes = 0

    async def _unwritten(  # noqa: PLR0913, PLR0917 - what was to be written, why it was not, and what to do now
        self,
        key: Key,
        record: Record,
        observation: Observation,
        plan: Plan,
        act: Callable[[], Awaitable[Outcome]],
        error: ApiAnswerError,
    ) -> None:
        """Take away what the plan takes away though that could not be recorded: it need not be, to be gone.

        Nobody who changes the task again and again, or has its status refused, keeps a key alive by that.

        Raises:
            ApiAnswerError: `error`, unless the task has changed or is gone, which the world then knows.
        """
        overtaken = isinstance(error, ConflictError | NotFoundError)
        if overtaken:
            self._metrics.conflicts.inc()
            record.lost_writes += 1
        is_due = not overtaken or (record.lost_writes > _MAX_LOST_WRITES and may_write(observation))
        if is_due and plan.issue is None and plan.secret in WIPES:
            self._metrics.not_taken_away.inc()
            _log.warning("end not recorded", rule=plan.rule, action=plan.secret.value, error=str(error))
            await act()
        if not overtaken:
            raise error
        await self._observer.look_again(key, observation.task.uid)

    async def _is_newest(self, key: Key, record: Record, observation: Observation, plan: Plan) -> bool:
        """Whether the credential that this pass recorded is still the task's newest, by a fresh look."""
        await self._observer.look_again(key, observation.task.uid)
        if record.task is None or record.task.uid != observation.task.uid or plan.issue is None:
            return False
        status = record.task.facts().status
        return status.credential_generation == plan.issue.generation and bool(status.credentials)
