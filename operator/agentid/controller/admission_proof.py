"""Proves at start and every minute that admission is in force; while it is not, nothing is issued."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from agentid.api.admission import (
    AdmissionObject,
    AdmissionSettings,
    differences,
    forged_task,
    is_corrected,
    is_refused,
    refused_task,
    rules,
)
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError, NotFoundError
from agentid.cluster.paths import TASKS, Resource
from agentid.lifecycle.model import Blocked

_log = structlog.get_logger("agentid.admission")

_RETRY_SECONDS: Final = 2.0
"""While it is not in force it is looked at this often: rules take seconds to act after an installation."""
_AT_ONCE: Final = 8


class AdmissionProof:
    """Whether every rule is there as installed and a forgery is corrected, as last seen."""

    def __init__(
        self,
        connection: Connection,
        settings: AdmissionSettings,
        *,
        interval_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._rules = rules(settings)
        self._interval = interval_seconds
        self._clock = clock
        self._problem: str | None = "whether admission is in force is not known yet; wait a moment"
        self._proven_at = float("-inf")

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued, or None. A proof that is too old is none."""
        if self._problem is not None:
            return Blocked(f"nothing is issued: {self._problem}")
        limit = 2 * self._interval + _RETRY_SECONDS
        if self._clock() - self._proven_at > limit:
            return Blocked(
                f"nothing is issued: that admission is in force was not proven for more than {limit:.0f} s; "
                "see the operator's log"
            )
        return None

    async def run(self) -> None:
        """Prove it again and again, until cancelled."""
        while True:
            before = self._problem
            self._problem = await self.find_problem()
            if self._problem is None:
                self._proven_at = self._clock()
            if self._problem != before:
                if self._problem is None:
                    _log.info("admission in force", rules=len(self._rules))
                else:
                    _log.error("admission not in force", problem=self._problem)
            await asyncio.sleep(
                self._interval if self._problem is None else min(_RETRY_SECONDS, self._interval)
            )

    async def find_problem(self) -> str | None:
        """Return what is wrong, with a remedy; None where all is well."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def check(rule: AdmissionObject) -> str | None:
            async with gate:
                return differences(rule, await self._read(rule))

        try:
            problems = await asyncio.gather(*(check(rule) for rule in self._rules))
            if (problem := next((each for each in problems if each is not None), None)) is not None:
                return problem
            if not is_corrected(
                await self._try(forged_task(self._settings.operator_namespace)), self._settings
            ):
                return (
                    "a forged AgentTask was not corrected, so who asks can't be known; rules take some "
                    "seconds to act after an installation, otherwise install the chart again"
                )
            if not is_refused(await self._try(refused_task(self._settings))):
                return "an AgentTask that has to be refused was not; install the chart again"
        except ApiAnswerError as error:
            return f"whether admission is in force can't be seen: {error}"
        return None

    async def _read(self, rule: AdmissionObject) -> Mapping[str, Any] | None:
        resource = Resource(rule.api_version, rule.kind, rule.plural)
        try:
            return await self._connection.get(resource.path(None, rule.name))
        except NotFoundError:
            return None

    async def _try(self, forgery: dict[str, Any]) -> Mapping[str, Any]:
        """Return what the API server answers to a forgery, sent as a dry run: an object or a Status."""
        path = TASKS.path(self._settings.operator_namespace)
        return await self._connection.ask(path, forgery, {"dryRun": "All"})
