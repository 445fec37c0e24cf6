"""Reads what static secrets are copied from: a key of a Secret of the operator's namespace, by its name."""

import hashlib
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Final

from agentid.api.agentsecret import MAX_VALUE_BYTES, SecretSource
from agentid.api.names import is_the_operators_own
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError, UnusableSourceError
from agentid.cluster.paths import SECRETS

_OF_KUBERNETES: Final = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
"""Types of Secrets that are credentials for the API server itself: never what a task is to be given."""
_VERSION_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is now. Nobody keeps it longer than it takes to write it into a task's Secret.

    `version` is made of where and in which state the value is kept, and of nothing of the value itself, which
    could be guessed by its digest.
    """

    content: bytes = field(repr=False)
    version: str


class Sources:
    """The Secrets that the platform team lets the operator read, each by its name."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    async def read(self, source: SecretSource) -> Value:
        """Return the value that `source` names.

        Raises:
            UnusableSourceError: there is none that may be copied.
            ApiAnswerError: the API server did not say.
        """
        if is_the_operators_own(source.secret_name):
            raise UnusableSourceError("is the operator's own")
        try:
            secret = await self._connection.get(SECRETS.path(self._namespace, source.secret_name))
        except NotFoundError:
            raise UnusableSourceError("is not there") from None
        if secret.get("type") in _OF_KUBERNETES:
            raise UnusableSourceError("is a credential of Kubernetes itself")
        metadata = secret["metadata"]
        if "deletionTimestamp" in metadata:
            raise UnusableSourceError("is being deleted")
        kept_at = (metadata["uid"], metadata["resourceVersion"], source.secret_name, source.key)
        digest = hashlib.sha256("\n".join(kept_at).encode()).hexdigest()
        return Value(_content(secret, source.key), digest[:_VERSION_DIGITS])


def _content(secret: Body, key: str) -> bytes:
    """Return the value under `key`.

    Raises:
        UnusableSourceError: there is none that may be copied.
    """
    data = secret.get("data") or {}
    if key not in data:
        raise UnusableSourceError("does not have its key")
    try:
        content = b64decode(data[key], validate=True)
    except (Base64Error, TypeError, ValueError):
        # Not chained: what could not be read would be in the traceback.
        raise UnusableSourceError("cannot be read") from None
    if not content:
        raise UnusableSourceError("is empty under its key")
    if len(content) > MAX_VALUE_BYTES:
        raise UnusableSourceError(f"holds more than {MAX_VALUE_BYTES} bytes under its key")
    return content
