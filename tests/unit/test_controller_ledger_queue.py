"""What waits to be recorded goes out in its order, and what a refused batch held waits again."""

import asyncio
from datetime import UTC, datetime

from agentid.controller.ledger_queue import LedgerQueue, Waiting
from agentid.ledger.canonical import decode
from agentid.ledger.key import LedgerKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def noted(queue: LedgerQueue, *records: bytes) -> None:
    for each in records:
        assert queue.note(each, 1.0, NOW)


def sealed(queue: LedgerQueue) -> list[bytes]:
    return [each.record for each in queue.seal(2.0, NOW)]


async def test_records_go_out_in_their_order_and_the_first_ones_first() -> None:
    queue = LedgerQueue()
    assert queue.is_idle
    noted(queue, b"3", b"4")
    queue.put(Waiting(b"5", 1.5, asyncio.get_running_loop().create_future()))
    queue.put_first([b"1", b"2"], 0.5)
    assert queue.oldest_since == 0.5

    assert sealed(queue) == [b"1", b"2", b"3", b"4", b"5"]
    assert (len(queue), queue.oldest_since, queue.is_idle) == (5, 0.5, False)
    assert list(queue.noted()) == [b"1", b"2", b"3", b"4"]
    assert [each.record for each in queue.written()] == [b"1", b"2", b"3", b"4", b"5"]
    assert (len(queue), queue.oldest_since, queue.is_idle) == (0, None, True)


async def test_nothing_comes_after_a_new_key_in_its_batch() -> None:
    queue = LedgerQueue()
    noted(queue, b"1")
    queue.put(Waiting(b"2", 1.0, next_key=LedgerKey.create()))
    noted(queue, b"3")

    assert sealed(queue) == [b"1", b"2"]
    queue.written()
    assert sealed(queue) == [b"3"]


async def test_of_a_batch_that_was_refused_what_was_noted_waits_again_in_its_order() -> None:
    queue = LedgerQueue()
    waits = Waiting(b"2", 1.0, asyncio.get_running_loop().create_future())
    noted(queue, b"1")
    queue.put(waits)
    noted(queue, b"3")
    queue.seal(2.0, NOW)
    noted(queue, b"4")
    assert waits.is_sealed

    assert queue.give_back() == [waits]
    assert not waits.is_sealed
    assert sealed(queue) == [b"1", b"3", b"4"]


async def test_what_is_withdrawn_goes_out_no_more_and_may_have_gone_already() -> None:
    queue = LedgerQueue()
    waits = Waiting(b"1", 1.0)
    queue.put(waits)
    queue.withdraw(waits)
    queue.withdraw(waits)
    assert queue.is_idle


async def test_an_interruption_is_said_first_and_once() -> None:
    queue = LedgerQueue()
    queue.interrupt(NOW)
    queue.interrupt(NOW.replace(year=2027))
    assert not queue.is_idle
    noted(queue, b"1")

    told, record = sealed(queue)
    assert (decode(told)["kind"], decode(told)["since"]) == ("lost", "2026-11-23T12:00:00Z")
    assert record == b"1"
    queue.written()
    assert queue.is_idle


async def test_all_is_forgotten_at_once() -> None:
    queue = LedgerQueue()
    noted(queue, b"1")
    queue.seal(2.0, NOW)
    noted(queue, b"2")
    queue.interrupt(NOW)

    assert [each.record for each in queue.clear()] == [b"1", b"2"]
    assert queue.is_idle
