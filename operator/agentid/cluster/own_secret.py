"""A Secret of the operator's own namespace with keys in it: loaded by name only, made on the first start.

Two operators that start at once agree on one: both make one, the POST of one wins, and the other takes what
is there.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection, Mapping

from agentid.api.names import FIELD_MANAGER
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import AlreadyExistsError, NotFoundError, OwnSecretError
from agentid.cluster.paths import SECRETS

Files = Mapping[str, bytes]
"""Contents by the keys of the Secret."""


class OwnSecret:
    """One of the Secrets that admission lets the operator write beside credentials."""

    def __init__(self, connection: Connection, namespace: str, name: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._path = SECRETS.path(namespace, name)

    async def load_or_create(self, make: Callable[[], Files]) -> Body:
        """Return the Secret as it is there; where there is none, with what `make` returns.

        Raises:
            ApiAnswerError: the API server did not serve it.
        """
        try:
            return await self._connection.get(self._path)
        except NotFoundError:
            try:
                return await self._connection.post(SECRETS.path(self._namespace), self._body(make()))
            except AlreadyExistsError:
                return await self.load()

    async def load(self) -> Body:
        """Return the Secret.

        Raises:
            NotFoundError: there is none.
        """
        return await self._connection.get(self._path)

    async def replace(self, seen: Body, files: Files) -> Body:
        """Replace what is in the Secret, only while it is that Secret in the state that was `seen`.

        Raises:
            ConflictError: it is another one, or somebody changed it.
        """
        body = self._body(files)
        body["metadata"] |= {key: seen["metadata"][key] for key in ("uid", "resourceVersion")}
        return await self._connection.put(self._path, body)

    def _body(self, files: Files) -> Body:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
            },
            "type": "Opaque",
            "data": {key: b64encode(content).decode("ascii") for key, content in files.items()},
        }


def contents(name: str, secret: Body, keys: Collection[str]) -> dict[str, bytes]:
    """Return what the Secret `name` holds, which must be something under each of `keys`.

    Raises:
        OwnSecretError: it is not.
    """
    data = secret.get("data")
    if not isinstance(data, dict) or not all(data.get(key) for key in keys):
        raise OwnSecretError(f"Secret {name} does not hold {', '.join(keys)}")
    try:
        return {key: b64decode(content, validate=True) for key, content in data.items()}
    except (Base64Error, TypeError, ValueError):
        # Not chained: what could not be read would be in the traceback.
        raise OwnSecretError(f"Secret {name} is not readable") from None
