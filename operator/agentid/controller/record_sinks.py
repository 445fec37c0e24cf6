"""The sinks of the settings, and what is remembered of how far each has got."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from agentid.api.names import SINKS_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMap, ConfigMaps
from agentid.cluster.errors import AlreadyExistsError, ClusterError, ConflictError
from agentid.controller.errors import NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.controller.settings import Settings
from agentid.lifecycle.model import Blocked
from agentid.outbound.api_servers import ApiServers
from agentid.sinks.delivery import Delivery, Route
from agentid.sinks.http import HttpSink
from agentid.sinks.lane import Read
from agentid.sinks.segments import SegmentSink
from agentid.sinks.sink import SinkName
from agentid.sinks.stdout import StdoutSink

_log = structlog.get_logger("agentid.sinks")

REMEMBER_SECONDS: Final = 10.0
"""How often it is written down, at most, how far the sinks have got: a successor repeats what came since."""
BRING_SECONDS: Final = 2.0
"""How long an operator that ends waits for sinks that are slow, or hang."""
_RETRY_SECONDS: Final = 2.0
_MEBIBYTE: Final = 1024 * 1024
_DIGITS: Final = 16


class RecordSinks:
    """Where the record goes besides the ledger; a hindrance where it has to go there and does not."""

    def __init__(  # noqa: PLR0913 - where it goes, from where, and when
        self,
        routes: Sequence[Route],
        read: Read,
        config_maps: ConfigMaps,
        metrics: Metrics,
        *,
        leads: Callable[[], bool],
        patience_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._config_maps = config_maps
        self._metrics = metrics
        self._leads = leads
        self._delivery = Delivery(
            routes,
            read,
            self,
            may_deliver=leads,
            patience_seconds=patience_seconds,
            clock=clock,
            randomness=random.random,
        )
        self._pending: tuple[int, int] | None = None
        self._remembered: ConfigMap | None = None
        self._news = asyncio.Event()
        self._told = False
        self._names = [route.sink.name for route in routes]
        self._add_gauges()

    def begin(self, first: int, head: int) -> None:
        """Begin at a takeover: the ledger's batches are those from `first` to `head` (`first - 1`: none)."""
        self._pending = (first, head)
        self._news.set()

    def appended(self, sequence: int, records: Sequence[bytes]) -> None:
        """Take in a batch that the ledger has now. It is called in order, and never waits."""
        if self._pending is not None:
            self._pending = (self._pending[0], sequence)
        else:
            self._delivery.appended(sequence, records)

    def positions(self) -> dict[SinkName, int]:
        """Return for each required sink up to where the ledger may be pruned for it; 0: not at all."""
        return dict.fromkeys(self._delivery.positions(), 0) if self._pending else self._delivery.positions()

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued: a required sink does not get the record; or None."""
        return self._delivery.blocked if self._leads() else None

    async def run(self) -> None:
        """Deliver, and remember how far each sink has got, until cancelled."""
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._delivery.run())
                parts.create_task(self._remember())
        finally:
            await self._delivery.close()

    async def drain(self) -> None:
        """Wait a little until the sinks have what they take, and write down how far they have got."""
        if self._pending is not None or not self._leads():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(BRING_SECONDS):
                await self._delivery.drain()
        # A successor that does not find it repeats what came since it was last written.
        with suppress(ClusterError, NotLeadingError):
            await self._write_down()

    def failed(self, sink: SinkName) -> None:
        """Count that a sink did not take a batch."""
        self._metrics.sink_failures.labels(sink=sink.value).inc()

    def skipped(self, sink: SinkName, batches: int) -> None:
        """Count batches that a sink never got."""
        self._metrics.sink_skipped.labels(sink=sink.value).inc(batches)

    async def _remember(self) -> None:
        while True:
            await _wait(self._news, REMEMBER_SECONDS)
            self._news.clear()
            if not self._leads():
                continue
            try:
                if self._pending is not None:
                    await self._begin_where_it_ended()
                await self._write_down()
            except (ClusterError, NotLeadingError) as error:
                if not self._told:
                    self._told = True
                    _log.warning("positions of sinks not read or written", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._news.set()
            else:
                self._told = False

    async def _begin_where_it_ended(self) -> None:
        self._remembered = await self._config_maps.read(SINKS_CONFIG_MAP)
        known = _numbers(self._remembered.data) if self._remembered is not None else {}
        if self._pending is not None:
            (first, head), self._pending = self._pending, None
            self._delivery.begin(first, head, known)

    async def _write_down(self) -> None:
        """Write how far the sinks have got, where that has changed; of the others, what was remembered.

        Raises:
            ClusterError: it is not written, as when another operator did.
        """
        reached = self._delivery.reached()
        known = self._remembered.data if self._remembered is not None else {}
        data = {name.value: known[name.value] for name in self._names if name.value in known}
        data |= {name.value: str(position) for name, position in reached.items()}
        if self._remembered is None or self._remembered.data != data:
            try:
                self._remembered = await self._config_maps.write(SINKS_CONFIG_MAP, self._remembered, data)
            except (ConflictError, AlreadyExistsError):
                self._remembered = await self._config_maps.read(SINKS_CONFIG_MAP)
                raise
        self._delivery.remembered(reached)

    def _add_gauges(self) -> None:
        def batches(name: SinkName) -> Callable[[], float]:
            return lambda: float(self._delivery.lag()[name].batches) if self._leads() else 0.0

        def seconds(name: SinkName) -> Callable[[], float]:
            return lambda: self._delivery.lag()[name].seconds if self._leads() else 0.0

        self._metrics.watch_each(
            "agentid_sink_lag_batches",
            "Batches of the record that a sink does not surely have.",
            "sink",
            {name.value: batches(name) for name in self._names},
        )
        self._metrics.watch_each(
            "agentid_sink_lag_seconds",
            "For how long the oldest of them has waited.",
            "sink",
            {name.value: seconds(name) for name in self._names},
        )


def routes_of(settings: Settings, server: str, now: Callable[[], datetime]) -> list[Route]:
    """Return the sinks of the settings; `server` is the API server's URL, which no record is sent to."""
    routes = [Route(StdoutSink(), required=False)] if settings.sink_stdout else []
    if settings.sink_segments_folder is not None:
        segments = SegmentSink(
            settings.sink_segments_folder,
            max_bytes=settings.sink_segments_mebibytes * _MEBIBYTE,
            max_files=settings.sink_segments_files,
        )
        routes.append(Route(segments, settings.sink_segments_required))
    if (receiver := settings.receiver()) is not None:
        source = f"spiffe://{settings.trust_domain}"
        sink = HttpSink(receiver, ApiServers.of(server), source=source, now=now)
        routes.append(Route(sink, settings.sink_http_required))
    return routes


def _numbers(data: Mapping[str, str]) -> dict[str, int]:
    """Return those of the values that are sequence numbers."""
    return {
        name: int(text)
        for name, text in data.items()
        if text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    }


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return
