"""Keeps the key that signs the ledger, and a head of it, in one Secret of the operator's own namespace.

What the bytes mean is the ledger's: here they come, stay and go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agentid.api.names import LEDGER_KEY_SECRET
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import LedgerKeyStoreError, OwnSecretError
from agentid.cluster.own_secret import OwnSecret, contents

_KEY: Final = "ledger.key"
_NEXT: Final = "next.key"
_FILES: Final = {"current": _KEY, "following": _NEXT, "head": "head.json", "since": "since"}


@dataclass(frozen=True, slots=True)
class StoredLedgerKey:
    """What is stored of a ledger; keys are PEM, PKCS#8.

    Attributes:
        current: The key that signs.
        following: While a rotation is under way, the key that signs after it.
        head: A batch that was there once, as the ledger writes it down: none may be missing up to it.
        since: Since when the key signs, as the ledger writes it down.
        secret: The Secret as it was read: only that very state of it is replaced.
    """

    current: bytes = field(repr=False)
    following: bytes | None = field(repr=False)
    head: bytes | None
    since: bytes | None
    secret: Body = field(repr=False)


class LedgerKeyStore:
    """Loads the ledger's key, makes it on the first start, and puts another in its place.

    Args:
        connection: The way to the API server.
        namespace: The operator's own.
        new_key: Returns a new key as PEM.
    """

    def __init__(self, connection: Connection, namespace: str, new_key: Callable[[], bytes]) -> None:
        self._secret = OwnSecret(connection, namespace, LEDGER_KEY_SECRET)
        self._new_key = new_key

    async def load_or_create(self) -> StoredLedgerKey:
        """Return the key that is stored; store a new one where there is none.

        Raises:
            LedgerKeyStoreError: the Secret does not hold what it should.
            ApiAnswerError: the API server did not serve it.
        """
        return stored_ledger_key(await self._secret.load_or_create(lambda: {_KEY: self._new_key()}))

    async def replace(self, seen: StoredLedgerKey, **changed: bytes | None) -> StoredLedgerKey:
        """Store what was `seen` with these of its fields `changed`, and return it as it is stored then.

        A rotation is two of these: the next key beside the current one, before the ledger names it; then the
        next key alone, once it signs.

        Raises:
            ConflictError: another operator has changed the Secret, or it is another one.
            ApiAnswerError: the API server did not do it, or did not say.
        """
        wanted: Mapping[str, bytes | None] = {
            field: changed.get(field, getattr(seen, field)) for field in _FILES
        }
        files = {_FILES[field]: content for field, content in wanted.items() if content is not None}
        return stored_ledger_key(await self._secret.replace(seen.secret, files))


def stored_ledger_key(secret: Body) -> StoredLedgerKey:
    """Return what a Secret holds of a ledger's key.

    Raises:
        LedgerKeyStoreError: it does not hold what it should.
    """
    try:
        held = contents(LEDGER_KEY_SECRET, secret, (_KEY,))
    except OwnSecretError as error:
        raise LedgerKeyStoreError(
            f"{error}; restore it from a backup: no other key goes on with the ledger that is there "
            "(docs/operations.md, The ledger)"
        ) from error
    # What is there and empty is nothing.
    found = {field: held.get(file) or None for field, file in _FILES.items() if file != _KEY}
    return StoredLedgerKey(held[_KEY], secret=secret, **found)
