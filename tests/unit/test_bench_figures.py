"""The bench's own statistics, its forms, and what it writes where."""

import json

import pytest

from tests.bench import decisions
from tests.bench.decisions import SLICED, WHOLE, Decisions
from tests.bench.figures import Figure, Goal, median_ratio, percentile
from tests.bench.findings import beside_others
from tests.bench.gate import GateFindings, Kept, Served
from tests.bench.gate_figures import gate_figures
from tests.bench.learning import forms_of
from tests.bench.neighbours import Neighbours
from tests.bench.profile import cost_of
from tests.bench.report import HEADING, replaced
from tests.bench.rounds import count_writes

NAME, UID = "refund-000001", "0aa6a8e8-7b8d-4c39-9a3f-0e5a3a6f6f3e"


def write(verb: str, resource: str, code: int = 200, **more: object) -> dict[str, object]:
    return {
        "verb": verb,
        "stage": "ResponseComplete",
        "requestURI": "/",
        "objectRef": {"resource": resource, "namespace": "bench"},
        "responseStatus": {"code": code},
        **more,
    }


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5], 99, 5),
        (range(1, 101), 50, 50),
        (range(1, 101), 99, 99),
        (range(1, 201), 99, 198),
        (range(1, 11), 99, 10),
        ([3, 1, 2], 50, 2),
        ([3, 1, 2], 0, 1),
        ([3, 1, 2], 100, 3),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_nothing_has_no_percentile_and_no_ratio() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)
    for rounds in ([], [(1.0, 0.0)]):
        with pytest.raises(ValueError, match="nothing to compare"):
            median_ratio(rounds)


def test_a_round_is_compared_with_itself_only() -> None:
    # The machine was three times slower in the last round: for both.
    assert median_ratio([(90, 100), (80, 100), (27, 30)]) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("goal", "figure", "met", "shown"),
    [
        (Goal(least=0.8), 0.8, True, "≥ 0.8"),
        (Goal(least=0.8), 0.7999, False, "≥ 0.8"),
        (Goal(most=1.5), 1.51, False, "≤ 1.5"),
        (Goal(6, 6), 6, True, "6"),
        (Goal(6, 6), 6.001, False, "6"),
        (Goal(most=1.5), float("nan"), False, "≤ 1.5"),
    ],
)
def test_a_missed_goal_says_so(goal: Goal, figure: float, met: bool, shown: str) -> None:  # noqa: FBT001
    assert str(goal) == shown
    assert Figure("f", figure, "", goal, "").verdict == ("met" if met else "MISSED")


def test_only_what_was_written_of_lives_counts() -> None:
    life = [
        *(write("patch", "agenttasks") for _ in range(2)),
        write("create", "secrets"),
        write("delete", "secrets"),
        *(write("create", "events") for _ in range(2)),
    ]
    beside = [
        write("update", "leases"),
        write("get", "agenttasks"),
        write("create", "agenttasks", requestURI="/x?dryRun=All"),
        write("create", "events", code=403),
        write("create", "events") | {"objectRef": {"resource": "events", "namespace": "elsewhere"}},
    ]
    counted = count_writes([*life, *beside], 1)
    assert (counted.per_life, counted.conflicts) == (6, 0)
    once_lost = count_writes([*life, write("patch", "agenttasks", code=409)], 1)
    assert (once_lost.per_life, once_lost.conflicts) == (6, 1)


def test_forms_hold_nothing_of_the_life_they_were_taken_from() -> None:
    task = {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": NAME, "namespace": "bench", "uid": UID},
    }
    issued = task | {"status": {"spiffeID": f"spiffe://x/task/{UID}", "deadline": "2026-01-01T00:00:00Z"}}
    ended = task | {"status": {"spiffeID": f"spiffe://x/task/{UID}", "endTime": "2026-01-01T00:00:00Z"}}
    event = {
        "metadata": {"name": f"{NAME}.1", "uid": "e"},
        "note": NAME,
        "regarding": {"uid": UID},
        "deprecatedCount": 1,
    }
    forms = forms_of(issued, ended, [event, event], [])
    for each in (
        forms.issued_status,
        forms.secret,
        forms.issued_event,
        forms.ended_status,
        forms.ended_event,
    ):
        assert UID not in each
        assert NAME not in each
    # What is no longer there is taken off by the same merge that agentid sends.
    assert json.loads(forms.ended_status)["status"]["deadline"] is None
    assert "deprecatedCount" not in json.loads(forms.issued_event)


@pytest.mark.parametrize(
    ("stack", "cost"),
    [
        (["/a/agentid/pki/svid.py:issue", "/a/agentid/controller/reconcile.py:f"], "key and certificate"),
        (["/usr/lib/python3/json.py:f", "/x/structlog/y.py:f", "/a/agentid/controller/z.py:f"], "logging"),
        (["/usr/lib/enum.py:f"], "other"),
    ],
)
def test_a_sample_counts_as_the_innermost_thing_that_has_a_name(stack: list[str], cost: str) -> None:
    assert cost_of(stack) == cost


def test_a_run_replaces_the_measured_part_of_the_document_and_nothing_else() -> None:
    assert replaced(f"# a\n{HEADING}\nold\n", "new\n") == f"# a\n{HEADING}\nnew\n"
    with pytest.raises(ValueError, match="has no heading"):
        replaced("a", "new")


def test_a_neighbour_is_compared_with_one_that_is_alone() -> None:
    found = Neighbours(
        of=25,
        beside_start=90.0,
        alone=40.0,
        beside_revoked=200.0,
        beside_waiting=45.0,
        beside_served=139.0,
        revoked=10_000,
        unrevoked=9_000,
        crowd=5_000,
        unserved=4_000,
    )
    assert {line.name: (line.value, line.verdict) for line in beside_others(found)} == {
        "neighbour_delay_ms": (5.0, "met"),
        "neighbour_delay_served_ms": (99.0, "met"),
        "neighbour_delay_revoked_ms": (160.0, "MISSED"),
        "neighbour_delay_start_ms": (50.0, ""),
    }


@pytest.mark.parametrize("rules", [SLICED, WHOLE])
def test_the_decision_that_is_measured_allows(rules: str) -> None:
    found = decisions.main(tasks=5, policies=10, rules=rules, asked=20)
    assert found.per_second > 0
    assert found.half_load_p99_ms > 0


def test_the_decision_point_has_a_line_for_each_size_and_each_kind_of_end() -> None:
    one = Decisions(per_second=6000, p50_ms=0.1, p99_ms=0.3, first_ms=1.5, half_load_p99_ms=0.9)
    found = GateFindings(
        decisions={(count, rules): one for count in (10, 200) for rules in (SLICED, WHOLE)},
        tasks=10_000,
        served=Served(per_second=1500, cpu_ms=0.5, p50_ms=1.0, p99_ms=4.0),
        kept={10_000: Kept(300, 500), 50_000: Kept(900, 1100)},
        refusals={"ended": [9.0, 10.0, 30.0]},
    )
    lines = {line.name: (line.value, line.verdict) for line in gate_figures(found)}
    assert lines == {
        "gate_decisions_per_s_at_10": (6000, "met"),
        "gate_decisions_per_s_at_200": (6000, ""),
        "gate_p99_ms_half_load": (0.9, "met"),
        "gate_http_p99_ms_half_load": (4.0, ""),
        "gate_rss_mib_10k": (300, ""),
        "gate_rss_mib_50k": (900, ""),
        "refused_p99_ms_ended": (30.0, ""),
    }
