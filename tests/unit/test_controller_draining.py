"""A process that ends lets its passes finish, and records and tells what they came to, within bounds."""

import asyncio
import math

import pytest
from structlog.testing import capture_logs

from agentid.controller import draining
from agentid.controller.draining import drain
from agentid.controller.queue import WorkQueue
from agentid.watched.facts import Key


class Place:
    """Where something waits to be recorded or told."""

    def __init__(self, waiting: int, *, works: bool = True) -> None:
        self.waiting, self._works = waiting, works

    async def drain(self) -> None:
        """Be done, or never."""
        await asyncio.sleep(0 if self._works else math.inf)
        self.waiting = 0


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "FLUSH_SECONDS", 0.05)


@pytest.mark.parametrize("pass_ends", [True, False])
async def test_what_is_refused_is_recorded_though_a_pass_does_not_end(*, pass_ends: bool) -> None:
    queue, ledger, events = WorkQueue(lambda: 0.0, lambda _: None, lambda: 0.0), Place(3), Place(1)
    sinks = Place(2)
    queue.add(("support", "refund-4711"))

    async def look_at(key: Key) -> None:
        del key
        await asyncio.sleep(0 if pass_ends else math.inf)

    work = asyncio.create_task(queue.run(look_at, 1))
    with capture_logs() as logs:
        await drain(queue, ledger, events, sinks, pass_seconds=0.05)
    work.cancel()

    assert (ledger.waiting, events.waiting, sinks.waiting) == (0, 0, 0)
    assert logs[-1]["event"] == ("drained" if pass_ends else "not drained in time")


async def test_who_cannot_record_ends_all_the_same_and_says_how_much_is_lost() -> None:
    queue, ledger = WorkQueue(lambda: 0.0, lambda _: None, lambda: 0.0), Place(3, works=False)
    with capture_logs() as logs:
        await drain(queue, ledger, Place(0), Place(0), pass_seconds=0.05)

    assert logs[-1]["event"] == "not drained in time"
    assert logs[-1]["records"] == 3


async def test_sinks_are_waited_for_after_the_ledger_which_tells_them_what_it_has() -> None:
    queue, order = WorkQueue(lambda: 0.0, lambda _: None, lambda: 0.0), list[str]()

    class Named(Place):
        def __init__(self, name: str) -> None:
            super().__init__(0)
            self._name = name

        async def drain(self) -> None:
            order.append(f"{self._name} begins")
            await asyncio.sleep(0)
            order.append(f"{self._name} ends")

    await drain(queue, Named("ledger"), Place(0), Named("sinks"), pass_seconds=0.05)
    assert order == ["ledger begins", "ledger ends", "sinks begins", "sinks ends"]


async def test_who_ends_waits_for_no_sink_that_takes_nothing_for_longer_than_for_all_else() -> None:
    queue = WorkQueue(lambda: 0.0, lambda _: None, lambda: 0.0)
    with capture_logs() as logs:
        await drain(queue, Place(0), Place(0), Place(1, works=False), pass_seconds=0.05)

    assert logs[-1]["event"] == "not drained in time"
