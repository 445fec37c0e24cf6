"""The probes: what makes a process begin again, and what only keeps it from being of use."""

from dataclasses import dataclass
from typing import cast

import pytest

from agentid.cluster.watch_activity import DEAD_SECONDS, WatchActivity
from agentid.controller.leader import Leader
from agentid.controller.probes import Probes
from agentid.controller.queue import WorkQueue
from agentid.lifecycle.model import Blocked

_PATH = "/api/v1/pods"


@dataclass
class Election:
    """Whether it is known who leads."""

    decided: bool = True


class Place:
    """A synced operator whose every part is well, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.election = Election()
        self.blocked: Blocked | None = None
        self.activity = WatchActivity(lambda: self.now)
        self.queue = WorkQueue(lambda: self.now, lambda _: None)
        self.probes = Probes(
            activity=self.activity,
            paths=(_PATH,),
            queue=self.queue,
            leader=cast("Leader", self.election),
            issuing=self,
        )
        self.activity.note(_PATH)
        self.probes.synced = True


@pytest.fixture
async def place() -> Place:
    return Place()


async def test_an_operator_with_nothing_wrong_is_healthy_and_ready(place: Place) -> None:
    assert (place.probes.unhealthy(), place.probes.unready()) == ([], [])


async def test_a_watch_that_is_silent_for_too_long_is_dead_and_until_then_it_is_not(place: Place) -> None:
    place.now = DEAD_SECONDS
    assert place.probes.unhealthy() == []
    place.now += 1
    assert place.probes.unhealthy() == [f"the watch of {_PATH} has been silent for 241 s"]
    place.activity.note(_PATH)
    assert place.probes.unhealthy() == []


async def test_until_the_watches_have_listed_it_is_not_ready_but_healthy(place: Place) -> None:
    place.probes.synced = False

    assert place.probes.unhealthy() == []
    assert place.probes.unready() == ["not everything has been listed yet"]


async def test_who_may_not_issue_is_not_ready_and_says_why_but_goes_on_living(place: Place) -> None:
    place.blocked = Blocked("nothing is issued: a rule is missing")

    assert place.probes.unready() == ["nothing is issued: a rule is missing"]
    assert place.probes.unhealthy() == []


async def test_while_nobody_is_known_to_lead_it_is_not_ready(place: Place) -> None:
    place.election.decided = False

    assert place.probes.unready() == ["it is not decided yet which operator leads"]
