from datetime import timedelta

import pytest

from devcluster.errors import ConditionNotMetError
from devcluster.waiting import wait_until


def test_returns_the_first_thing_seen_that_is_good() -> None:
    sights = iter([1, 2, 3, 4])

    assert wait_until("three", lambda: next(sights), lambda seen: seen == 3, every=timedelta()) == 3


def test_looks_once_even_without_time() -> None:
    assert wait_until("yes", lambda: "yes", within=timedelta())


def test_failure_shows_what_was_waited_for_and_the_last_thing_seen() -> None:
    with pytest.raises(ConditionNotMetError, match=r"pod runs: not so after 0.01 s; last seen: Pending"):
        wait_until(
            "pod runs",
            lambda: "Pending",
            lambda seen: seen == "Running",
            within=timedelta(milliseconds=10),
            every=timedelta(milliseconds=5),
        )


def test_a_failure_does_not_fill_the_screen() -> None:
    with pytest.raises(ConditionNotMetError) as failure:
        wait_until("end", lambda: "x" * 10_000, lambda _: False, within=timedelta())

    assert len(str(failure.value)) < 4200
    assert str(failure.value).endswith("(10000 characters)")
