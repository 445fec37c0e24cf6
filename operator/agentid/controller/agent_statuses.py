"""Writes into each Agent's status how many tasks it has: in rounds, never once a task."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from agentid.api.agent import AgentStatus, TaskCounts
from agentid.cluster.errors import ApiAnswerError, ConflictError, NotFoundError
from agentid.cluster.paths import AGENTS
from agentid.cluster.statuses import StatusWrites
from agentid.controller.census import Scope
from agentid.controller.errors import NotLeadingError
from agentid.controller.packed_task import ACTIVE, Standing
from agentid.controller.records import AgentRecord
from agentid.controller.world import World
from agentid.watched.facts import Key

_log = structlog.get_logger("agentid.agents")

ROUND_SECONDS: Final = 10.0
"""An Agent's status is written at most so often, however many tasks come and go."""
PAUSE_SECONDS: Final = 0.2
"""Between two writes of a round, so that a thousand Agents don't make a thousand writes at once."""


class AgentStatuses:
    """The numbers of all Agents; only the active operator writes them."""

    def __init__(
        self,
        world: World,
        writes: StatusWrites,
        *,
        leads: Callable[[], bool],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._world = world
        self._writes = writes
        self._leads = leads
        self._sleep = sleep

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._sleep(ROUND_SECONDS)
            if self._leads():
                await self.once()

    async def once(self) -> None:
        """Write each status that is to be another one."""
        for key, agent in self._world.agents.all().items():
            status = self._status_of(key, agent)
            if status != agent.status and await self._wrote(key, agent, status):
                await self._sleep(PAUSE_SECONDS)

    def _status_of(self, key: Key, agent: AgentRecord) -> AgentStatus:
        scope, census = Scope(*key), self._world.census
        counts = TaskCounts(
            waiting=census.count(scope, Standing.WAITING),
            live=census.count(scope, *ACTIVE),
            recent=census.count(scope, Standing.OVER),
        )
        return AgentStatus(observed_generation=agent.generation, tasks=counts)

    async def _wrote(self, key: Key, agent: AgentRecord, status: AgentStatus) -> bool:
        namespace, name = key
        try:
            await self._writes.write_status(AGENTS, namespace, name, agent.facts.uid, agent.version, status)
        except (NotFoundError, ConflictError):
            # The watch shows what it is now, and the next round looks at that.
            return False
        except (ApiAnswerError, NotLeadingError) as error:
            _log.warning("Agent status not written", namespace=namespace, agent=name, error=str(error))
        return True
