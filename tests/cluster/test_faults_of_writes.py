"""Each write of issue, renewal and end: cut off, refused or failed; every life comes out as a clean one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.operator_process import OperatorProcess
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.lives import CLEAN, Life, Lives, Outcome, team_of
from tests.cluster.writes import FAULTS, RETRY_AFTER_SECONDS, WRITES, life, traps, with_pods
from tests.fault_table import is_kept, record

UNTOUCHED = ("untouched", "untouched-with-pod")
BRIEF_GRACE = {"AGENTID_WIPE_GRACE_SECONDS": "10"}
WITHIN = timedelta(seconds=150)
BOUND_SECONDS = 20.0
"""A pause of less than a second or what Retry-After says, for fifty tasks at once on two shared cores."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run of all these lives has shown."""

    lives: dict[str, Life]
    outcomes: dict[str, Outcome]
    readable: list[str]
    traps: dict[tuple[str, str], Trap]


@pytest.fixture(scope="module")
def seen(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Seen]:
    """One operator that leads a life for each fault at each write, all side by side."""
    assert node
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    set_traps = traps(FAULTS)
    names = [*UNTOUCHED, *(life(*each) for each in set_traps)]
    with proxy.running(), team_of(cluster, "faults") as here:
        if operator_of_session.alive():
            operator_of_session.terminate()
        operator_of_session.start({**proxy.environment, **BRIEF_GRACE})
        try:
            proxy.set(*set_traps.values())
            lives = Lives(here, names, {*with_pods(), UNTOUCHED[1]})
            lives.begin()
            lives.run(WITHIN)
            yield Seen(lives.of, lives.outcomes(cluster), lives.readable(), set_traps)
        finally:
            operator_of_session.terminate()


def test_life_that_nothing_befell_makes_one_secret_and_deletes_it(seen: Seen) -> None:
    assert [seen.outcomes[name] for name in UNTOUCHED] == [CLEAN, CLEAN]


@pytest.mark.parametrize(
    ("fault", "write"),
    [pytest.param(fault, write, id=f"{fault}.{write}") for fault in FAULTS for write in WRITES],
)
def test_fault_at_a_write_changes_nothing_in_how_a_life_comes_out(seen: Seen, fault: str, write: str) -> None:
    name, trap = life(fault, write), seen.traps[fault, write]
    one = seen.lives[name]
    assert trap.sprung.is_set(), "the write never came"
    assert seen.outcomes[name] == CLEAN
    assert name not in seen.readable
    assert one.ended_at is not None
    assert one.clean_at is not None
    took = one.clean_at - one.ended_at
    # Beside other tests on a busy machine, the time says nothing.
    assert took < BOUND_SECONDS or not is_kept()
    record(fault, write, bound=f"{BOUND_SECONDS:g} s after the end", seen=f"{took:.1f} s")


@pytest.mark.parametrize("write", WRITES)
def test_pause_that_the_api_server_asks_for_is_kept(seen: Seen, write: str) -> None:
    first, second, *_ = seen.traps["too_many_429", write].came_at
    assert second - first >= RETRY_AFTER_SECONDS
