"""A view that may be out of date issues nothing and says since when."""

from datetime import UTC, datetime, timedelta

import pytest

from agentid.cluster.watch_activity import DEAD_SECONDS, STALE_SECONDS, WatchActivity
from agentid.controller.freshness import Freshness

_PATHS = ("/api/v1/pods", "/apis/agentid.dev/v1alpha1/agents")
_START = datetime(2026, 5, 31, 14, tzinfo=UTC)
_BOOKMARK_SECONDS = 60


class Place:
    """Two watches that were heard just now, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.behind = False
        self.activity = WatchActivity(lambda: self.now)
        self.freshness = Freshness(
            self.activity,
            _PATHS,
            clock=lambda: _START + timedelta(seconds=self.now),
            is_behind=lambda: self.behind,
        )
        for path in _PATHS:
            self.activity.note(path)

    def why(self) -> str:
        blocked = self.freshness.blocked
        return blocked.message if blocked is not None else ""


@pytest.fixture
def place() -> Place:
    return Place()


def test_one_bookmark_may_be_missed_and_a_stale_view_is_not_yet_a_dead_one() -> None:
    assert 2 * _BOOKMARK_SECONDS <= STALE_SECONDS < DEAD_SECONDS


def test_one_silent_watch_makes_the_view_stale_and_its_next_word_fresh(place: Place) -> None:
    place.now = STALE_SECONDS
    assert place.why() == ""
    place.activity.note(_PATHS[1])
    place.now += 0.5
    said = place.why()
    assert said.startswith(
        "nothing is issued: the watch of /api/v1/pods has been silent since 2026-05-31T14:00:00Z, "
    )
    place.now += 30
    assert place.why() == said, "what is said does not change with the time"
    place.activity.note(_PATHS[0])
    assert place.why() == ""


def test_a_watch_that_has_not_begun_shows_nothing(place: Place) -> None:
    place.activity.forget(_PATHS[0])

    assert place.why() == "nothing is issued: the watch of /api/v1/pods has not begun; see the operator's log"


def test_nothing_is_issued_while_it_is_unknown_what_a_watch_missed(place: Place) -> None:
    place.behind = True
    assert place.why().startswith("nothing is issued: a watch has begun anew, ")
    place.behind = False
    assert place.why() == ""
