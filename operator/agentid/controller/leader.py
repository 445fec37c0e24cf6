"""One active operator: takes part in the election for the Lease and says whether this one may write."""

import asyncio
from collections.abc import Callable

import structlog

from agentid.cluster.election import stand_for_election
from agentid.cluster.errors import ApiAnswerError
from agentid.cluster.lease import LeaseLock, LeaseTimes, Takeover
from agentid.controller.errors import NotLeadingError

_log = structlog.get_logger("agentid.leader")


class Leader:
    """This operator's part in the election; `on_lead` returns whether nothing is in doubt even now."""

    def __init__(
        self,
        lock: LeaseLock,
        times: LeaseTimes,
        on_lead: Callable[[Takeover], bool],
        on_lose: Callable[[], None],
    ) -> None:
        self._lock = lock
        self._times = times
        self._on_lead = on_lead
        self._on_lose = on_lose
        self._led = False

    @property
    def leading(self) -> bool:
        """Whether this operator is the active one for certain, and has taken over."""
        return self._led and self._lock.held

    @property
    def decided(self) -> bool:
        """Whether it is known who leads: this operator or another that was seen at work."""
        return self.leading or self._lock.held_by_another

    def require(self) -> float:
        """Return how many seconds a write may take that is sent now; called before each write.

        It has to be over, or given up, before another operator can be the active one. So the last write of a
        lease that is not renewed any more ends before the first one of the successor begins.

        Raises:
            NotLeadingError: another operator may be the active one by now; nothing may be written.
        """
        seconds = self._lock.seconds_until_anothers()
        if not self.leading or seconds <= 0:
            raise NotLeadingError("the lease is not held; nothing may be written")
        return seconds

    def settle(self) -> None:
        """Say that all that the predecessor may have left half done has been made sure of."""
        self._lock.settle()

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            await stand_for_election(self._lock, self._times, self._started, self._stopped)
            await asyncio.sleep(self._times.retry_seconds)

    async def release(self, *, settled: bool) -> None:
        """Give the lease up, if it is held; a standby then takes over at once.

        `settled`: nothing is half done, so that it need not make sure of anything.
        """
        self._led = False
        try:
            await self._lock.release(settled=settled)
        except ApiAnswerError as error:
            _log.warning("lease not released", error=str(error))

    async def _started(self) -> None:
        self._led = True
        takeover = self._lock.takeover
        _log.info("leading", unsettled_since=takeover.last_at_work.isoformat(), settled=takeover.settled)
        if self._on_lead(takeover):
            self.settle()

    async def _stopped(self) -> None:
        if self._led:
            self._led = False
            _log.error("lease lost")
        self._lock.lose()
        self._on_lose()
