"""Follows who signs a chain: the key of the beginning, each rotation, and whether anybody vouches for one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentid.ledger.batch import Batch
from agentid.ledger.finding import Finding, FindingKind
from agentid.ledger.key import LedgerPublicKey

MAX_DEFERRED: Final = 16_384
"""Signatures that may wait for their key, less than a kilobyte each; a checkpoint or rotation brings it."""


@dataclass(frozen=True, slots=True)
class _Signed:
    sequence: int
    key_id: str
    signature: bytes
    header: bytes


class Signers:
    """The keys of one chain, as its batches come.

    A key that nobody gave is learned from the ledger itself. Where the beginning is gone, a later batch may
    be the first that tells it: until then, the signatures that it has to have made are kept.
    """

    def __init__(self, given: Iterable[LedgerPublicKey]) -> None:
        """Begin with the keys that the caller trusts."""
        self._given = {key.key_id: key for key in given}
        self._expected: str | None = None
        self._current: LedgerPublicKey | None = None
        self._stray: str | None = None
        self._deferred: list[_Signed] = []
        self._unchecked: _Signed | None = None
        self._used_given = self._bound_to_known = False

    @property
    def expected(self) -> str | None:
        """Return the ID of the key that has to sign the next batch; None before there was one."""
        return self._expected

    @property
    def vouched(self) -> bool:
        """Whether a key or a head that the caller trusts leads to the chain."""
        return self._used_given or self._bound_to_known

    def trusts(self, key_id: str) -> bool:
        """Whether the caller gave the key of that ID."""
        return key_id in self._given

    def vouch(self) -> None:
        """Take note that a head that the caller trusts is in the chain, or right before it with its key."""
        self._bound_to_known = True

    def begin(self, key_id: str) -> None:
        """Expect the first batch to be signed by the key of that ID, which may not be known yet."""
        self._expected, self._current = key_id, self._given.get(key_id)

    def rotate(self, key: LedgerPublicKey) -> None:
        """Expect the next batch to be signed by `key`."""
        self._expected, self._current = key.key_id, key

    def after_gap(self, key_id: str) -> None:
        """Expect the key of that ID if the caller trusts it: its rotation may be in what is missing."""
        if self.trusts(key_id):
            self.rotate(self._given[key_id])

    def learn(self, key: LedgerPublicKey) -> list[Finding]:
        """Take `key`, which signs now, if it was not known, and check what it has to have signed."""
        if self._current is not None or key.key_id != self._expected:
            return []
        self._current = key
        waiting, self._deferred = self._deferred, []
        return [_edited(each.sequence) for each in waiting if not self._made(key, each)]

    def check(self, batch: Batch) -> list[Finding] | None:
        """Return what is wrong with who signed `batch`; None: nothing, or it waits for its key."""
        if batch.key_id != self._expected:
            return self._refuse(batch)
        signed = _Signed(batch.sequence, batch.key_id, batch.signature, batch.header)
        if self._current is not None:
            return None if self._made(self._current, signed) else [_edited(batch.sequence)]
        if len(self._deferred) < MAX_DEFERRED:
            self._deferred.append(signed)
        elif self._unchecked is None:
            self._unchecked = signed
        return None

    def finish(self, first: int) -> list[Finding]:
        """Return what is left to say at the end of a chain that begins with batch number `first`."""
        unchecked = self._deferred[0] if self._deferred else self._unchecked
        if unchecked is not None:
            message = (
                f"signatures from here on could not be checked: nothing tells key {unchecked.key_id}; get "
                "its public key and give it"
            )
            return [Finding(unchecked.sequence, FindingKind.NOT_CHECKED, message)]
        if self._given and not self._used_given:
            message = f"nothing is signed by a key that you gave; the ledger names key {self._expected}"
            return [Finding(first, FindingKind.WRONG_KEY, message)]
        if not self.vouched:
            message = (
                "nobody vouched for the key: the ledger agrees with itself, but whoever can write all of it "
                f"could have made it anew; compare key {self._expected} with what the operator says"
            )
            return [Finding(first, FindingKind.NOT_VOUCHED, message)]
        return []

    def _refuse(self, batch: Batch) -> list[Finding]:
        """Return what to say of a batch that names another key: nothing of all but the first of them."""
        if batch.key_id == self._stray:
            return []
        self._stray = batch.key_id
        message = (
            f"from here on batches name key {batch.key_id}, but the key in force is {self._expected}, and no "
            "record says that it was rotated: somebody else wrote them, or the batch with the rotation is "
            "not as it was"
        )
        return [Finding(batch.sequence, FindingKind.WRONG_KEY, message)]

    def _made(self, key: LedgerPublicKey, signed: _Signed) -> bool:
        good = key.verify(signed.signature, signed.header)
        self._used_given = self._used_given or (good and key.key_id in self._given)
        return good


def _edited(sequence: int) -> Finding:
    message = "the signature is not over this header: one of them is not as it was written"
    return Finding(sequence, FindingKind.EDITED, message)
