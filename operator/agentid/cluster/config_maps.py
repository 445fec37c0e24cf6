"""ConfigMaps of the operator's own namespace, by name: each is written over the version that was read."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from agentid.api.names import FIELD_MANAGER
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.paths import CONFIG_MAPS


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """What was read, or written.

    Attributes:
        data: Its texts.
        binary: Its bytes; what is not base64 is left out.
        uid: Its UID.
        version: Its resourceVersion.
    """

    data: Mapping[str, str]
    binary: Mapping[str, bytes] = field(repr=False)
    uid: str
    version: str


class ConfigMaps:
    """Reads and writes them.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, namespace: str, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._namespace = namespace
        self._guard = guard

    async def read(self, name: str) -> ConfigMap | None:
        """Return the ConfigMap, or None where there is none.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        try:
            return _read(await self._connection.get(CONFIG_MAPS.path(self._namespace, name)))
        except NotFoundError:
            return None

    async def write(
        self,
        name: str,
        over: ConfigMap | None,
        data: Mapping[str, str],
        binary: Mapping[str, bytes] | None = None,
    ) -> ConfigMap:
        """Write it whole in place of `over`, which was read; None: there was none.

        Raises:
            ConflictError: what is there is not what was read.
            AlreadyExistsError: there is one by now.
            ApiAnswerError: the API server did not do it, or did not say.
        """
        metadata: Body = {
            "name": name,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
        }
        body: Body = {
            "apiVersion": CONFIG_MAPS.api_version,
            "kind": CONFIG_MAPS.kind,
            "metadata": metadata,
            "data": dict(data),
        }
        if binary:
            body["binaryData"] = {key: b64encode(each).decode("ascii") for key, each in binary.items()}
        seconds = self._guard()
        if over is None:
            path = CONFIG_MAPS.path(self._namespace)
            return _read(await self._connection.post(path, body, within_seconds=seconds))
        metadata |= {"uid": over.uid, "resourceVersion": over.version}
        path = CONFIG_MAPS.path(self._namespace, name)
        return _read(await self._connection.put(path, body, within_seconds=seconds))

    async def delete(self, name: str, known: ConfigMap) -> None:
        """Delete it as it was read; one that is gone already is well.

        Raises:
            ConflictError: what is there is not what was read.
            ApiAnswerError: the API server did not do it, or did not say.
        """
        body: Body = {"preconditions": {"uid": known.uid, "resourceVersion": known.version}}
        seconds = self._guard()
        with suppress(NotFoundError):
            await self._connection.delete(
                CONFIG_MAPS.path(self._namespace, name), body, within_seconds=seconds
            )


def _read(found: Body) -> ConfigMap:
    metadata, binary = found["metadata"], {}
    for key, encoded in (found.get("binaryData") or {}).items():
        try:
            binary[key] = b64decode(encoded, validate=True)
        except (Base64Error, TypeError, ValueError):
            continue
    data = {str(key): str(each) for key, each in (found.get("data") or {}).items()}
    return ConfigMap(data, binary, str(metadata["uid"]), str(metadata["resourceVersion"]))
