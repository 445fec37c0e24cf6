"""An OPA that is out holds up few questions, and is found again."""

import pytest

from agentid.opa.errors import OpaError, Outcome
from agentid.opa.outage import FAILURES, PAUSE_SECONDS, Outage


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


TIMEOUT = OpaError(Outcome.TIMEOUT, "OPA did not answer", "for the log")


def fail(outage: Outage, times: int, error: OpaError = TIMEOUT) -> None:
    for _ in range(times):
        outage.check()
        outage.failed(error)


def test_one_question_a_second_tries_it_while_it_is_out() -> None:
    clock = Clock()
    outage = Outage(clock)
    fail(outage, FAILURES)
    for _ in range(3):
        with pytest.raises(OpaError, match="did not answer") as refused:
            outage.check()
        assert (refused.value.outcome, refused.value.detail) == (Outcome.TIMEOUT, "for the log")
    clock.now += PAUSE_SECONDS
    outage.check()
    with pytest.raises(OpaError):
        outage.check()


def test_an_answer_ends_the_outage_for_all() -> None:
    clock = Clock()
    outage = Outage(clock)
    fail(outage, FAILURES)
    clock.now += PAUSE_SECONDS
    outage.check()
    outage.answered()
    for _ in range(FAILURES):
        outage.check()


def test_questions_of_one_task_that_are_slow_are_no_outage_for_others() -> None:
    outage = Outage(Clock())
    for _ in range(5):
        fail(outage, FAILURES - 1)
        outage.check()
        outage.answered()
    outage.check()


def test_what_costs_no_time_is_no_outage() -> None:
    outage = Outage(Clock())
    fail(outage, 3 * FAILURES, OpaError(Outcome.UNDEFINED, "undefined"))
    outage.check()
