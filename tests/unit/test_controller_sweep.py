"""A sweep that is asked for is tried until it is done, with pauses; until then the view is behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ServerError
from agentid.cluster.reads import Reads
from agentid.controller.intake import Intake
from agentid.controller.sweep import Sweep
from agentid.controller.world import World
from agentid.watched.policies import Policies

_LIMIT_SECONDS = 10
_NEVER = 3600.0


class Swept(Sweep):
    """A sweep whose comparisons fail as often as they are told to."""

    def __init__(self) -> None:
        super().__init__(
            connection=cast("Connection", None),
            reads=cast("Reads", None),
            world=cast("World", None),
            policies=cast("Policies", None),
            intake=cast("Intake", None),
            namespaces=(),
            on_finding=lambda _resource, _objects: None,
            sleep=self.pause,
        )
        self.failures = 0
        self.pauses: list[float] = []
        self.done: asyncio.Queue[bool] = asyncio.Queue()
        self.behind_at_work: list[bool] = []
        self.meanwhile = False

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def once(self, *, requested: bool = False) -> int:
        self.behind_at_work.append(self.behind)
        if self.meanwhile:
            self.meanwhile = False
            self.request()
        if self.failures:
            self.failures -= 1
            raise ServerError("503")
        self.done.put_nowait(requested)
        return 0

    async def catches_up(self) -> None:
        """Wait until nothing is behind any more."""
        while self.behind:  # noqa: ASYNC110 - it is a plain attribute
            await asyncio.sleep(0)

    def listed(self) -> None:
        """Everything was listed at the start."""
        self._listed = True


@pytest.fixture
async def sweep() -> Swept:
    return Swept()


@asynccontextmanager
async def running(sweep: Swept) -> AsyncIterator[None]:
    runner = asyncio.create_task(sweep.run(_NEVER))
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            yield
    finally:
        runner.cancel()


async def test_one_that_fails_is_tried_again_with_growing_pauses_and_the_view_is_behind_until_then(
    sweep: Swept,
) -> None:
    sweep.listed()
    sweep.failures = 20
    sweep.request()
    async with running(sweep):
        assert await sweep.done.get()
        await sweep.catches_up()
    assert sweep.pauses == [*(float(each) for each in range(1, 16)), *[15.0] * 5]
    assert sweep.behind_at_work == [True] * 21
    assert not sweep.behind
    assert sweep.done.empty(), "it was asked for once"


async def test_a_watch_that_begins_anew_while_one_is_made_asks_for_another(sweep: Swept) -> None:
    sweep.listed()
    sweep.meanwhile = True
    sweep.request()
    async with running(sweep):
        assert await sweep.done.get()
        assert await sweep.done.get()
        await sweep.catches_up()
    assert sweep.behind_at_work == [True, True]
    assert not sweep.behind


async def test_watches_that_begin_before_all_is_listed_leave_nothing_behind_but_are_compared(
    sweep: Swept,
) -> None:
    sweep.request()
    sweep.listed()
    assert not sweep.behind
    async with running(sweep):
        assert await sweep.done.get()
