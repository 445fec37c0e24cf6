"""A write that hangs for 90 s and is done after all does no harm: its sender gave up and went on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.lives import CLEAN, Life, Lives, Outcome, team_of
from tests.cluster.writes import HANG_SECONDS, WRITES, hanging, life, with_pods
from tests.fault_table import record

HANG = "hang_90s"
ENDED_EARLY = "ended-while-its-first-key-hangs"
WITHIN = timedelta(seconds=270)
TTL_SECONDS = 90
"""A renewal at two thirds that hangs for 15 s is made before the first credential runs out."""
BOUND_SECONDS = 30.0
"""15 s until a request is given up, and as much for all that has to be done then."""
REFUSED = 409


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run of all these lives has shown.

    Attributes:
        readable: What could be read right after all that hung was done, and in the end.
    """

    lives: dict[str, Life]
    outcomes: dict[str, Outcome]
    readable: list[str]
    traps: dict[str, Trap]
    early: Trap


@pytest.fixture(scope="module")
def seen(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Seen]:
    """One operator that leads a life for each write that hangs, side by side."""
    assert node
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    traps = {write: hanging(write, life(HANG, write)) for write in WRITES}
    early = hanging("issue_secret", ENDED_EARLY)
    with proxy.running(), team_of(cluster, "hanging") as here:
        if operator_of_session.alive():
            operator_of_session.terminate()
        operator_of_session.start(proxy.environment)
        try:
            proxy.set(*traps.values(), early)
            one = Lives(here, [ENDED_EARLY])
            one.begin()
            early.wait()
            one.end_all()
            lives = Lives(here, [life(HANG, write) for write in WRITES], with_pods(), ttl_seconds=TTL_SECONDS)
            lives.begin()
            lives.run(WITHIN, until_gone=False)
            wait_until(
                "each write that hung was handed on",
                lambda: [each.answered_late for each in (*traps.values(), early)],
                lambda codes: None not in codes,
                within=timedelta(seconds=2 * HANG_SECONDS),
            )
            readable = [*lives.readable(), *one.readable()]
            for each in (one, lives):
                each.run(WITHIN)
            readable += [*lives.readable(), *one.readable()]
            outcomes = lives.outcomes(cluster) | one.outcomes(cluster)
            yield Seen(lives.of, outcomes, readable, traps, early)
        finally:
            operator_of_session.terminate()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("write", WRITES)
def test_write_that_hangs_and_is_done_later_changes_nothing_in_how_a_life_comes_out(
    seen: Seen, write: str
) -> None:
    name = life(HANG, write)
    one = seen.lives[name]
    assert seen.outcomes[name] == CLEAN
    assert name not in seen.readable
    assert one.ended_at is not None
    assert one.clean_at is not None
    took = one.clean_at - one.ended_at
    assert took < BOUND_SECONDS
    record(
        HANG,
        write,
        bound=f"{BOUND_SECONDS:g} s after the end",
        seen=f"{took:.1f} s; done late: {seen.traps[write].answered_late}",
    )


@pytest.mark.timeout(600)
def test_first_write_of_a_key_that_comes_after_the_end_is_refused(seen: Seen) -> None:
    outcome = seen.outcomes[ENDED_EARLY]
    assert seen.early.answered_late == REFUSED
    assert ENDED_EARLY not in seen.readable
    assert (outcome.standing, outcome.counting, outcome.secret) == ("Ended", 0, False)
    assert (outcome.creates, outcome.deletes) == (1, 1)
    record(
        HANG,
        "issue_secret of a task that ends meanwhile",
        bound="none: an empty Secret holds the name",
        seen=f"done late: {seen.early.answered_late}",
        came_out="one empty Secret, deleted after the grace",
    )
