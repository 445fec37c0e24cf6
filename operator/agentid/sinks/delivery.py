"""Brings the record to every sink, each at its own pace, and says which required one has not got it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agentid.lifecycle.model import Blocked
from agentid.sinks.lag import Lag
from agentid.sinks.lane import Lane, Read, Start, Told
from agentid.sinks.sink import Sink, SinkName


@dataclass(frozen=True, slots=True)
class Route:
    """A sink, and whether nothing is issued while it does not get the record."""

    sink: Sink
    required: bool


class Delivery:
    """All sinks. None holds up another, or an end; only a required one that is far behind stops issuing."""

    def __init__(  # noqa: PLR0913 - where the record goes, from where, and how long that may take
        self,
        routes: Sequence[Route],
        read: Read,
        told: Told,
        *,
        may_deliver: Callable[[], bool],
        patience_seconds: float,
        clock: Callable[[], float],
        randomness: Callable[[], float],
    ) -> None:
        """`patience_seconds`: how long a batch may wait for a required sink; `clock` counts suspension."""
        self._patience_seconds = patience_seconds
        self._lanes = {
            route.sink.name: Lane(
                route.sink,
                read,
                told,
                required=route.required,
                may_deliver=may_deliver,
                clock=clock,
                randomness=randomness,
            )
            for route in routes
        }

    def begin(self, first: int, head: int, known: Mapping[str, int]) -> None:
        """Begin at a takeover.

        Args:
            first: Sequence number of the first batch in the ledger.
            head: That of the last one; `first - 1` where there is none.
            known: By the names of sinks, the last batch that each had when it was last looked at. Only of
                importance for those that cannot tell: without it, they get all that is there again.
        """
        for name, lane in self._lanes.items():
            lane.begin(Start(first, head, known.get(name.value)))

    def appended(self, sequence: int, records: Sequence[bytes]) -> None:
        """Take in a batch that the ledger has now. It is called in order, and never waits."""
        for lane in self._lanes.values():
            lane.appended(sequence, records)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes.values():
                lanes.create_task(lane.run())

    async def drain(self) -> None:
        """Wait until each sink has all that there is, or takes nothing for now."""
        await asyncio.gather(*(lane.drain() for lane in self._lanes.values()))

    async def close(self) -> None:
        """Let go of all files and connections."""
        for lane in self._lanes.values():
            await lane.sink.close()

    def positions(self) -> dict[SinkName, int]:
        """Return for each required sink up to where the ledger may be pruned for it; 0: not at all."""
        return {name: lane.sure for name, lane in self._lanes.items() if lane.required}

    def remembered(self, positions: Mapping[SinkName, int]) -> None:
        """Take in what was remembered of `reached`, for good: `begin` is told it at the next takeover."""
        for name, position in positions.items():
            self._lanes[name].remembered(position)

    def reached(self) -> dict[SinkName, int]:
        """Return for each sink the last batch that it surely has, with all before it, where that is known."""
        return {name: lane.position for name, lane in self._lanes.items() if lane.position is not None}

    def lag(self) -> dict[SinkName, Lag]:
        """Return how far each sink is behind."""
        return {name: lane.lag() for name, lane in self._lanes.items()}

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued: a required sink has waited too long; or None."""
        for name, lane in self._lanes.items():
            if lane.required and lane.lag().seconds > self._patience_seconds:
                why = lane.problem or "it takes the record more slowly than it is written"
                return Blocked(
                    f"nothing is issued: the record does not reach its required sink {name.value}: {why}"
                )
        return None
