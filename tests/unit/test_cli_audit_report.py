"""`agentid report`: what is counted of each agent, what is said to follow from that, and when nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentid.api.fields import format_time
from agentid.cli.audit.advice import MANY, Ceiling, narrower, stable
from agentid.cli.audit.tally import Tallies, Tally
from tests.unit.audit_files import agentid, lines_of, written
from tests.unit.ledger_batches import at, chain, ended, issued, parsed, record, revoked_list, started

HOUR = 3600
KEY = ("support", "refund-agent")
WIDE = Ceiling(("orders:*", "refunds:create"), "Restricted")


def uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def life(number: int, *, lasts: float = 100, reason: str = "Completed", **fields: object) -> list[bytes]:
    """One task that was issued, renewed and ended, some seconds after the one before."""
    begin, name = 1_000.0 * number, {"uid": uid(number), "task": f"t-{number}"}
    asked: dict[str, Any] = {"actions": ["orders:read"], "sensitivity": "Internal", **name, **fields}
    times = {"started_at": begin, "deadline": begin + HOUR}
    return [
        issued(f"{number}a", seconds=begin, ends=begin + 300, **times, **asked),
        issued(f"{number}b", "renewed", seconds=begin + 50, ends=begin + 350, **times, **asked),
        ended(
            begin + lasts,
            **name,
            namespace="support",
            agent="refund-agent",
            reason=reason,
            started=format_time(at(begin)),
            deadline=format_time(at(begin + HOUR)),
            revoked=revoked_list((f"{number}b", begin + 350)),
        ),
    ]


def tallied(*lines: bytes, agent: str | None = None, namespace: str | None = None) -> Tallies:
    found = Tallies(agent, namespace, None)
    for each in parsed(*lines):
        found.take(each)
    return found


def of(*lines: bytes) -> Tally:
    return tallied(*lines).of[KEY]


def waits(kind: str, number: int, **fields: object) -> bytes:
    said = {"namespace": "support", "task": f"t-{number}", "agent": "refund-agent", "uid": uid(number)}
    return record(kind, 1_000 * number, **(said | fields))


def test_what_tasks_were_given_and_how_they_ended_is_counted_once_a_task() -> None:
    tally = of(*life(1), *life(2, reason="Expired", lasts=HOUR, actions=["orders:read", "refunds:create"]))
    assert (tally.tasks, tally.running, tally.credentials) == (2, 0, 4)
    assert tally.actions == {"orders:read": 2, "refunds:create": 1}
    assert tally.ends == {"Completed": 1, "Expired": 1}
    assert (list(tally.lasted), list(tally.asked), list(tally.by_itself)) == (
        [100, HOUR],
        [HOUR, HOUR],
        [100],
    )


def test_approvals_refusals_suspensions_and_emergencies_are_counted() -> None:
    first, second, end = life(1, approvers=["dana"], break_glass=True)
    tally = of(
        waits("approvalRequired", 1, reason="AwaitingApproval"),
        waits("approvalRequired", 1, reason="AwaitingApproval"),
        first,
        waits("suspended", 1, reason="Suspended"),
        second,
        end,
        waits("denied", 2, reason="ApprovalDenied"),
        waits("denied", 3, reason="CeilingExceeded"),
        waits("ended", 3, reason="StartDeadlineExceeded"),
    )
    assert (tally.waited, tally.approved, tally.suspended, tally.emergencies) == (1, 1, 1, 1)
    assert tally.refusals == {"ApprovalDenied": 1, "CeilingExceeded": 1}
    assert (tally.denied_by_people, tally.tasks) == (1, 1)
    assert (tally.unbegun, tally.ends) == ({"StartDeadlineExceeded": 1}, {"Completed": 1})


def test_what_was_recorded_and_never_released_is_no_credential() -> None:
    first, *_ = life(1)
    assert of(first, waits("voided", 1)).credentials == 0


def test_what_a_child_is_given_counts_for_the_agent_above_it_whoever_does_it() -> None:
    above, *_ = life(1, grantable=["refunds:create", "refunds:cancel"])
    child = waits("granted", 2, agent="other", chain=[uid(1)], actions=["refunds:create"])
    tally = tallied(above, child, agent="refund-agent").of[KEY]
    assert (tally.grantable, tally.handed_on) == (
        {"refunds:create": 1, "refunds:cancel": 1},
        {"refunds:create": 1},
    )
    assert "its tasks may grant refunds:cancel, and no child was given that" in list(narrower(tally, None))


def test_only_what_is_asked_for_is_counted_and_no_ended_task_is_kept() -> None:
    lines = [*life(1), *life(2), waits("denied", 3, agent="other"), started(), record(policy="AgentPolicy/x")]
    assert set(tallied(*lines).of) == {KEY, ("support", "other")}
    assert set(tallied(*lines, agent="other").of) == {("support", "other")}
    assert not tallied(*lines, namespace="elsewhere").of
    assert len(tallied(*lines)._tasks) == 1  # noqa: SLF001 - what is kept is the point


def test_what_no_task_was_given_could_be_taken_away() -> None:
    tally = of(*life(1), *life(2))
    assert list(narrower(tally, WIDE)) == [
        "the Agent lists orders:*, and tasks were given orders:read only",
        "the Agent lists refunds:create, and no task was given that",
        "the Agent may touch Restricted data, and no task asked for more than Internal",
    ]
    assert list(narrower(tally, Ceiling(("orders:read",), "Internal"))) == []
    assert list(narrower(tally, None)) == []
    assert list(narrower(Tally(), WIDE)) == []


def test_a_deadline_that_nobody_needs_is_told_once_enough_tasks_came_to_their_end() -> None:
    few = [line for number in range(4) for line in life(number)]
    assert list(narrower(of(*few), None)) == []
    (said,) = narrower(of(*few, *life(9)), None)
    assert said == (
        "tasks may run for up to 1 h, and of 5 that came to their end the longest took 100 s: 4 min would "
        "leave room"
    )
    assert list(narrower(of(*few, *life(9, lasts=3000)), None)) == []
    assert list(narrower(of(*few, *life(9, reason="Expired", lasts=HOUR)), None)) == []


def test_what_went_well_often_enough_is_stable_and_one_trouble_is_enough_that_it_is_not() -> None:
    many = [line for number in range(MANY) for line in life(number, approvers=["dana"])]
    well, approved = stable(of(*many))
    assert well.startswith(f"{MANY} tasks, all completed; none was refused")
    assert approved.startswith(f"{MANY} tasks were approved, and none was denied")
    assert list(stable(of(*many[3:]))) == []
    assert list(stable(of(*many, waits("denied", 99, reason="ApprovalDenied")))) == []
    for trouble in (
        [waits("suspended", 99)],
        [waits("denied", 99, reason="AwaitingPolicy")],
        [waits("ended", 99, reason="Denied")],
        life(99, reason="Revoked"),
        life(99, reason="Failed"),
        life(99, break_glass=True),
    ):
        assert not any("all completed" in each for each in stable(of(*many, *trouble)))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return written(
        tmp_path, lines_of(chain([[started()], life(1), [*life(2), waits("denied", 3, agent="other")]]))
    )


def test_it_is_told_in_rows_and_to_programs(ledger: Path) -> None:
    code, out, err = agentid("report", "--file", ledger)
    assert code == 0
    said = " ".join(out.split())
    for part in (
        "support/refund-agent: 2 tasks, 0 without an end.",
        "credentials 4",
        "granted orders:read to 2 tasks",
        "used not recorded in this ledger: only a decision point sees",
        "ended Completed: 2",
        "allowed for 1 h in the median, 1 h at most took 100 s in the median",
        "support/other: 0 tasks",
    ):
        assert part in said, out
    assert "used 0" not in said
    assert "what the Agents list is not in the ledger" in err
    answer = json.loads(agentid("report", "--file", ledger, "--agent", "refund-agent", "-o", "json")[1])
    (agent,) = answer["agents"]
    assert (agent["used"], agent["granted"], agent["credentials"]) == (None, {"orders:read": 2}, 4)
    assert agent["tookSeconds"] == {"median": 100, "longest": 100, "of": 2}
    later = json.loads(
        agentid("report", "--file", ledger, "--since", format_time(at(1_500)), "-o", "json")[1]
    )
    assert [each["tasks"] for each in later["agents"]] == [0, 1]


def test_an_agent_of_which_nothing_is_recorded_is_said_to_be_none(ledger: Path) -> None:
    code, out, err = agentid("report", "--file", ledger, "--agent", "nobody")
    assert (code, out) == (0, "")
    assert "no record of such an agent by 2026-11-23T12:00:02Z" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--agent", ""),
        ("--since", "soon"),
        ("-o", "table"),
        ("one",),
        ("--file", "x", "--cluster"),
        ("-A", "-n", "a"),
    ],
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert agentid("report", *options)[0] == 2
