"""All is looked at when something gets in the way of issuing, when it goes, and when it came and went."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from agentid.controller.issuing import Issuing
from agentid.lifecycle.model import Blocked

_LIMIT_SECONDS = 10
_NO_CA = Blocked("no CA")
_BEHIND = Blocked("behind")


class Part:
    """A part that may be in the way, and whether it has been asked about that."""

    def __init__(self) -> None:
        self.why: Blocked | None = None
        self.asked = asyncio.Event()

    @property
    def blocked(self) -> Blocked | None:
        self.asked.set()
        return self.why


class Place:
    """Two parts, and who has to look at all."""

    def __init__(self) -> None:
        self.first, self.second = Part(), Part()
        self.changed = asyncio.Event()
        self.issuing = Issuing((self.first, self.second), self.changed.set)

    async def has_looked(self) -> None:
        """Wait until it was looked whether anything is in the way, and nothing was found to have changed."""
        async with asyncio.timeout(_LIMIT_SECONDS):
            for _ in range(2):
                self.second.asked.clear()
                await self.second.asked.wait()
        assert not self.changed.is_set()

    async def has_told(self) -> None:
        """Wait until all is looked at."""
        async with asyncio.timeout(_LIMIT_SECONDS):
            await self.changed.wait()
        self.changed.clear()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    running = asyncio.create_task(place.issuing.run())
    async with asyncio.timeout(_LIMIT_SECONDS):
        await place.second.asked.wait()
    yield place
    running.cancel()


async def test_the_first_hindrance_is_told(place: Place) -> None:
    assert place.issuing.blocked is None
    place.second.why = _BEHIND
    assert place.issuing.blocked is _BEHIND
    place.first.why = _NO_CA
    assert place.issuing.blocked is _NO_CA


async def test_all_is_looked_at_when_a_hindrance_comes_becomes_another_and_goes(place: Place) -> None:
    await place.has_looked()
    for why in (_NO_CA, _BEHIND, None):
        place.first.why = why
        await place.has_told()


async def test_a_hindrance_that_lasts_is_told_once(place: Place) -> None:
    place.second.why = _NO_CA
    await place.has_told()
    assert place.issuing.blocked is _NO_CA

    await place.has_looked()


async def test_what_was_held_by_a_hindrance_that_came_and_went_at_once_is_looked_at(place: Place) -> None:
    place.second.why = _BEHIND
    assert place.issuing.blocked is _BEHIND
    place.second.why = None

    await place.has_told()
    await place.has_looked()


async def test_a_hindrance_that_came_and_went_unseen_changes_nothing(place: Place) -> None:
    place.second.why = _BEHIND
    place.second.why = None

    await place.has_looked()


async def test_what_is_in_the_way_from_the_beginning_is_told_too() -> None:
    place = Place()
    place.first.why = _NO_CA
    with capture_logs() as told:
        running = asyncio.create_task(place.issuing.run())
        async with asyncio.timeout(_LIMIT_SECONDS):
            await place.first.asked.wait()
        running.cancel()
    assert told == [
        {"event": "issuing blocked", "log_level": "warning", "problem": "no CA"},
    ]
