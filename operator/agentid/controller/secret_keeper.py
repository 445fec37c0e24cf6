"""Fills, empties, deletes and probes a task's Secret, and keeps what is remembered of it true.

Every write whose reply is lost leaves the memory in doubt; the next pass finds out before it relies on it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from agentid.api.names import API_VERSION, secret_name
from agentid.cluster.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from agentid.cluster.paths import PODS, TASKS
from agentid.cluster.secrets import Owner, SecretManifest, Secrets, Version
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import PodFacts, SecretState
from agentid.pki.files import BUNDLE_FILE, empty_files, secret_files
from agentid.pki.spiffe_id import TrustDomain
from agentid.pki.svid import X509Svid

_NOT_EMPTY: Final = b"tried"
"""Stands for contents in what is only tried."""
_SURE: Final = frozenset({SecretState.FILLED, SecretState.EMPTIED})


def owners_of(task_name: str, task_uid: str, pods: Iterable[PodFacts]) -> tuple[Owner, ...]:
    """Return what keeps the Secret alive: its task and each pod that may have it mounted.

    With the task alone the garbage collector would take the Secret before the kubelet saw it emptied.
    """
    task = (Owner(API_VERSION, TASKS.kind, task_name, task_uid),) if task_uid else ()
    return (*task, *(Owner(PODS.api_version, PODS.kind, pod.name, pod.uid) for pod in pods))


class SecretKeeper:
    """The Secret of one task name and what is remembered of it; made for one pass."""

    def __init__(  # noqa: PLR0913 - whose Secret it is
        self,
        secrets: Secrets,
        memory: SecretMemory,
        *,
        namespace: str,
        task_name: str,
        task_uid: str,
        trust_domain: TrustDomain,
        clock: Callable[[], datetime],
    ) -> None:
        self._secrets = secrets
        self._memory = memory
        self._namespace = namespace
        self._task_name = task_name
        self._task_uid = task_uid
        self._trust_domain = trust_domain
        self._clock = clock

    async def fill(
        self,
        svid: X509Svid,
        generation: int,
        pods: Iterable[PodFacts],
        still_wanted: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Write the credential; return whether it is there.

        Where a Secret of the name turns up unexpectedly, its version is asked for; it is then written over,
        in that version, only if `still_wanted` says that no other operator has moved on since.

        Raises:
            ApiAnswerError: it could not be written.
        """
        manifest = self._manifest(pods, secret_files(svid))
        version = self._memory.version if self._memory.state in _SURE and self._mine else None
        # Until the answer is there, nobody knows: the pass may be cancelled in the middle.
        self._memory.doubtful(self._task_uid)
        self._memory.account_for(self._task_uid, generation)
        try:
            if version is not None:
                version = await self._secrets.replace(manifest, version)
            else:
                version = await self._secrets.create(manifest)
        except (AlreadyExistsError, ConflictError):
            leftover = await self._own_version()
            if leftover is None or not await still_wanted():
                return False
            version = await self._secrets.replace(manifest, leftover)
        except NotFoundError:
            version = await self._secrets.create(manifest)
        self._memory.filled(self._task_uid, generation, version)
        return True

    async def empty(self, pods: Iterable[PodFacts]) -> None:
        """Replace all values by empty ones; nothing there, or another's, is remembered as such.

        Raises:
            ApiAnswerError: it could not be written.
        """
        manifest = self._manifest(pods, empty_files(self._trust_domain))
        known = self._memory.version if self._mine else None
        self._memory.doubtful(self._task_uid)
        try:
            try:
                version = await self._secrets.replace(manifest, known)
            except ConflictError:
                # Changed by the garbage collector, which drops owners that are gone; or another one by now.
                version = await self._secrets.replace(manifest, None)
        except NotFoundError:
            self._memory.absent()
        except InvalidError:
            # Immutable, or of another type: never one of ours.
            self._memory.taken()
        else:
            self._memory.emptied(self._task_uid, self._clock(), version)

    async def delete(self, pods: Iterable[PodFacts]) -> None:
        """Delete it; where its UID is not known it is emptied first, which tells the UID.

        Raises:
            ApiAnswerError: it could not be deleted.
        """
        if self._memory.version is None or not self._mine:
            await self.empty(pods)
        version = self._memory.version
        if version is None:
            return
        # Where another one has the name by now, the next pass finds out.
        self._memory.doubtful(self._task_uid)
        await self._secrets.delete(self._namespace, secret_name(self._task_name), version.uid)
        self._memory.absent()

    async def probe(self, generation: int) -> None:
        """Find out by dry runs whether the name is held, and whether by this task's own Secret.

        One that is not, and that this operator has filled or emptied for another task, stays what it was.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        try:
            if not await self._secrets.exists(self._tried()):
                self._memory.absent()
            elif (version := await self._own_version()) is not None:
                self._memory.filled(self._task_uid, generation, version)
        except NotFoundError:
            self._memory.absent()

    @property
    def _mine(self) -> bool:
        return self._memory.task_uid == self._task_uid

    async def _own_version(self) -> Version | None:
        """Return the version of the Secret that has the name; None, and remember that, if it is not ours.

        Raises:
            NotFoundError: nothing has the name.
        """
        version = await self._secrets.own_version(self._tried())
        if version is None and (self._mine or self._memory.state not in _SURE):
            self._memory.taken()
        return version

    def _tried(self) -> SecretManifest:
        # The bundle is public. With something in it, admission holds the write to the same task.
        return self._manifest((), {**empty_files(self._trust_domain), BUNDLE_FILE: _NOT_EMPTY})

    def _manifest(self, pods: Iterable[PodFacts], files: Mapping[str, bytes]) -> SecretManifest:
        return SecretManifest(
            self._namespace,
            secret_name(self._task_name),
            self._task_uid,
            owners_of(self._task_name, self._task_uid, pods),
            files,
        )
