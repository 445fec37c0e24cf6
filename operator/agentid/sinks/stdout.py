"""The record on standard output: one log line a record, whatever the log's level."""

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson
import structlog

from agentid.process.logs import RECORD_LOGGER
from agentid.sinks.errors import SinkError
from agentid.sinks.sink import SinkName

_AT_ONCE: Final = 64
"""After so many lines, others have their turn."""

_record = structlog.get_logger(RECORD_LOGGER)


class StdoutSink:
    """Writes each record with the sequence number of its batch and its index there.

    Nobody confirms what is read of it: what was handed to standard output counts as taken.
    """

    @property
    def name(self) -> SinkName:
        """Which sink it is."""
        return SinkName.STDOUT

    async def position(self) -> int | None:
        """Return None: what an earlier process wrote is not known here."""
        return None

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        """Write the records, one line each.

        Raises:
            SinkError: one is not a JSON object.
        """
        for index, record in enumerate(records):
            try:
                fields = orjson.loads(record)
            except orjson.JSONDecodeError as error:
                raise SinkError(f"record {sequence}-{index} is not JSON") from error
            if not isinstance(fields, dict):
                raise SinkError(f"record {sequence}-{index} is not a JSON object")
            _record.info("record", **(fields | {"sequence": sequence, "index": index}))
            if index % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Do nothing: standard output is not its own."""
