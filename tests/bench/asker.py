"""Asks a decision point by AuthZEN, as an enforcement point does: over connections that are kept open."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import aiohttp
import orjson

from agentid.gate.authzen import EVALUATION
from devcluster.components import LOOPBACK

ALLOWED: Final = "Allowed"
CONNECTIONS: Final = 8


class Denied(Exception):  # noqa: N818 - an answer, where another one was expected
    """A call was refused that is allowed; the text says why."""


def question(spiffe_id: str, serial: str) -> bytes:
    """Return the question whether an order may be read with an identity."""
    return orjson.dumps(
        {
            "subject": {"type": "workload", "id": spiffe_id, "properties": {"serial": serial}},
            "action": {"name": "orders:read"},
            "resource": {"type": "order", "id": "4711"},
        }
    )


class Asker:
    """An enforcement point with a service-account token."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._where = f"http://{LOOPBACK}:{port}{EVALUATION}"

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, token: str) -> AsyncIterator[Self]:
        """Ask the decision point on that port, for as long as the context lasts."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=300)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(session, port)

    async def ask(self, asked: bytes) -> str:
        """Return the reason of the answer; `ALLOWED` where it is."""
        async with self._session.post(self._where, data=asked) as answer:
            content = await answer.read()
            answer.raise_for_status()
        return str(orjson.loads(content)["context"]["reason"])

    async def at_once(self, questions: Sequence[bytes], seconds: float) -> list[float]:
        """Ask as fast as it answers, some at a time; return how long each took, in seconds."""
        took: list[float] = []
        until = time.monotonic() + seconds

        async def keep_on() -> None:
            while time.monotonic() < until:
                took.append(await self._timed(random.choice(questions)))  # noqa: S311 - which is asked about

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(keep_on())
        return took

    async def at_a_pace(self, questions: Sequence[bytes], per_second: float, seconds: float) -> list[float]:
        """Ask so many a second, at moments that do not know of each other, however long each takes."""
        asked: list[asyncio.Task[float]] = []
        began = due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while due < began + seconds:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                asked.append(group.create_task(self._timed(random.choice(questions))))  # noqa: S311 - as above
                due += random.expovariate(per_second)
        return [each.result() for each in asked]

    async def _timed(self, asked: bytes) -> float:
        begin = time.perf_counter()
        reason = await self.ask(asked)
        if reason != ALLOWED:
            raise Denied(f"the decision point refuses what is allowed: {reason}")
        return time.perf_counter() - begin
