"""Carries out what a plan says of the Secret, and remembers failures so that the next decision knows them."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

import structlog

from agentid.api.names import secret_name
from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.secrets import Secrets
from agentid.controller.metrics import Metrics
from agentid.controller.records import Record
from agentid.controller.secret_keeper import REFUSALS, SecretKeeper
from agentid.lifecycle.model import FailedWrite, Observation, PodFacts
from agentid.lifecycle.plan import WIPES, Plan, SecretAction
from agentid.pki.spiffe_id import TrustDomain
from agentid.pki.svid import X509Svid
from agentid.process.tracing import span
from agentid.watched.facts import Key
from agentid.watched.pauses import retry_pause

_log = structlog.get_logger("agentid.secrets")

StillWanted = Callable[[], Awaitable[bool]]
"""Whether the credential just recorded is still the task's newest, by a fresh look."""

_MOST_OWNERS: Final = 16
"""How many pods keep an emptied Secret alive; without a bound, many pods make it too large to be written."""

_TOLD: Final = {
    SecretAction.FILL: "written",
    SecretAction.EMPTY: "emptied",
    SecretAction.HOLD: "emptied",
    SecretAction.DELETE: "deleted",
    SecretAction.PROBE: "looked for",
}


class Outcome(Enum):
    """What became of an action."""

    FAILED = "failed"
    DONE = "done"
    DELETED = "deleted"
    """Done, and a Secret that was there is gone by it."""


class SecretActions:
    """Fills, empties, deletes and probes the Secrets of tasks, those that are gone included."""

    def __init__(  # noqa: PLR0913 - what is written, with what, and when again
        self,
        secrets: Secrets,
        trust_domain: TrustDomain,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime],
        randomness: Callable[[], float],
        static_secrets_in: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._secrets = secrets
        self._trust_domain = trust_domain
        self._metrics = metrics
        self._clock = clock
        self._randomness = randomness
        self._static_secrets_in = static_secrets_in

    async def for_task(  # noqa: PLR0913, PLR0917 - whose Secret, what to do, with what, on which condition
        self,
        key: Key,
        record: Record,
        observation: Observation,
        plan: Plan,
        svid: X509Svid | None,
        copies: Mapping[str, bytes],
        still_wanted: StillWanted,
    ) -> Outcome:
        """Do what the plan says; where it failed, `record` tells the next decision."""
        if plan.secret is SecretAction.NONE:
            return Outcome.DONE
        with span("agentid.secret") as traced:
            traced.set(lambda: {"agentid.secret.action": plan.secret.value})
            outcome = await self._act(key, record, observation, plan, svid, copies, still_wanted)
            if outcome is Outcome.FAILED:
                traced.fail("the Secret was not written")
        return outcome

    async def _act(  # noqa: PLR0913, PLR0917 - as above
        self,
        key: Key,
        record: Record,
        observation: Observation,
        plan: Plan,
        svid: X509Svid | None,
        copies: Mapping[str, bytes],
        still_wanted: StillWanted,
    ) -> Outcome:
        keeper, outcome = self._keeper(key, record, observation.task.uid), Outcome.DONE
        try:
            if plan.issue is not None and svid is not None:
                holders = (plan.issue.pod,) if plan.issue.pod is not None else ()
                filled = await keeper.fill(svid, plan.issue.generation, holders, still_wanted, copies)
                record.failed_write, record.failures = None, 0
                return Outcome.DONE if filled else Outcome.FAILED
            if plan.secret is SecretAction.PROBE:
                await keeper.probe(observation.task.status.credential_generation or 0)
            else:
                outcome = await self._wipe(keeper, plan.secret, observation.pods)
        except ApiAnswerError as error:
            self._remember_failure(key, record, plan.secret, error)
            return Outcome.FAILED
        # What was only tried may be refused yet: the pauses go on growing until a write succeeds.
        record.failed_write = None
        record.failures = record.failures if plan.secret is SecretAction.PROBE else 0
        return outcome

    async def for_departed(
        self, key: Key, record: Record, uid: str, action: SecretAction, pods: tuple[PodFacts, ...]
    ) -> Outcome:
        """Empty or delete the Secret of the task with that UID, which is gone.

        Raises:
            ApiAnswerError: it failed and has to be tried again.
        """
        try:
            with span("agentid.secret") as traced:
                traced.set(lambda: {"agentid.secret.action": action.value})
                return await self._wipe(self._keeper(key, record, uid), action, pods)
        except ApiAnswerError as error:
            self._metrics.not_taken_away.inc()
            _log.warning(
                "secret write failed", namespace=key[0], task=key[1], action=action.value, error=str(error)
            )
            raise

    async def _wipe(self, keeper: SecretKeeper, action: SecretAction, pods: tuple[PodFacts, ...]) -> Outcome:
        # Those that may still have it mounted keep it from the garbage collector until they saw it emptied.
        mounting = tuple(pod for pod in pods if pod.scheduled and not pod.finished)[:_MOST_OWNERS]
        if action in {SecretAction.EMPTY, SecretAction.HOLD}:
            await keeper.empty(mounting, hold=action is SecretAction.HOLD)
        elif action is SecretAction.DELETE and await keeper.delete(mounting):
            return Outcome.DELETED
        return Outcome.DONE

    def _keeper(self, key: Key, record: Record, uid: str) -> SecretKeeper:
        return SecretKeeper(
            self._secrets,
            record.secret,
            namespace=key[0],
            task_name=key[1],
            task_uid=uid,
            trust_domain=self._trust_domain,
            clock=self._clock,
            static_secrets=self._further_keys(key, record, uid),
        )

    def _further_keys(self, key: Key, record: Record, uid: str) -> tuple[str, ...]:
        """Return the static secrets of the task with that UID; where nobody knows them, all it may have."""
        if record.task is not None and record.task.uid == uid:
            return record.task.static_secrets
        departed = record.departed.get(uid)
        known = departed.static_secrets if departed is not None else None
        return self._static_secrets_in(key[0]) if known is None else known

    def _remember_failure(
        self, key: Key, record: Record, action: SecretAction, error: ApiAnswerError
    ) -> None:
        record.failures += 1
        pause = retry_pause(record.failures, self._randomness(), error)
        before = record.failed_write
        refused = action is SecretAction.PROBE and before is not None and before.refused
        if action is SecretAction.FILL:
            refused = isinstance(error, REFUSALS)
        record.failed_write = FailedWrite(
            f"Secret {secret_name(key[1])} could not be {_TOLD[action]}: {error}",
            self._clock() + timedelta(seconds=pause),
            refused=refused,
            again=record.failures > 1,
        )
        self._metrics.secret_failures.inc()
        if action in WIPES:
            self._metrics.not_taken_away.inc()
        _log.warning(
            "secret write failed",
            namespace=key[0],
            task=key[1],
            action=action.value,
            error=str(error),
            retry_seconds=round(pause, 2),
        )
