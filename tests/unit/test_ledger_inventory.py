"""The inventory: what is out by the records alone, and no more kept than that."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.inventory import Inventory, Revocation
from tests.unit.ledger_batches import UID, at, ended, issued, parsed, record, revoked_list

OTHER_UID = UID[:-1] + "2"


def inventory(*lines: bytes, now: float = 0) -> Inventory:
    found = Inventory(at(now))
    found.feed(parsed(*lines))
    return found


def live(found: Inventory) -> dict[str, str]:
    return {each.serial: task.uid for task, each in found.live()}


def revoked(found: Inventory) -> set[str]:
    return {each.serial for each in found.revoked()}


def begun(found: Inventory) -> set[str]:
    return {each.uid for each in found.tasks()}


def test_what_was_issued_counts_until_its_time_is_over() -> None:
    found = inventory(issued("4f", ends=300))

    (task,) = found.tasks()
    assert (task.uid, task.namespace, task.task, task.agent) == (
        UID,
        "support",
        "refund-4711",
        "refund-agent",
    )
    assert task.deadline == at(3600)
    assert live(found) == {"4f": UID}
    assert revoked(found) == set()
    assert live(inventory(issued("4f", ends=300), now=300)) == {}
    assert begun(inventory(issued("4f", ends=300), now=300)) == {UID}


def test_a_renewal_leaves_the_former_in_its_life_until_it_is_taken_away() -> None:
    first, second = issued("4f", ends=300), issued("5a", "renewed", seconds=200, ends=500)
    third = issued("6b", "renewed", seconds=400, ends=700, revoked=revoked_list(("4f", 300)))

    assert live(inventory(first, second, now=200)) == {"4f": UID, "5a": UID}
    found = inventory(first, second, third, now=250)
    assert live(found) == {"5a": UID, "6b": UID}
    assert revoked(found) == {"4f"}


@pytest.mark.parametrize("kind", ["suspended", "revoked", "denied", "approvalRequired", "waiting"])
def test_what_is_taken_away_is_revoked_with_when_and_why_until_its_time_is_over(kind: str) -> None:
    taken = record(kind, 60, reason="Suspended", revoked=revoked_list(("4f", 300)))
    found = inventory(issued("4f", ends=300), taken, now=100)

    assert live(found) == {}
    assert begun(found) == {UID}
    assert list(found.revoked()) == [Revocation("4f", at(300), at(60), kind, "Suspended")]
    assert revoked(inventory(issued("4f", ends=300), taken, now=300)) == set()
    found.forget_past(at(299))
    assert revoked(found) == {"4f"}
    found.forget_past(at(300))
    assert revoked(found) == set()


def test_an_end_takes_all_away_what_it_does_not_name_too() -> None:
    found = inventory(
        issued("4f", ends=300),
        issued("5a", "renewed", seconds=200, ends=500),
        issued("77", uid=OTHER_UID, ends=500),
        ended(250, reason="Completed", revoked=revoked_list(("5a", 500))),
        now=250,
    )

    assert begun(found) == {OTHER_UID}
    assert live(found) == {"77": OTHER_UID}
    assert {(each.serial, each.reason) for each in found.revoked()} == {
        ("4f", "Completed"),
        ("5a", "Completed"),
    }


def test_what_an_end_does_not_name_is_known_until_a_record_does_or_it_is_past() -> None:
    lines = (issued("4f", ends=300), issued("5a", "renewed", seconds=200, ends=500))
    ended_at_250 = ended(250, revoked=revoked_list(("5a", 500)))

    def unnamed(found: Inventory) -> list[tuple[str, str]]:
        return [(task.uid, each.serial) for task, each in found.unnamed()]

    found = inventory(*lines, ended_at_250, now=250)
    assert unnamed(found) == [(UID, "4f")]
    found.feed(parsed(record("revoked", 251, revoked=revoked_list(("4f", 300)))))
    assert (unnamed(found), revoked(found)) == ([], {"4f", "5a"})

    past = inventory(*lines, ended_at_250, now=250)
    past.forget_past(at(300))
    assert unnamed(past) == unnamed(inventory(*lines, ended_at_250, now=300)) == []


def test_what_was_voided_never_counted() -> None:
    void = record(
        "voided", 1, serial="4f", not_after="2026-11-23T12:05:00Z", revoked=revoked_list(("4f", 300))
    )
    found = inventory(issued("4f", ends=300), void)

    assert (live(found), begun(found), revoked(found)) == ({}, set(), {"4f"})


def test_a_voided_renewal_leaves_the_task_as_it_was() -> None:
    first = issued("4f", ends=300)
    renewed = issued("5a", "renewed", seconds=200, ends=500)
    void = record("voided", 201, serial="5a", not_after="2026-11-23T12:08:20Z")

    assert live(inventory(first, renewed, void, now=201)) == {"4f": UID}
    # The batches with the first are pruned: that it had begun before is in the record of the renewal.
    found = inventory(renewed, void, now=201)
    assert (live(found), begun(found), revoked(found)) == ({}, {UID}, {"5a"})


def test_what_was_given_and_came_into_no_status_goes_on_without_a_deadline() -> None:
    lines = issued("4f", ends=300), record("revoked", revoked=revoked_list(("4f", 300)))
    (task,) = inventory(*lines).tasks()
    assert task.deadline is None

    (task,) = inventory(*lines, issued("5a", seconds=9, ends=309, started_at=9, deadline=3609)).tasks()
    assert task.deadline == at(3609)


def test_a_step_has_begun_without_a_credential() -> None:
    grant = record("granted", deadline="2026-11-23T13:00:00Z", started="2026-11-23T12:00:00Z")

    assert begun(inventory(grant)) == {UID}
    assert live(inventory(grant)) == {}
    assert begun(inventory(grant, record("voided", 1))) == set()
    assert begun(inventory(grant, ended(5))) == set()


def test_what_ends_that_was_never_seen_to_begin_is_no_matter() -> None:
    found = inventory(
        ended(5, revoked=revoked_list(("4f", 300))), record("voided", 6), record("policyAccepted")
    )

    assert (live(found), begun(found), revoked(found)) == ({}, set(), {"4f"})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (record("issued", uid=""), "is issued and has no uid"),
        (record("issued", serial="4f"), "is issued and has no not_after"),
        (record("issued", serial="4f", not_after="soon"), "has no time not_after"),
        (record("issued", started=1), "has no time started"),
        (record("issued", serial=1), "has serial, which is no text"),
        (record("revoked", revoked="4f"), "has revoked, which is no list"),
        (record("revoked", revoked=["4f"]), "in which one has no serial"),
        (record("revoked", revoked=[{"serial": "4f"}]), "has no time not_after of what is revoked"),
    ],
)
def test_a_record_that_says_nothing_usable_is_refused(line: bytes, why: str) -> None:
    with pytest.raises(InvalidRecordError, match=why):
        inventory(line)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "revoke", "void", "end"]),
        st.integers(0, 3),
        st.sampled_from([30, 100, 10**4]),
    ),
    max_size=40,
)


class Told:
    """The same the simple way: all that ever happened is kept, and looked through at the end."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.issued: dict[str, tuple[int, float]] = {}
        self.gone: set[str] = set()
        self.ended: set[int] = set()
        self.voided: set[str] = set()

    def holds(self, task: int, seconds: float) -> list[str]:
        return [
            serial
            for serial, (of, ends) in self.issued.items()
            if of == task and serial not in self.gone and ends > seconds
        ]

    def step(self, kind: str, task: int, life: int, seconds: int) -> None:
        uid = f"task-{task}"
        counting = self.holds(task, seconds)
        if task in self.ended:
            return
        if kind == "issue":
            serial = f"{len(self.issued):04x}"
            self.issued[serial] = (task, seconds + life)
            self.lines.append(
                issued(serial, seconds=seconds, ends=seconds + life, uid=uid, started_at=seconds)
            )
        elif kind == "end":
            self.ended.add(task)
            self.gone.update(counting)
            self.lines.append(ended(seconds, uid=uid, revoked=self.as_revoked(counting)))
        elif counting:
            last = counting[-1:]
            self.gone.update(last)
            if kind == "void":
                self.voided.update(last)
            self.lines.append(
                record(
                    "voided" if kind == "void" else "revoked", seconds, uid=uid, revoked=self.as_revoked(last)
                )
            )

    def as_revoked(self, serials: Sequence[str]) -> list[dict[str, str]]:
        return revoked_list(*((each, self.issued[each][1]) for each in serials))

    def begun(self) -> set[str]:
        given = [of for serial, (of, _) in self.issued.items() if serial not in self.voided]
        return {f"task-{of}" for of in given if of not in self.ended}


@given(STEPS, st.integers(0, 20))
def test_it_comes_to_what_all_that_happened_comes_to(steps: list[Step], more: int) -> None:
    told = Told()
    for number, (kind, task, life) in enumerate(steps):
        told.step(kind, task, life, seconds=10 * number)
    now = 10 * len(steps) + more
    found = inventory(*told.lines, now=now)

    assert set(live(found)) == {each for task in range(4) for each in told.holds(task, now)}
    assert revoked(found) == {each for each in told.gone if told.issued[each][1] > now}
    assert begun(found) == told.begun()


def test_no_more_is_kept_than_what_is_out() -> None:
    found = Inventory(at(10**6))
    for number in range(2000):
        uid = f"task-{number}"
        found.feed(parsed(issued(f"{number:x}", seconds=number, ends=number + 300, uid=uid)))
        found.feed(parsed(ended(number + 60, uid=uid, revoked=revoked_list((f"{number:x}", number + 300)))))
    found.feed(
        parsed(*(issued(f"a{n:03x}", "renewed", seconds=n, ends=n + 300) for n in range(0, 2000, 100)))
    )

    (task,) = found.tasks()
    assert len(task.credentials) <= 4
    assert revoked(found) == set()
    assert not found._ends  # noqa: SLF001 - what is kept is the question
