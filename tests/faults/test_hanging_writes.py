"""A write that hangs for 90 s and is done after all does no harm: its sender gave up and went on."""

from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster.intercepting import Interceptor
from tests.cluster.lives import CLEAN, Lives
from tests.cluster.writes import HANG_SECONDS, WRITES, life, traps, with_pods
from tests.fault_table import record

HANG = "hang_90s"
WITHIN = timedelta(seconds=270)
TTL_SECONDS = 90
"""A renewal at two thirds that hangs for 15 s is made before the first credential runs out."""
BOUND_SECONDS = 30.0
"""15 s until a request is given up, and a second for each further one."""


@pytest.mark.timeout(420)
def test_write_that_hangs_and_is_done_later_changes_nothing_in_how_a_life_comes_out(
    cluster: ControlPlane, team: Kubectl, interceptor: Interceptor, operator_of_session: OperatorProcess
) -> None:
    set_traps = traps([HANG])
    lives = Lives(team, [life(*each) for each in set_traps], with_pods(), ttl_seconds=TTL_SECONDS)
    operator_of_session.start(interceptor.environment)
    interceptor.set(*set_traps.values())
    lives.begin()
    lives.run(WITHIN, until_gone=False)
    wait_until(
        "each write that hung was handed on",
        lambda: {write: trap.answered_late for (_, write), trap in set_traps.items()},
        lambda seen: None not in seen.values(),
        within=timedelta(seconds=2 * HANG_SECONDS),
    )
    assert lives.readable() == []
    lives.run(WITHIN)

    assert lives.readable() == []
    outcomes = lives.outcomes(cluster)
    for (fault, write), trap in set_traps.items():
        name = life(fault, write)
        one = lives.of[name]
        assert outcomes[name] == CLEAN, write
        assert one.ended_at is not None
        assert one.clean_at is not None
        took = one.clean_at - one.ended_at
        assert took < BOUND_SECONDS, write
        record(
            HANG,
            write,
            bound=f"{BOUND_SECONDS:g} s after the end",
            seen=f"{took:.1f} s; done late: {trap.answered_late}",
        )
    assert set(WRITES) == {write for _, write in set_traps}


def test_first_write_of_a_key_that_comes_after_the_end_is_refused(
    cluster: ControlPlane, team: Kubectl, interceptor: Interceptor, operator_of_session: OperatorProcess
) -> None:
    (trap,) = (made for (_, write), made in traps([HANG]).items() if write == "issue_secret")
    lives = Lives(team, [life(HANG, "issue_secret")])
    operator_of_session.start(interceptor.environment)
    interceptor.set(trap)
    lives.begin()
    trap.wait()
    lives.end_all()
    wait_until(
        "it was handed on",
        lambda: trap.answered_late,
        lambda seen: seen is not None,
        within=timedelta(seconds=2 * HANG_SECONDS),
    )

    assert trap.answered_late == 409
    assert lives.readable() == []
    lives.run(WITHIN)
    (outcome,) = lives.outcomes(cluster).values()
    assert (outcome.standing, outcome.counting, outcome.secret) == ("Ended", 0, False)
    record(
        HANG,
        "issue_secret, ended before it is done",
        bound="0 s: the name is held by an empty Secret",
        seen=f"done late: {trap.answered_late}",
        came_out="one empty Secret, deleted after the grace",
    )
