"""The queue: each name by one worker at a time, nothing lost, nobody starved, failures tried again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agentid.cluster.errors import ServerError, TooManyRequestsError
from agentid.controller.deadlines import Deadlines
from agentid.controller.queue import WorkQueue
from agentid.watched.facts import Key
from agentid.watched.pauses import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, retry_pause

_LIMIT_SECONDS = 10


def _queue(errors: list[BaseException] | None = None) -> WorkQueue:
    return WorkQueue(asyncio.get_running_loop().time, (errors or []).append, lambda: 0.0)


async def _run_until_idle(
    queue: WorkQueue, look_at: Callable[[Key], Awaitable[None]], concurrency: int = 4
) -> None:
    runner = asyncio.create_task(queue.run(look_at, concurrency))
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await queue.wait_idle()
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def test_a_name_added_many_times_is_looked_at_once() -> None:
    queue, seen = _queue(), Counter[Key]()

    async def look_at(key: Key) -> None:
        seen[key] += 1

    for _ in range(100):
        queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at)
    assert seen == {("ns", "a"): 1}


async def test_a_change_during_a_pass_is_looked_at_afterwards_and_never_meanwhile() -> None:
    queue, running, seen = _queue(), Counter[Key](), Counter[Key]()
    key, other, other_seen = ("ns", "a"), ("ns", "b"), asyncio.Event()

    async def look_at(which: Key) -> None:
        running[which] += 1
        assert running[which] == 1
        seen[which] += 1
        if which == other:
            other_seen.set()
        elif seen[which] == 1:
            for _ in range(5):
                queue.add(key)
            # Another worker takes what was added after it: it would have taken the name too.
            queue.add(other)
            await other_seen.wait()
        running[which] -= 1

    queue.add(key)
    await _run_until_idle(queue, look_at)
    assert seen[key] == 2


async def test_ten_thousand_tasks_of_one_namespace_do_not_starve_another() -> None:
    queue, order = _queue(), list[Key]()

    async def look_at(key: Key) -> None:
        order.append(key)

    for number in range(10_000):
        queue.add(("many", str(number)))
    queue.add(("few", "a"))
    await _run_until_idle(queue, look_at, concurrency=1)
    assert order.index(("few", "a")) <= 2
    assert len(order) == 10_001


async def test_between_two_passes_everybody_else_has_a_turn() -> None:
    queue, turns, passes = _queue(), 0, Counter[int]()

    async def look_at(_: Key) -> None:
        passes[turns] += 1

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    for number in range(1000):
        queue.add(("ns", str(number)))
    counting = asyncio.create_task(count_turns())
    try:
        await _run_until_idle(queue, look_at, concurrency=12)
    finally:
        counting.cancel()
    assert sum(passes.values()) == 1000
    assert max(passes.values()) == 1


async def _order(queue: WorkQueue) -> list[str]:
    order: list[str] = []

    async def look_at(key: Key) -> None:
        order.append(key[1])

    await _run_until_idle(queue, look_at, concurrency=1)
    return order


async def test_what_is_only_to_be_decided_again_comes_later_and_is_not_starved() -> None:
    queue = _queue()
    for number in range(20):
        queue.add_later(("ns", f"again-{number}"))
    for number in range(9):
        queue.add(("ns", f"new-{number}"))
    order = await _order(queue)
    assert len(order) == 29
    assert order[:12] == [
        *("new-0", "new-1", "new-2", "again-0"),
        *("new-3", "new-4", "new-5", "again-1"),
        *("new-6", "new-7", "new-8", "again-2"),
    ]


async def test_something_that_happens_moves_a_name_that_was_only_to_be_decided_again() -> None:
    queue = _queue()
    for name in "abcdefgh":
        queue.add_later(("ns", name))
    queue.add(("ns", "h"))
    queue.add_later(("ns", "h"))
    assert queue.depth == 8
    assert await _order(queue) == list("habcdefg")


async def test_it_is_crowded_while_what_something_happened_to_waits_and_not_by_what_may_wait() -> None:
    queue, crowded = _queue(), list[int]()
    both_work = asyncio.Barrier(2)

    async def look_at(key: Key) -> None:
        if key[1] in {"new-0", "new-1"}:
            await both_work.wait()
        crowded.append(queue.crowded)

    queue.add_later(("ns", "later-1"))
    queue.add_later(("ns", "later-2"))
    for number in range(3):
        queue.add(("ns", f"new-{number}"))
    await _run_until_idle(queue, look_at, concurrency=2)
    assert crowded[0] == 2
    assert crowded[2:] == [0, 0, 0]


async def test_namespaces_take_turns_in_what_is_decided_again_too() -> None:
    queue = _queue()
    for number in range(1000):
        queue.add_later(("many", f"m-{number}"))
    queue.add_later(("few", "a"))
    assert (await _order(queue)).index("a") <= 2


async def test_what_is_decided_again_while_it_is_worked_on_is_looked_at_afterwards_once() -> None:
    queue, seen = _queue(), list[str]()

    async def look_at(key: Key) -> None:
        if not seen:
            queue.add_later(key)
            queue.add_later(key)
            queue.add(("ns", "new"))
        seen.append(key[1])

    queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at, concurrency=1)
    assert seen == ["a", "new", "a"]


async def test_change_of_policy_does_not_wait_for_the_pause_after_a_failure() -> None:
    queue, seen = _queue(), Counter[Key]()

    async def look_at(key: Key) -> None:
        seen[key] += 1
        if seen[key] == 1:
            raise ServerError("500")

    queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at)
    queue.add_later(("ns", "a"))
    await _run_until_idle(queue, look_at)
    assert seen == {("ns", "a"): 2}


async def test_what_failed_is_not_put_behind_others_by_a_change_of_policy() -> None:
    queue, seen = _queue(), Counter[Key]()

    async def look_at(key: Key) -> None:
        seen[key] += 1
        if seen[key] == 1:
            raise ServerError("500")

    queue.add(("ns", "failed"))
    await _run_until_idle(queue, look_at)
    for name in ("a", "b", "failed"):
        queue.add_later(("ns", name))
    assert (await _order(queue))[0] == "failed"


async def test_at_most_so_many_are_worked_on_at_once() -> None:
    queue, full, let_go = _queue(), asyncio.Event(), asyncio.Event()

    async def look_at(_: Key) -> None:
        if queue.active == 3:
            full.set()
        await let_go.wait()

    for number in range(50):
        queue.add(("ns", str(number)))
    runner = asyncio.create_task(_run_until_idle(queue, look_at, concurrency=3))
    async with asyncio.timeout(_LIMIT_SECONDS):
        await full.wait()
    assert (queue.active, queue.depth) == (3, 47)
    let_go.set()
    await runner
    assert (queue.active, queue.depth) == (0, 0)


@pytest.mark.parametrize("error", [ServerError("500"), ValueError("a mistake"), TimeoutError()])
async def test_a_failed_pass_is_tried_again_and_the_others_go_on(error: Exception) -> None:
    errors: list[BaseException] = []
    queue, seen, done = WorkQueue(lambda: 0.0, errors.append, lambda: 0.0), Counter[Key](), asyncio.Event()
    bad, good = ("ns", "bad"), ("ns", "good")

    async def look_at(key: Key) -> None:
        seen[key] += 1
        if key == bad:
            if seen[key] == 1:
                raise error
            done.set()

    queue.add(bad)
    queue.add(good)
    runner = asyncio.create_task(queue.run(look_at, 1))
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await done.wait()
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
    assert seen == {bad: 2, good: 1}
    assert errors == [error]
    assert queue.retrying == 0


async def test_a_change_does_not_wait_for_the_pause_after_a_failure() -> None:
    queue, seen = _queue(), Counter[Key]()

    async def look_at(key: Key) -> None:
        seen[key] += 1
        if seen[key] == 1:
            raise ServerError("500")

    queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at)
    queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at)
    assert seen == {("ns", "a"): 2}
    assert queue.retrying == 0


async def test_the_age_of_the_oldest_work_shows_a_stuck_queue() -> None:
    now = 100.0
    queue = WorkQueue(lambda: now, lambda _: None, lambda: 0.0)
    assert queue.oldest_age() == 0
    queue.add(("ns", "a"))
    now = 150.0
    queue.add(("ns", "b"))
    assert queue.oldest_age() == 50


@given(failures=st.integers(1, 10_000), randomness=st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_stay_bounded(failures: int, randomness: float) -> None:
    pause = retry_pause(failures, randomness)
    assert FIRST_RETRY_SECONDS <= pause <= LONGEST_RETRY_SECONDS * 1.25
    assert retry_pause(failures + 1, randomness) >= pause


class _Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 31, 14, tzinfo=UTC)
        self.asked = asyncio.Event()

    def __call__(self) -> datetime:
        self.asked.set()
        return self.now


async def _first(deadlines: Deadlines, told: asyncio.Queue[Key], many: int) -> list[Key]:
    runner = asyncio.create_task(deadlines.run())
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            return [await told.get() for _ in range(many)]
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def test_what_is_due_is_told_once_and_in_order() -> None:
    clock, told = _Clock(), asyncio.Queue[Key]()
    deadlines = Deadlines(clock, told.put_nowait, told.put_nowait)
    deadlines.set(("ns", "later"), clock.now + timedelta(hours=1))
    deadlines.set(("ns", "b"), clock.now - timedelta(seconds=1))
    deadlines.set(("ns", "a"), clock.now - timedelta(seconds=2))
    assert await _first(deadlines, told, 2) == [("ns", "a"), ("ns", "b")]
    assert told.empty()
    assert len(deadlines) == 1


async def test_what_is_due_only_to_be_decided_again_is_told_apart() -> None:
    clock, told, again = _Clock(), asyncio.Queue[Key](), asyncio.Queue[Key]()
    deadlines = Deadlines(clock, told.put_nowait, again.put_nowait)
    past, soon = clock.now - timedelta(seconds=9), clock.now - timedelta(seconds=1)
    deadlines.set(("ns", "turned"), None, past)
    deadlines.set(("ns", "both"), soon, past)
    deadlines.set(("ns", "no more"), None, past)
    deadlines.set(("ns", "no more"), past)
    # What is due to be decided again is due for what else there is all the same.
    assert await _first(deadlines, told, 2) == [("ns", "no more"), ("ns", "both")]
    assert [again.get_nowait() for _ in range(2)] == [("ns", "both"), ("ns", "turned")]
    assert again.empty()


async def test_only_the_last_time_that_was_set_counts() -> None:
    clock, told = _Clock(), asyncio.Queue[Key]()
    deadlines = Deadlines(clock, told.put_nowait, told.put_nowait)
    deadlines.set(("ns", "moved"), clock.now - timedelta(seconds=5))
    deadlines.set(("ns", "moved"), clock.now + timedelta(hours=1))
    deadlines.set(("ns", "unset"), clock.now - timedelta(seconds=5))
    deadlines.set(("ns", "unset"), None)
    deadlines.set(("ns", "due"), clock.now - timedelta(seconds=1))
    assert await _first(deadlines, told, 1) == [("ns", "due")]
    assert told.empty()


async def test_a_nearer_time_wakes_the_sleeper() -> None:
    clock, told = _Clock(), asyncio.Queue[Key]()
    deadlines = Deadlines(clock, told.put_nowait, told.put_nowait)
    deadlines.set(("ns", "far"), clock.now + timedelta(hours=1))
    runner = asyncio.create_task(deadlines.run())
    async with asyncio.timeout(_LIMIT_SECONDS):
        await clock.asked.wait()
    deadlines.set(("ns", "near"), clock.now + timedelta(milliseconds=1))
    clock.now += timedelta(seconds=1)
    try:
        async with asyncio.timeout(1):
            assert await told.get() == ("ns", "near")
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def test_times_that_move_often_do_not_pile_up() -> None:
    clock = _Clock()
    deadlines = Deadlines(clock, lambda _: None, lambda _: None)
    for number in range(10_000):
        deadlines.set(("ns", "a"), clock.now + timedelta(seconds=number))
    assert len(deadlines._heap) < 200  # noqa: SLF001 - the memory is what this is about


async def test_the_pause_that_the_api_server_asks_for_is_kept() -> None:
    queue, failed = _queue(), asyncio.Event()

    async def look_at(_: Key) -> None:
        failed.set()
        raise TooManyRequestsError("429", 30.0)

    queue.add(("ns", "a"))
    await _run_until_idle(queue, look_at)
    assert failed.is_set()
    timer = queue._timers["ns", "a"]  # noqa: SLF001 - the pause is what this is about
    assert 29 < timer.when() - asyncio.get_running_loop().time() <= 30
    timer.cancel()


async def test_a_failed_pass_is_logged_with_what_the_pass_bound() -> None:
    queue = _queue()

    async def look_at(key: Key) -> None:
        if key[1] == "a":
            structlog.contextvars.bind_contextvars(uid="u-1")
        raise ServerError("500")

    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        queue.add(("ns", "a"))
        queue.add(("ns", "b"))
        await _run_until_idle(queue, look_at, concurrency=1)
    assert [(line["namespace"], line["task"], line.get("uid")) for line in lines] == [
        ("ns", "a", "u-1"),
        ("ns", "b", None),
    ]


async def test_what_is_begun_anew_is_looked_at_in_the_new_order_and_once() -> None:
    queue, seen = _queue(), list[Key]()

    async def look_at(key: Key) -> None:
        seen.append(key)

    for name in "abcd":
        queue.add(("ns", name))
    queue.begin_anew([("ns", "d"), ("ns", "b"), ("ns", "a")])
    await _run_until_idle(queue, look_at, concurrency=1)
    assert seen == [("ns", "d"), ("ns", "b"), ("ns", "a")]


async def test_begun_anew_with_nothing_the_queue_is_idle() -> None:
    queue = _queue()
    queue.add(("ns", "a"))
    queue.begin_anew([])
    async with asyncio.timeout(_LIMIT_SECONDS):
        await queue.wait_idle()
