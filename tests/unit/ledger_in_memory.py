"""Keeps records in a list; it can be told to be down."""

from collections.abc import Callable
from typing import Any

from agentid.controller.errors import LedgerUnavailableError
from agentid.ledger.canonical import decode
from agentid.lifecycle.model import Blocked


class LedgerInMemory:
    """What the recorder writes to.

    Attributes:
        records: What was recorded, in its order.
        down: Whether nothing can be written.
    """

    is_read = True

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.down = False

    @property
    def blocked(self) -> Blocked | None:
        return Blocked("nothing is issued: the ledger is down") if self.down else None

    def has_ended(self, uid: str) -> bool:
        del uid
        return False

    async def append(self, record: bytes, undo: Callable[[], bytes] | None = None) -> None:
        del undo
        if self.down:
            raise LedgerUnavailableError("the ledger is down")
        self.note(record)

    def note(self, record: bytes) -> None:
        self.records.append(dict(decode(record)))
