"""Finds what statuses say and the ledger does not: whoever wrote them did not live to record it."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agentid.api.fields import format_time
from agentid.cluster.paths import TASKS
from agentid.cluster.reads import Reads
from agentid.controller.packed_task import PackedTask, Standing
from agentid.controller.world import World
from agentid.ledger.inventory import BegunTask, Inventory, LiveCredential
from agentid.ledger.record import encode
from agentid.lifecycle.journal import Entry, RecordedTask, Revoked, found_gone, found_out, found_unnamed

_AT_A_TIME: Final = 100
"""How many tasks are compared before all else has a turn."""


def tasks_that_go_on(world: World) -> set[str]:
    """Return the UID of each task that is not over as far as is known."""
    tasks = (record.task for _, record in world.records())
    return {each.uid for each in tasks if each is not None and each.standing is not Standing.OVER}


class Comparison:
    """The tasks that go on by the ledger against their statuses: each once, and again where it changed."""

    def __init__(self, inventory: Inventory, world: World) -> None:
        self._inventory = inventory
        self._world = world
        # With time a credential is past, which makes nothing of what is in order unrecorded.
        self._in_order: dict[str, PackedTask] = {}

    async def look(self, reads: Reads, now: datetime) -> None:
        """Have the world know each task of which something seems unrecorded as it is now.

        A watch that is behind would have it recorded that a task is gone, or has lost what it was just given.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        for number, begun in enumerate([*self._inventory.tasks()], start=1):
            if number % _AT_A_TIME == 0:
                # The lease is renewed and tasks end meanwhile.
                await asyncio.sleep(0)
            if self._found(begun, now) is None:
                continue
            body = await reads.get(TASKS, begun.namespace, begun.task)
            if body is not None:
                self._world.take_task(body)
            else:
                self._world.drop_task((begun.namespace, begun.task), begun.uid)

    def unrecorded(self, now: datetime) -> Iterator[bytes]:
        """Yield a record for each task that has ended, or lost credentials, without one.

        What was recorded as issued and never came into a status is among these: nobody ever had its key. So
        is what the record of an end did not name: whoever wrote that did not know of it.
        """
        for begun in self._inventory.tasks():
            if (found := self._found(begun, now)) is not None:
                yield encode(found.fields())
        for ended, each in self._inventory.unnamed():
            yield encode(found_unnamed(_of(ended), _revoked({each.serial: each}), now).fields())

    def _found(self, begun: BegunTask, now: datetime) -> Entry | None:
        record = self._world.record((begun.namespace, begun.task))
        if record is not None and record.is_owed(begun.uid):
            return None
        task = record.task if record is not None else None
        if task is None or task.uid != begun.uid:
            return found_gone(_of(begun), _revoked(_live(begun, now)), now)
        if self._in_order.get(begun.uid) is task:
            return None
        found = _compare(begun, task, now)
        if found is None:
            self._in_order[begun.uid] = task
        return found


def _compare(begun: BegunTask, task: PackedTask, now: datetime) -> Entry | None:
    live = _live(begun, now)
    if task.standing is Standing.LIVE and not live:
        return None
    facts = task.facts()
    counting = {each.serial for each in facts.status.credentials}
    lost = _revoked({serial: each for serial, each in live.items() if serial not in counting})
    # What was recorded as its beginning came into no status: its time has not begun.
    is_undone = task.standing is Standing.WAITING and begun.deadline is not None
    return found_out(facts, lost, now) if lost or is_undone or task.standing is Standing.OVER else None


def _live(begun: BegunTask, now: datetime) -> dict[str, LiveCredential]:
    return {each.serial: each for each in begun.credentials if each.not_after > now}


def _of(begun: BegunTask) -> RecordedTask:
    return RecordedTask(begun.namespace, begun.task, begun.uid, begun.agent)


def _revoked(live: dict[str, LiveCredential]) -> tuple[Revoked, ...]:
    return tuple(Revoked(each.serial, format_time(each.not_after)) for each in live.values())
