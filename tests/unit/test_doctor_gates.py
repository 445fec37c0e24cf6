"""What the doctor makes of decision points, and of the heartbeats that they go by."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentid.doctor.gates import MOST_AGE, judge_gates, judge_heartbeats

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def gate(name: str, *, ready: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "gate", "args": ["gate"]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.mark.parametrize(
    ("ready", "standing", "told"),
    [
        ([True, True], "OK", "2 of 2 decision points are ready"),
        ([True, False], "Warning", "1 of 2"),
        ([False], "Problem", "0 of 1"),
    ],
)
def test_how_decision_points_stand(ready: list[bool], standing: str, told: str) -> None:
    found = judge_gates([gate(f"g-{n}", ready=each) for n, each in enumerate(ready)], "agentid-system")

    assert (found.standing, told in found.sentence) == (standing, True)
    assert ("readyz" in found.remedy) is (standing != "OK")


@pytest.mark.parametrize(
    ("ages", "standing", "told"),
    [
        ({"a": 1}, "OK", "shows decision points that it lives"),
        # The API server's clock may be behind, and is told in whole seconds.
        ({"a": -1}, "OK", "shows decision points"),
        ({"a": 10}, "OK", "shows decision points"),
        ({"a": 1, "b": 11}, "Problem", "in namespace b is 11 s old"),
        ({"a": 90, "b": 11}, "Problem", "in namespace a is 90 s old"),
        ({"a": 1, "b": None}, "Problem", "no heartbeat of the operator in namespace b"),
    ],
)
def test_an_old_heartbeat_is_a_problem(ages: dict[str, int | None], standing: str, told: str) -> None:
    beats = {name: None if age is None else _NOW - age * _SECOND for name, age in ages.items()}

    found = judge_heartbeats(beats, _NOW, "agentid-system")

    assert (found.standing, told in found.sentence) == (standing, True), found
    assert MOST_AGE == 10 * _SECOND
