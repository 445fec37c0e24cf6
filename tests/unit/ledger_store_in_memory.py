"""Keeps batches, and the Secret with the ledger's key, in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from agentid.api.ledgerbatch import batch_name
from agentid.cluster.connection import Body
from agentid.cluster.errors import AlreadyExistsError, ConflictError
from agentid.cluster.ledger_key_store import StoredLedgerKey
from agentid.ledger.batch import Batch
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import Record


class StoreInMemory:
    """Batches by their names.

    Attributes:
        kept: What is there.
        failing: What goes wrong with each call; one for each.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.failing: list[Exception] = []

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    async def create(self, name: str, spec: Body) -> str:
        self._fail()
        if name in self.kept:
            raise AlreadyExistsError(name)
        self.kept[name] = {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}
        return f"uid-{name}"

    async def read(self, sequence: int) -> Body:
        self._fail()
        return self.kept[batch_name(sequence)]

    async def pages(self) -> AsyncIterator[list[Body]]:
        self._fail()
        for name in sorted(self.kept):
            yield [self.kept[name]]

    async def delete(self, sequence: int, uid: str) -> None:
        self._fail()
        name = batch_name(sequence)
        if self.kept[name]["metadata"]["uid"] != uid:
            raise ConflictError(name)
        del self.kept[name]

    def batches(self) -> list[Batch]:
        return [Batch.from_spec(name, each["spec"]) for name, each in sorted(self.kept.items())]

    def records(self) -> list[Record]:
        return [Record.parse(line) for batch in self.batches() for line in batch.records]


class KeysInMemory:
    """The Secret with the key.

    Attributes:
        stored: What is in it.
        failing: What goes wrong with each write; one for each.
    """

    def __init__(self) -> None:
        self.stored: StoredLedgerKey | None = None
        self.failing: list[Exception] = []

    async def load_or_create(self) -> StoredLedgerKey:
        if self.stored is None:
            self.stored = StoredLedgerKey(LedgerKey.create().to_pem(), None, None, None, {})
        return self.stored

    async def replace(self, seen: StoredLedgerKey, **changed: bytes | None) -> StoredLedgerKey:
        if self.failing:
            raise self.failing.pop(0)
        if seen is not self.stored:
            raise ConflictError("the Secret has changed")
        self.stored = replace(seen, **changed)  # type: ignore[arg-type] - the fields that are bytes
        return self.stored
