"""What an auditor finds in records that nobody touched: what should not have been, and nothing else."""

from datetime import timedelta

import pytest

from agentid.ledger.audit import Auditor
from agentid.ledger.audit_finding import AuditFinding
from agentid.ledger.batch import Batch
from tests.unit.ledger_batches import (
    UID,
    at,
    chain,
    ended,
    issued,
    parsed,
    record,
    revoked_list,
    started,
)

HOUR = 3600
NEVER_ENDED = (
    "notEnded",
    "support/refund-4711 had to end by 2026-11-23T13:00:00Z, and no record says that it did",
)


def batch_at(seconds: float) -> Batch:
    (batch,) = chain([[started()]])
    return Batch(**{name: getattr(batch, name) for name in batch.__slots__} | {"at": at(seconds)})


def audited(
    *lines: tuple[float, bytes],
    until: float = 0,
    longest: timedelta | None = None,
    auditor: Auditor | None = None,
) -> list[AuditFinding]:
    """What it finds in records of these times, each in a batch of its own, looked at some time later."""
    auditor = auditor or Auditor(longest=longest)
    found = auditor.feed(batch_at(0), parsed(started()))
    for seconds, line in lines:
        found += auditor.feed(batch_at(seconds), parsed(line))
    return found + auditor.finish(at(until))


def kinds(found: list[AuditFinding]) -> list[str]:
    return [each.kind.value for each in found]


ISSUE = (10.0, issued("4f", seconds=10, ends=310, started_at=10, deadline=HOUR))
RENEWAL = (200.0, issued("5a", "renewed", seconds=200, ends=500, started_at=10, deadline=HOUR))
END = (400.0, ended(400, started="2026-11-23T12:00:10Z", revoked=revoked_list(("5a", 500))))
LONG_AFTER = 10 * HOUR


def test_a_life_as_it_should_be_shows_nothing() -> None:
    assert audited(ISSUE, RENEWAL, END, until=LONG_AFTER, longest=timedelta(minutes=5)) == []


@pytest.mark.parametrize(("until", "missed"), [(HOUR + 300, []), (HOUR + 301, [NEVER_ENDED])])
def test_a_task_that_never_ends_is_missed_some_time_after_its_deadline(
    until: float, missed: list[tuple[str, str]]
) -> None:
    found = audited(ISSUE, until=until)

    assert [(each.kind.value, each.message) for each in found] == missed
    assert all((each.sequence, each.uid) == (1, UID) for each in found)


def test_an_end_that_was_late_is_told_from_one_that_was_recorded_late() -> None:
    recorded_late = (
        HOUR + 3000,
        ended(HOUR, started="2026-11-23T12:00:10Z", revoked=revoked_list(("4f", 310))),
    )
    late = (HOUR + 3000, ended(HOUR + 301, started="2026-11-23T12:00:10Z", revoked=revoked_list(("4f", 310))))

    assert audited(ISSUE, (HOUR + 2990, record()), recorded_late, until=LONG_AFTER) == []
    assert [each.message for each in audited(ISSUE, late, until=LONG_AFTER)] == [
        "support/refund-4711 had to end by 2026-11-23T13:00:00Z, and ended at 2026-11-23T13:05:01Z"
    ]


def test_an_end_that_was_missed_and_comes_after_all_is_not_one_of_what_never_began() -> None:
    very_late = (3 * HOUR, ended(3 * HOUR, started="2026-11-23T12:00:10Z"))

    assert kinds(audited(ISSUE, (2 * HOUR + 1, record()), very_late, until=LONG_AFTER)) == ["notEnded"]


def test_what_is_missed_is_told_once_and_while_the_chain_goes_on() -> None:
    auditor = Auditor()

    assert kinds(audited(ISSUE, (2 * HOUR, record()), until=LONG_AFTER, auditor=auditor)) == ["notEnded"]
    assert auditor.finish(at(10**6)) == []


def test_a_step_that_never_ends_is_missed() -> None:
    grant = record("granted", 10, deadline="2026-11-23T13:00:00Z", started="2026-11-23T12:00:10Z")

    assert kinds(audited((10, grant), until=LONG_AFTER)) == ["notEnded"]


def test_an_end_of_what_was_never_recorded_to_begin() -> None:
    begun = ended(400, started="2026-11-23T12:00:10Z")

    (found,) = audited((400, begun))
    assert found.kind == "notIssued"
    assert "began at 2026-11-23T12:00:10Z, and no record says that it was given anything" in found.message


@pytest.mark.parametrize(
    "line",
    [
        ended(400, started=None),
        ended(400, started="2026-11-23T11:00:00Z"),
        ended(400, started="2026-11-23T12:00:00Z"),
    ],
    ids=["waited only", "began before the records", "began with them"],
)
def test_an_end_of_what_began_before_or_never_shows_nothing(line: bytes) -> None:
    assert audited((400, line)) == []


def test_a_renewal_of_what_was_never_recorded_to_begin() -> None:
    assert kinds(audited(RENEWAL)) == ["notIssued"]


def test_an_end_told_again_is_no_news() -> None:
    assert audited(ISSUE, RENEWAL, END, END, until=LONG_AFTER) == []


def test_a_credential_that_lives_longer_than_it_may() -> None:
    longer = issued("4f", seconds=10, ends=311, started_at=10)

    assert audited(ISSUE, longest=timedelta(seconds=300)) == []
    (found,) = audited((10, longer), longest=timedelta(seconds=300))
    assert (found.kind, found.message) == (
        "tooLong",
        (
            "support/refund-4711 has credential 4f, which ends 2026-11-23T12:05:11Z: "
            "longer than 0:05:00 after it began"
        ),
    )
    assert audited((10, longer)) == []


def test_a_credential_that_outlives_its_task() -> None:
    line = issued("4f", seconds=10, ends=HOUR + 1, started_at=10)

    assert kinds(audited((10, line))) == ["pastDeadline"]


def test_a_credential_after_the_deadline_or_the_end() -> None:
    late = (500.0, issued("6b", "renewed", seconds=500, ends=800, started_at=10))
    overdue = (HOUR + 10, issued("6b", "renewed", seconds=HOUR + 10, ends=HOUR + 20, started_at=10))

    assert kinds(audited(ISSUE, RENEWAL, END, late, until=1000)) == ["issuedAfterEnd", "notRevoked"]
    assert kinds(audited(ISSUE, overdue)) == ["pastDeadline", "pastDeadline"]


def test_what_is_given_after_the_end_is_told_unless_it_is_voided() -> None:
    late = (500.0, issued("6b", "renewed", seconds=500, ends=800, started_at=10))
    void = (510.0, record("voided", 510, serial="6b", revoked=revoked_list(("6b", 800))))
    other = (510.0, record("voided", 510, serial="5a", revoked=revoked_list(("5a", 500))))

    assert audited(ISSUE, RENEWAL, END, late, void, until=LONG_AFTER) == []
    found, *_ = audited(ISSUE, RENEWAL, END, late, other, until=LONG_AFTER)
    assert found.kind.value == "issuedAfterEnd"
    assert found.message == (
        "support/refund-4711 was given something at 2026-11-23T12:08:20Z, "
        "after it had ended at 2026-11-23T12:06:40Z"
    )
    # Whoever voids it long after it was given has given it.
    much_later = (6000.0, record("voided", 6000, serial="6b", revoked=revoked_list(("6b", 800))))
    assert "issuedAfterEnd" in kinds(audited(ISSUE, RENEWAL, END, late, (5000.0, started()), much_later))


def test_a_renewal_while_suspended() -> None:
    hold = (100.0, record("suspended", 100, revoked=revoked_list(("4f", 310))))
    resumed = (200.0, issued("5a", "resumed", seconds=200, ends=500, started_at=10))

    assert kinds(audited(ISSUE, hold, RENEWAL)) == ["issuedWhileSuspended"]
    assert audited(ISSUE, hold, resumed, END, until=LONG_AFTER) == []


def test_two_pods_with_credentials_at_a_time() -> None:
    other = {"started_at": 10, "pod_uid": "pod-2"}
    gone = (90.0, record("revoked", 90, revoked=revoked_list(("4f", 310))))
    second = issued("5a", seconds=100, ends=400, **other)  # type: ignore[arg-type]
    in_one = issued("5a", seconds=100, ends=400, revoked=revoked_list(("4f", 310)), **other)  # type: ignore[arg-type]
    later = issued("5a", seconds=310, ends=400, **other)  # type: ignore[arg-type]

    found = audited(ISSUE, (100, second), until=2000)
    assert kinds(found) == ["twoPods"]
    assert found[0].message.endswith("for pod pod-2; pod pod-1 has 4f")
    assert audited(ISSUE, gone, (100, second), until=2000) == []
    assert audited(ISSUE, (100, in_one), until=2000) == []
    assert audited(ISSUE, (310, later), until=2000) == []


@pytest.mark.parametrize(
    ("taken", "found"),
    [
        (record("revoked", 100, revoked=revoked_list(("4f", 310))), []),
        (record("revoked", 400, revoked=revoked_list(("4f", 310))), []),
        (record("revoked", 401, revoked=revoked_list(("4f", 310))), ["twoPods"]),
        (record("voided", 101, serial="5a", revoked=revoked_list(("5a", 900))), []),
        (record("voided", 700, serial="5a", revoked=revoked_list(("5a", 900))), []),
        (record("revoked", 101, revoked=revoked_list(("6b", 900))), ["twoPods"]),
    ],
)
def test_the_next_pod_is_no_second_one_where_the_first_ones_credential_is_taken_at_once(
    taken: bytes, found: list[str]
) -> None:
    long = issued("4f", seconds=10, ends=900, started_at=10)
    second = issued("5a", seconds=100, ends=900, started_at=10, pod_uid="pod-2")

    assert kinds(audited((10, long), (100, second), (101, taken), until=2000)) == found


def test_two_pods_are_told_also_where_the_task_is_forgotten_before() -> None:
    second = issued("5a", seconds=HOUR + 100, ends=HOUR + 400, started_at=10, pod_uid="pod-2")
    long = issued("4f", seconds=10, ends=HOUR + 400, started_at=10)

    found = audited((10, long), (HOUR + 100, second), (2 * HOUR + 50, record()), until=3 * HOUR)
    assert kinds(found).count("twoPods") == 1


def test_two_pods_are_told_also_where_the_task_ends_long_after() -> None:
    second = issued("5a", seconds=100, ends=900, started_at=10, pod_uid="pod-2")
    end = ended(800, started="2026-11-23T12:00:10Z", revoked=revoked_list(("4f", 900), ("5a", 900)))
    long = issued("4f", seconds=10, ends=900, started_at=10)

    assert kinds(audited((10, long), (100, second), (800, end), until=LONG_AFTER)) == ["twoPods"]


def test_an_end_that_leaves_a_credential() -> None:
    bare = (250.0, ended(250, started="2026-11-23T12:00:10Z", revoked=revoked_list(("5a", 500))))
    void = (260.0, record("voided", 260, serial="4f", not_after="2026-11-23T12:05:10Z"))

    found = audited(ISSUE, RENEWAL, bare, until=LONG_AFTER)
    assert [(each.kind.value, each.message) for each in found] == [
        ("notRevoked", "support/refund-4711 ended at 2026-11-23T12:04:10Z, and nothing revokes 4f")
    ]
    assert audited(ISSUE, RENEWAL, bare, void, until=LONG_AFTER) == []


def test_what_was_voided_has_not_begun() -> None:
    void = (11.0, record("voided", 11, serial="4f", not_after="2026-11-23T12:05:10Z"))

    assert audited(ISSUE, void, until=LONG_AFTER) == []
    assert kinds(audited(ISSUE, RENEWAL, (201, void[1]), until=LONG_AFTER)) == ["notEnded"]


ANEW = (
    (500.0, issued("6b", seconds=500, ends=800, started_at=500, deadline=HOUR + 490)),
    (700.0, issued("7c", "renewed", seconds=700, ends=HOUR + 490, started_at=500, deadline=HOUR + 490)),
    (
        HOUR + 490.0,
        ended(HOUR + 490, started="2026-11-23T12:08:20Z", revoked=revoked_list(("7c", HOUR + 490))),
    ),
)


@pytest.mark.parametrize(
    "taken_back",
    [
        record("revoked", 100, revoked=revoked_list(("4f", 310))),
        record("denied", 100, revoked=revoked_list(("4f", 310))),
        record("voided", 100, serial="4f", not_after="2026-11-23T12:05:10Z"),
    ],
    ids=["by whoever leads next", "when its key could not be released", "by who recorded it"],
)
def test_a_beginning_that_came_into_no_status_has_no_deadline(taken_back: bytes) -> None:
    assert audited(ISSUE, (100.0, taken_back), *ANEW, until=LONG_AFTER) == []
    late = ended(HOUR + 1000, reason="Expired")
    assert audited(ISSUE, (100.0, taken_back), (HOUR + 1000.0, late), until=LONG_AFTER) == []
    assert audited(ISSUE, (100.0, taken_back), until=LONG_AFTER) == []


def test_a_beginning_that_is_taken_back_after_the_next_one() -> None:
    first, *others = ANEW
    voided = record("voided", 501, serial="4f", not_after="2026-11-23T12:05:10Z")
    assert audited(ISSUE, first, (501.0, voided), *others, until=LONG_AFTER) == []


def test_a_beginning_that_was_gone_on_with_is_not_taken_back() -> None:
    taken_back = record("revoked", 300, revoked=revoked_list(("4f", 310), ("5a", 500)))
    found = audited(ISSUE, RENEWAL, (300.0, taken_back), *ANEW, until=LONG_AFTER)
    assert kinds(found) == ["pastDeadline", "notEnded"]
    assert kinds(audited(ISSUE, RENEWAL, (300.0, taken_back), until=LONG_AFTER)) == ["notEnded"]


def test_one_serial_for_two() -> None:
    other = issued("4f", seconds=20, ends=310, started_at=20, uid=UID[:-1] + "2")

    assert kinds(audited(ISSUE, (20, other))) == ["serialTwice"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"requester": "bob", "approvers": ["bob"]}, ["selfApproved"]),
        ({"requester": "bob", "delegator": "carol", "approvers": ["dave", "carol"]}, ["selfApproved"]),
        ({"requester": "bob", "delegator": "carol", "approvers": ["dave"]}, []),
        ({"approvers": ["dave"]}, []),
        ({"requester": "bob"}, []),
    ],
)
def test_who_approves_what_is_their_own(fields: dict[str, object], expected: list[str]) -> None:
    line = issued("4f", seconds=10, ends=310, started_at=10, **fields)  # type: ignore[arg-type]

    assert kinds(audited((10, line))) == expected


def test_records_that_were_lost_or_say_nothing_usable() -> None:
    gap = record("lost", 60, count=3, since="2026-11-23T12:00:50Z")

    (found,) = audited((60, gap))
    assert (found.kind, found.message) == (
        "recordsLost",
        "3 records since 2026-11-23T12:00:50Z could not be kept",
    )
    assert kinds(audited((10, record("issued", 10)))) == ["unusable"]
    assert kinds(audited((10, record("lost", 10)))) == ["unusable"]
    assert kinds(audited((10, record("issued", 10, deadline="2026-11-23T13:00:00Z", serial="4f")))) == [
        "unusable"
    ]


def test_no_more_is_kept_than_tasks_that_are_live() -> None:
    auditor = Auditor(longest=timedelta(minutes=5))
    found: list[AuditFinding] = []
    for number in range(1500):
        seconds, uid, serial = 10 * number, f"task-{number}", f"{number:x}"
        line = issued(
            serial, seconds=seconds, ends=seconds + 60, uid=uid, started_at=seconds, deadline=seconds + 60
        )
        over = ended(
            seconds + 5, uid=uid, started="2026-11-23T12:00:00Z", revoked=revoked_list((serial, seconds + 60))
        )
        found += auditor.feed(batch_at(seconds), parsed(line, over))

    assert found == []
    assert len(auditor._tasks) < 400  # noqa: SLF001 - what is kept is the question
    assert len(auditor._due) < 800  # noqa: SLF001 - the same
    assert not auditor._serials  # noqa: SLF001 - the same
