"""Where a chain begins: with the first batch of all, or where a checkpoint in it lets those before go."""

from collections import OrderedDict
from typing import Final

from agentid.ledger.batch import GENESIS, Batch, Head
from agentid.ledger.errors import InvalidRecordError
from agentid.ledger.finding import Finding, FindingKind

RECENT: Final = 16_384
"""Hashes that are remembered, for what comes a second time and for checkpoints of batches that are here."""


class Beginning:
    """The first batch of a chain, and the hashes of its last ones."""

    def __init__(self) -> None:
        self._first: Batch | None = None
        self._is_right = False
        self._recent: OrderedDict[int, str] = OrderedDict()

    @property
    def sequence(self) -> int:
        """Return the number of the first batch; 0 before there is one."""
        return self._first.sequence if self._first is not None else 0

    def begin(self, batch: Batch) -> list[Finding]:
        """Take `batch` as the first."""
        self._first = batch
        if batch.sequence > 1:
            return []
        self._is_right = True
        if batch.previous_hash == GENESIS.hash:
            return []
        message = "it is the first batch, but chained to another before it"
        return [Finding(1, FindingKind.EDITED, message)]

    def follows_known(self) -> None:
        """Take note that the batch before the first is one that the caller knows."""
        self._is_right = True

    def remember(self, head: Head) -> None:
        """Take note of the hash of a batch."""
        self._recent[head.sequence] = head.hash
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def hash_of(self, sequence: int) -> str | None:
        """Return the hash of a batch that is or was here, or of the one before the first; None: not known."""
        if self._first is not None and sequence == self._first.sequence - 1:
            return self._first.previous_hash
        return self._recent.get(sequence)

    def let_go(self, through: Head) -> None:
        """Do as a checkpoint says: the batches up to `through` may be gone.

        Raises:
            InvalidRecordError: the batch of that number is, or was, another.
        """
        right = self.hash_of(through.sequence)
        if right is not None and right != through.hash:
            raise InvalidRecordError(
                f"says that batch {through.sequence} is {through.hash}, but it is {right}"
            )
        self._is_right = self._is_right or through.sequence >= self.sequence - 1

    def finish(self) -> list[Finding]:
        """Return what is wrong with the beginning, now that all checkpoints were read."""
        if self._first is None:
            message = "there is no batch at all, and a ledger begins with one"
            return [Finding(1, FindingKind.REMOVED, message)]
        if self._is_right:
            return []
        message = (
            f"what came before is gone, and no checkpoint in the ledger lets batch {self.sequence - 1} go"
        )
        return [Finding(self.sequence, FindingKind.NO_BEGINNING, message)]
