"""Whoever sets the machine's clock delays no end and no wipe; one that is wrong at start issues nothing."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from agentid.process.clocks import Clock
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.in_this_process import InThisProcess
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.lives import made_and_deleted
from tests.cluster.objects import task

TWO_HOURS = 7200.0


class WallClock:
    """This machine's wall clock, as if somebody had set it."""

    def __init__(self, wrong_by: float = 0.0) -> None:
        self.wrong_by = wrong_by

    def __call__(self) -> float:
        return time.time() + self.wrong_by


@pytest.fixture
def interceptor(
    cluster: ControlPlane, operator_of_session: OperatorProcess, no_operator: None
) -> Iterator[Interceptor]:
    """The operator's way to the API server; no other operator runs."""
    assert no_operator is None
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        yield proxy


@pytest.mark.parametrize("step", [-TWO_HOURS, TWO_HOURS], ids=["back", "forward"])
def test_a_clock_that_is_set_moves_no_end_and_no_second_try_of_a_wipe(
    place: Kubectl, cluster: ControlPlane, interceptor: Interceptor, step: float
) -> None:
    wall = WallClock()
    operator = InThisProcess(interceptor, clock=Clock(wall))
    lost = Trap("DELETE", r".*/secrets/agentid-ended", answered=False, spring=lambda: None)
    with operator.running():
        operator.wait_ready()
        interceptor.set(lost)
        place.create(
            [task("ended", activeDeadlineSeconds=30, credential={"ttlSeconds": 30}), task("goes-on")]
        )
        story.runs(place, "ended")
        story.runs(place, "goes-on")
        wall.wrong_by = step

        over = story.ends(place, "Expired", "ended")
        assert lasted(over) == timedelta(seconds=30)
        lost.wait()
        story.secret_gone(place, "ended")
        place.create(task("new"))
        story.runs(place, "new")
        assert story.standing(place.get("agenttask", "goes-on")) == "Running"
        assert made_and_deleted(cluster, place, "ended", "goes-on", "new") == {
            "ended": (1, 1),
            "goes-on": (1, 0),
            "new": (1, 0),
        }
        assert operator.why_not_ready() == ""


def lasted(over: dict[str, object]) -> timedelta:
    """How long a task that is over was allowed to run, in whole seconds."""
    status = over["status"]
    assert isinstance(status, dict)
    started, ended = (datetime.fromisoformat(status[each]) for each in ("startTime", "endTime"))
    return timedelta(seconds=round((ended - started).total_seconds()))


@pytest.mark.parametrize(
    ("wrong_by", "says"),
    [(-TWO_HOURS, "s behind the API server's"), (TWO_HOURS, "s ahead of the API server's")],
)
def test_a_clock_that_is_wrong_at_start_issues_nothing_until_it_is_mended(
    place: Kubectl, interceptor: Interceptor, wrong_by: float, says: str
) -> None:
    operator = InThisProcess(interceptor)
    with operator.running():
        place.create(task("goes-on"))
        before = story.runs(place, "goes-on")
    wall = WallClock(wrong_by)
    operator = InThisProcess(interceptor, clock=Clock(wall))
    with operator.running():
        wait_until("it says that the clock is wrong", operator.why_not_ready, lambda seen: says in seen)
        place.create([task(), task("ended", state="Ended")])
        story.stands(place, "Ended", "ended")
        waits = story.stands(place, "IssuanceBlocked")
        assert "mend the time synchronisation" in story.conditions(waits)["Finished"]["message"]
        assert story.serials(waits) == []
        # It is not over, although it would be by this clock; nor does it live for two hours longer.
        assert place.get("agenttask", "goes-on")["status"] == before["status"]
        place.patch("agenttask", "goes-on", {"spec": {"state": "Ended"}})
        assert abs(lasted(story.ends(place, "Ended", "goes-on"))) < timedelta(minutes=5)

        wall.wrong_by = 0.0
        operator.wait_ready()
        story.runs(place)
