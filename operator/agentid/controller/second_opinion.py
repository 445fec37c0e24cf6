"""Asks OPA about what policy allows, since it may say no: when it is asked, and for how long that counts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from agentid.api.reasons import WaitReason
from agentid.lifecycle.decide import ruling
from agentid.lifecycle.events import BESIDE_EARLIER_ONES
from agentid.lifecycle.model import Blocked, Judgement, Observation
from agentid.lifecycle.record import current
from agentid.lifecycle.verdict import Grant, Hold, Issue, Keep, Verdict
from agentid.opa.answer import Answer
from agentid.opa.errors import OpaError
from agentid.policy.document import digest_without_clock, document
from agentid.policy.encoding import Json
from agentid.policy.request import Request

_log = structlog.get_logger("agentid.opa")

_MAX_LOOKS: Final = 4
"""What is asked about may change while OPA is asked; a pass follows that only so often."""
_LONGEST_PAUSE_SECONDS: Final = 60.0
_UNASKABLE: Final = "Denied, as OPA could not be asked; the operator's log says why"
_RESTLESS: Final = "OPA was not asked: what it is asked about changes all the time"
_RESTLESS_LOOK: Final = timedelta(seconds=5)
_SOON: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What OPA said last of a task.

    Attributes:
        asked: Digest of what it was asked about, but for the time.
        allowed: Whether it allows that; None: it gave no answer that counts.
        message: Why not.
        again_at: When it is asked again about the same, though no credential is to be made; None: it is not.
        attempts: So many times in a row it said no, or nothing.
        silent_since: Since when it has given no answer.
    """

    asked: bytes
    allowed: bool | None
    message: str = ""
    again_at: datetime | None = None
    attempts: int = 0
    silent_since: datetime | None = None


class Holder(Protocol):
    """Whatever remembers the last opinion on a task."""

    opinion: Opinion | None


class Asked(Protocol):
    """An OPA."""

    async def ask(self, document: Json) -> Answer:
        """Ask about `document`."""


class SecondOpinion:
    """OPA beside Cedar: it is asked where Cedar allows or an approval is to be awaited, and can only deny.

    A yes counts for what was asked, until a credential is to be made or something else would be asked.
    """

    def __init__(  # noqa: PLR0913 - everything an opinion depends on
        self,
        opa: Asked,
        requests: Callable[[Observation], tuple[Request, ...]],
        *,
        rule: str,
        grace: timedelta,
        clock: Callable[[], datetime],
        randomness: Callable[[], float],
    ) -> None:
        self._opa = opa
        self._requests = requests
        self._rule = rule
        self._grace = grace
        self._clock = clock
        self._randomness = randomness

    async def heard(self, holder: Holder, look: Callable[[], Awaitable[Observation]]) -> Observation:
        """Return what `look` sees, with what OPA says of it.

        It is looked anew after OPA was asked, which takes time: the answer has to be about what is so now.
        """
        observation, asked = await look(), None
        for _ in range(_MAX_LOOKS):
            judgement, verdict = observation.judgement, ruling(observation)[1]
            if judgement is None or not _depends_on_it(verdict):
                return observation
            documents = self._documents(observation)
            if not documents:
                return replace(observation, judgement=_doubt(judgement, _UNASKABLE, None))
            digest = b"".join(digest_without_clock(each) for each in documents)
            opinion = holder.opinion
            if opinion is not None and opinion.asked == digest:
                is_new = asked == digest
                if is_new or _stands(opinion, verdict, observation.now):
                    return self._with(opinion, observation, judgement, verdict)
            holder.opinion, asked = await self._ask(documents, digest, opinion), digest
            observation = await look()
        judgement = observation.judgement
        if judgement is None:
            return observation
        doubt = _doubt(judgement, _RESTLESS, observation.now + _RESTLESS_LOOK)
        return replace(observation, judgement=doubt)

    def _documents(self, observation: Observation) -> list[Json]:
        """Return what OPA is to be asked; nothing where that cannot be told, which denies."""
        try:
            return [document(each) for each in self._requests(observation)]
        except Exception:  # noqa: BLE001 - whatever it is, it denies
            # A pass that fails would leave the credential where it is.
            _log.exception("opa could not be asked")
            return []

    async def _ask(self, documents: list[Json], digest: bytes, before: Opinion | None) -> Opinion:
        attempts = 1 if before is None or before.allowed else before.attempts + 1
        pause = min(2.0 ** min(attempts - 1, 16), _LONGEST_PAUSE_SECONDS) * (1 + self._randomness() / 4)
        try:
            answers = [await self._opa.ask(each) for each in documents]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no yes
            now = self._clock()
            since = before.silent_since if before is not None else None
            again_at = now + timedelta(seconds=pause)
            return Opinion(digest, None, _told(error), again_at, attempts, since or now)
        no = next((each for each in answers if not each.allowed), None)
        if no is None:
            return Opinion(digest, allowed=True)
        message = f"OPA denies it ({self._rule}): {no.reason or 'it gives no reason'}"
        if before is None or before.message != message:
            _log.info("denied by opa", rule=self._rule, reason=no.reason, decision_id=no.decision_id)
        return Opinion(digest, False, message, self._clock() + timedelta(seconds=pause), attempts)

    def _with(
        self, opinion: Opinion, observation: Observation, judgement: Judgement, verdict: Verdict
    ) -> Observation:
        """Return the observation with what OPA says of it, or with what its silence means."""
        by_opa = f"OPA/{self._rule}"
        if opinion.allowed:
            if judgement.allowed:
                judgement = replace(judgement, policies=(by_opa, *judgement.policies))
            return replace(observation, judgement=judgement)
        again_at = opinion.again_at
        if again_at is not None and again_at <= observation.now:
            # The look took longer than the pause; of a time that is past nobody would be woken.
            again_at = observation.now + _SOON
        if opinion.allowed is not None:
            denied = _doubt(judgement, opinion.message, again_at)
            return replace(observation, judgement=replace(denied, policies=(by_opa,), in_doubt=False))
        until = (opinion.silent_since or observation.now) + self._grace
        if not _runs_on(observation, verdict) or until <= observation.now:
            return replace(observation, judgement=_doubt(judgement, opinion.message, again_at))
        # Nothing is made without OPA; what it allowed before goes on meanwhile.
        holds_until = _soonest(judgement.holds_until, again_at, until)
        return replace(
            observation,
            judgement=replace(judgement, holds_until=holds_until),
            blocked=observation.blocked or Blocked(opinion.message),
        )


def _told(error: Exception) -> str:
    """Return why there is no answer; an error that nobody expected is logged."""
    if isinstance(error, OpaError):
        return str(error)
    _log.error("opa could not be asked", exc_info=error)
    return _UNASKABLE


def _depends_on_it(verdict: Verdict) -> bool:
    """Whether OPA has a say: where a credential is made or stays, and before people are asked to approve."""
    match verdict:
        case Issue() | Grant() | Keep():
            return True
        case Hold():
            return verdict.reason is WaitReason.AWAITING_APPROVAL
        case _:
            return False


def _stands(opinion: Opinion, verdict: Verdict, now: datetime) -> bool:
    """Whether OPA need not be asked again about what the opinion is on."""
    if opinion.again_at is not None:
        return now < opinion.again_at
    is_made = isinstance(verdict, Issue) or (isinstance(verdict, Grant) and verdict.why is not None)
    return not is_made


def _runs_on(observation: Observation, verdict: Verdict) -> bool:
    """Whether a credential counts that was made for the task as it is, or a step was granted as it is."""
    if isinstance(verdict, Grant):
        return verdict.why is None
    is_renewal = isinstance(verdict, Issue) and verdict.why in BESIDE_EARLIER_ONES
    return current(observation) is not None and (is_renewal or isinstance(verdict, Keep))


def _doubt(judgement: Judgement, message: str, again_at: datetime | None) -> Judgement:
    """Return a denial as what is asked cannot be told, to be looked at again then."""
    return Judgement(
        judgement.action,
        allowed=False,
        message=message,
        digest=judgement.digest,
        in_doubt=True,
        holds_until=_soonest(judgement.holds_until, again_at),
    )


def _soonest(*times: datetime | None) -> datetime | None:
    return min((each for each in times if each is not None), default=None)
