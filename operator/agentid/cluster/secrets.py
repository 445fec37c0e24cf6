"""Writes the operator's Secrets without ever reading one: POST, PUT, a dry-run POST, and DELETE by UID.

Every reply that could carry contents is dropped except for the UID and the resourceVersion.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agentid.api.names import FIELD_MANAGER, TASK_UID_LABEL
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import (
    AdmissionRefusedError,
    FixedFieldError,
    NotFoundError,
)
from agentid.cluster.paths import SECRETS

_MANAGER = {"fieldManager": FIELD_MANAGER}
_WHOSE_IT_IS: Final = "operator-secrets.agentid.dev"
"""The admission rule that holds a credential to its task (`api/admission`)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An object that keeps the Secret from the garbage collector for as long as it exists."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Version:
    """Which Secret, and which state of it: what a PUT or DELETE is conditioned on."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class SecretManifest:
    """The Secret of one task as it should be; `task_uid` is empty where nobody remembers whose it was."""

    namespace: str
    name: str
    task_uid: str
    owners: tuple[Owner, ...]
    files: Mapping[str, bytes]

    def body(self, version: Version | None = None) -> Body:
        """Return it as the API server takes it, conditioned on `version` where there is one."""
        labels = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
        if self.task_uid:
            labels[TASK_UID_LABEL] = self.task_uid
        metadata: Body = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": labels,
            "ownerReferences": [
                {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
                for owner in self.owners
            ],
        }
        if version is not None:
            metadata |= {"uid": version.uid, "resourceVersion": version.resource_version}
        data = {name: b64encode(content).decode("ascii") for name, content in self.files.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/tls",
            "data": data,
        }


class Secrets:
    """What the operator may do with Secrets.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._guard = guard

    async def create(self, manifest: SecretManifest) -> Version:
        """Create it.

        Raises:
            AlreadyExistsError: the name is held by something.
        """
        path, body = SECRETS.path(manifest.namespace), manifest.body()
        return _version(await self._connection.post(path, body, _MANAGER, within_seconds=self._guard()))

    async def replace(self, manifest: SecretManifest, version: Version | None) -> Version:
        """Replace what is there; with `version` only that very state of that very Secret.

        Raises:
            ConflictError: it is another one, or was changed.
            NotFoundError: nothing is there.
        """
        path, body = SECRETS.path(manifest.namespace, manifest.name), manifest.body(version)
        return _version(await self._connection.put(path, body, _MANAGER, within_seconds=self._guard()))

    async def try_create(self, manifest: SecretManifest) -> None:
        """Create it, but only for a try (`dryRun`): nothing is there afterwards.

        Raises:
            ApiAnswerError: why it could not be created.
        """
        path = SECRETS.path(manifest.namespace)
        await self._connection.post(path, manifest.body(), {**_MANAGER, "dryRun": "All"})

    async def own_version(self, manifest: SecretManifest) -> Version | None:
        """Return the version of the Secret that has the name if it is this very task's, by a PUT only tried.

        `manifest` must hold something that is not empty: admission lets the operator empty any Secret of a
        reserved name, but fill only one that carries the label of the same task. Only that rule's refusal, or
        a type that is never ours, says that it is another's; any other refusal says nothing of whose it is.

        Raises:
            NotFoundError: nothing has the name.
            ApiAnswerError: it was refused for another reason.
        """
        path = SECRETS.path(manifest.namespace, manifest.name)
        try:
            # Nothing changes, so that what is answered is the version that is there.
            return _version(await self._connection.put(path, manifest.body(), {**_MANAGER, "dryRun": "All"}))
        except FixedFieldError:
            return None
        except AdmissionRefusedError as refusal:
            if refusal.policy != _WHOSE_IT_IS:
                raise
            return None

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete the one with that UID, in the background so that the answer holds no contents.

        One that is not there any more is as good as deleted.

        Raises:
            ConflictError: another one has the name.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            path = SECRETS.path(namespace, name)
            await self._connection.delete(path, options, within_seconds=self._guard())
        except NotFoundError:
            return


def _version(answer: Body) -> Version:
    metadata = answer["metadata"]
    return Version(metadata["uid"], metadata["resourceVersion"])
