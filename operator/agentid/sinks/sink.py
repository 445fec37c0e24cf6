"""What a sink is: it takes batches of records in their order, each at least once."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol


class SinkName(StrEnum):
    """The sinks that there are: label of metrics, field of log lines, key of what is remembered of them."""

    STDOUT = "stdout"
    SEGMENTS = "segments"
    HTTP = "http"


class Sink(Protocol):
    """One place to which the record goes.

    A batch that was given twice, after a crash or an answer that was lost, is told apart by its sequence
    number and the index of each record.
    """

    @property
    def name(self) -> SinkName:
        """Which sink it is."""

    async def position(self) -> int | None:
        """Return the sequence number of the last batch that it surely has; None: it cannot tell.

        0: it has none.

        Raises:
            SinkError: that cannot be found out just now.
        """

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        """Take the records of one batch; when this returns, it surely has them.

        Args:
            records: Each the bytes of one JSON object, with or without a newline at its end.
            sequence: The batch's sequence number, larger than that of each earlier batch.

        Raises:
            SinkError: it may have them or not; the same batch is delivered again.
        """

    async def close(self) -> None:
        """Let go of files and connections."""
