"""What the doctor makes of the lease, and of the clocks of its holder and of this machine."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.doctor import clocks
from tests.unit.doctor_installation import NOW, one

LEASE = clocks.LeaseSeen("pod-1", 15, NOW, moved=True, server=NOW)


@pytest.mark.parametrize(
    ("seen", "standing", "told"),
    [
        (LEASE, "OK", "held by pod-1"),
        (None, "Problem", "no operator has ever led"),
        (replace(LEASE, holder=""), "Problem", "held by nobody"),
        (replace(LEASE, moved=False), "Problem", "was not renewed in 15 s"),
        (replace(LEASE, renewed=None, moved=False), "Problem", "renewed it last never"),
    ],
)
def test_how_a_lease_stands(seen: clocks.LeaseSeen | None, standing: str, told: str) -> None:
    found = clocks.judge_lease(seen, "agentid-system")[0]

    assert found.standing == standing
    assert told in found.sentence


@pytest.mark.parametrize(("ahead", "standing"), [(9, "OK"), (11, "Problem"), (-9, "OK"), (-11, "Problem")])
def test_the_leading_operators_clock_is_seen_in_its_lease(ahead: int, standing: str) -> None:
    seen = replace(LEASE, renewed=NOW + timedelta(seconds=ahead))

    clock = clocks.judge_lease(seen, "agentid-system")[1]

    assert clock.standing == standing


@pytest.mark.parametrize(("ahead", "standing"), [(0, "OK"), (10, "OK"), (10.5, "Warning"), (-60, "Warning")])
def test_this_machines_clock(ahead: float, standing: str) -> None:
    assert one(clocks.judge_clock(ahead)).standing == standing
