"""An Event that got no good answer is sent again under the same name, after the pause that was asked for."""

import asyncio
from datetime import UTC, datetime
from typing import cast

import pytest

from agentid.cluster.connection import Body, Connection, Params
from agentid.cluster.errors import (
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    ConnectionLostError,
    ForbiddenError,
    TooManyRequestsError,
)
from agentid.cluster.events import Event, Events, Outcome, task_reference

EVENT = Event(
    time=datetime(2026, 5, 31, 14, tzinfo=UTC),
    regarding=task_reference("team", "refund-4711", "11111111-1111-4111-8111-111111111111"),
    related=None,
    reason="TaskEnded",
    action="End",
    warning=False,
    note="The task is over.",
)


class Answering:
    """An API server that answers what it is told to, one after the other, and then takes everything."""

    def __init__(self, *answers: ApiAnswerError) -> None:
        self.answers = list(answers)
        self.names: list[str] = []

    async def post(self, path: str, body: Body, params: Params | None = None) -> Body:  # noqa: ARG002 - as the real one
        self.names.append(body["metadata"]["name"])
        if self.answers:
            raise self.answers.pop(0)
        return body


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, which take no time here."""
    made: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            made.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


async def _sent(*answers: ApiAnswerError) -> tuple[Answering, list[Outcome]]:
    server, outcomes = Answering(*answers), list[Outcome]()
    events = Events(cast("Connection", server), "one", outcomes.append, senders=1)
    running = asyncio.create_task(events.run())
    events.send(EVENT)
    await events.drain()
    running.cancel()
    return server, outcomes


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (ConnectionLostError("cut"), 1.0),
        (ConflictError("the quota has been modified"), 1.0),
        (TooManyRequestsError("busy", 3.0), 3.0),
        (TooManyRequestsError("busy", 3000.0), 10.0),
    ],
)
async def test_event_is_sent_again_under_its_name(
    pauses: list[float], answer: ApiAnswerError, pause: float
) -> None:
    server, outcomes = await _sent(answer)

    assert outcomes == [Outcome.SENT]
    assert pauses == [pause]
    assert len(server.names) == 2
    assert len(set(server.names)) == 1


async def test_event_whose_answer_was_lost_is_there(pauses: list[float]) -> None:
    server, outcomes = await _sent(ConnectionLostError("cut"), AlreadyExistsError("there"))

    assert outcomes == [Outcome.SENT]
    assert pauses == [1.0]
    assert len(server.names) == 2


async def test_event_that_is_refused_is_not_sent_again(pauses: list[float]) -> None:
    server, outcomes = await _sent(ForbiddenError("no"))

    assert outcomes == [Outcome.FAILED]
    assert len(server.names) == 1
    assert pauses == []
