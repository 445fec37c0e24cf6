"""Fills, empties, deletes and probes a task's Secret, and keeps what is remembered of it true.

Every write whose reply is lost leaves the memory in doubt; the next pass finds out before it relies on it.
One that was refused changes nothing, neither there nor in the memory.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from agentid.api.names import secret_name
from agentid.cluster.errors import (
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    FixedFieldError,
    ForbiddenError,
    InvalidError,
    NamespaceTerminatingError,
    NotFoundError,
    PassingError,
    TooManyRequestsError,
)
from agentid.cluster.secrets import SecretManifest, Secrets, Version
from agentid.controller.secret_memory import SecretMemory
from agentid.controller.secret_owners import owners_of
from agentid.lifecycle.model import PodFacts, SecretState
from agentid.pki.files import BUNDLE_FILE, empty_files, secret_files
from agentid.pki.spiffe_id import TrustDomain
from agentid.pki.svid import X509Svid

_NOT_EMPTY: Final = b"tried"
"""Stands for contents in what is only tried."""
_SURE: Final = frozenset({SecretState.FILLED, SecretState.EMPTIED})
_SOMEBODYS: Final = _SURE | {SecretState.DOUBTFUL}
REFUSALS: Final = (ForbiddenError, InvalidError, TooManyRequestsError)
"""Answers that say that nothing was done, and that what is known of the Secret may hold."""


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
        static_secrets: Iterable[str] = (),
    ) -> None:
        self._secrets = secrets
        self._memory = memory
        self._namespace = namespace
        self._task_name = task_name
        self._task_uid = task_uid
        self._clock = clock
        # Emptied, each key stays: a kubelet that mounts one of them by name fails where it is not there, and
        # leaves the file as it was.
        self._empty = {**dict.fromkeys(static_secrets, b""), **empty_files(trust_domain)}

    async def fill(
        self,
        svid: X509Svid,
        generation: int,
        pods: Iterable[PodFacts],
        still_wanted: Callable[[], Awaitable[bool]],
        copies: Mapping[str, bytes] = MappingProxyType({}),
    ) -> bool:
        """Write the credential, and `copies` of static secrets beside it; return whether it is there.

        Where a Secret of the name turns up unexpectedly, its version is asked for; it is then written over,
        in that version, only if `still_wanted` says that no other operator has moved on since.

        Raises:
            ApiAnswerError: it could not be written.
        """
        manifest = self._manifest(pods, {**copies, **secret_files(svid)})
        version = self._memory.version if self._memory.state in _SURE and self._mine else None
        self._memory.account_for(self._task_uid, generation)
        with self._in_doubt() as before:
            try:
                if version is not None:
                    version = await self._secrets.replace(manifest, version)
                else:
                    version = await self._create(manifest)
            except (AlreadyExistsError, ConflictError):
                if before.state is SecretState.ABSENT:
                    before.doubtful(self._task_uid)
                leftover = await self._own_version()
                if leftover is not None and version is None:
                    self._memory.found(leftover.uid)
                if leftover is None or not await still_wanted():
                    return False
                version = await self._secrets.replace(manifest, leftover)
            except NotFoundError:
                before.absent()
                version = await self._create(manifest)
        self._memory.filled(self._task_uid, generation, version)
        return True

    async def empty(self, pods: Iterable[PodFacts], *, hold: bool = False) -> None:
        """Replace all values by empty ones; nothing there, or another's, is remembered as such.

        `hold`: where nothing is there, an empty one is made, so that what may still come is refused.

        Raises:
            ApiAnswerError: it could not be written.
        """
        manifest = self._manifest(pods, self._empty)
        known = self._memory.version if self._mine else None
        is_known = self._memory.is_known and self._mine
        is_sure = self._memory.state in _SURE and self._mine
        try:
            with self._in_doubt():
                try:
                    version = await self._put_empty(manifest, known)
                    if not is_sure:
                        self._memory.found(version.uid)
                except NotFoundError:
                    if not hold:
                        raise
                    version = await self._hold_the_name(manifest)
        except NotFoundError:
            self._memory.absent()
        except FixedFieldError:
            # Immutable, or of another type: never one of ours. What is ours is emptied, whoever made it so.
            if is_known:
                raise
            self._memory.taken()
        else:
            self._memory.emptied(self._task_uid, self._clock(), version)

    async def delete(self, pods: Iterable[PodFacts]) -> bool:
        """Delete it; return whether there was one. An unknown UID is learned by emptying it first.

        Raises:
            ApiAnswerError: it could not be deleted.
        """
        if self._memory.version is None or not self._mine:
            await self.empty(pods)
        version = self._memory.version
        if version is None:
            return False
        # Where another one has the name by now, the next pass finds out.
        with self._in_doubt():
            await self._secrets.delete(self._namespace, secret_name(self._task_name), version.uid)
        self._memory.absent()
        return True

    async def probe(self, generation: int) -> None:
        """Find out by dry runs whose Secret has the name, and whether the next write would be taken.

        What was sure stays so; what is in doubt between several credentials stays in doubt. A Secret that is
        not this task's, and that this operator has filled or emptied for another, stays what it was.

        Args:
            generation: That of the status' newest credential.

        Raises:
            ApiAnswerError: the API server did not say, or would refuse the write.
        """
        try:
            version = await self._own_version()
        except NotFoundError:
            self._memory.absent()
            await self._try_create()
            return
        memory = self._memory
        if version is None:
            return
        if memory.state not in _SURE:
            memory.found(version.uid)
        if self._mine and memory.state is SecretState.EMPTIED:
            memory.emptied(self._task_uid, self._clock(), version)
        elif self._mine and memory.state is SecretState.FILLED:
            memory.filled(self._task_uid, memory.generation or generation, version)
        elif memory.overtaken:
            # Unchanged since this operator's own write, it holds what that put there.
            is_unchanged = memory.generation is not None and version == memory.version
            held = memory.generation if is_unchanged else generation
            memory.filled(self._task_uid, held or generation, version)
        elif generation <= 1:
            memory.filled(self._task_uid, generation, version)
        else:
            memory.doubtful(self._task_uid)

    async def _create(self, manifest: SecretManifest) -> Version:
        """Create it, and remember when, if nobody says whether it was: it may still come."""
        before = self._memory.unanswered
        self._memory.asked_for(self._task_uid, self._clock())
        try:
            version = await self._secrets.create(manifest)
        except ApiAnswerError as error:
            if isinstance(error, TooManyRequestsError) or not isinstance(error, PassingError):
                self._memory.unanswered = before
            raise
        self._memory.unanswered = before
        return version

    async def _put_empty(self, manifest: SecretManifest, known: Version | None) -> Version:
        """Replace what is there, be it in the version `known` or not."""
        try:
            return await self._secrets.replace(manifest, known)
        except ConflictError:
            # Changed by the garbage collector, which drops owners that are gone; or another one.
            return await self._secrets.replace(manifest, None)

    async def _hold_the_name(self, manifest: SecretManifest) -> Version:
        """Make it, empty, so that no request that is still on its way makes it with a credential."""
        try:
            return await self._secrets.create(manifest)
        except NamespaceTerminatingError as error:
            # Nothing can come there any more.
            raise NotFoundError(str(error)) from error

    @property
    def _mine(self) -> bool:
        return self._memory.task_uid == self._task_uid

    @contextmanager
    def _in_doubt(self) -> Iterator[SecretMemory]:
        """Have the memory in doubt until the answer is there: the pass may be cancelled in the middle.

        Yields what it becomes again if all that comes is a refusal.
        """
        before = replace(self._memory)
        self._memory.doubtful(self._task_uid)
        try:
            yield before
        except REFUSALS:
            if before.state is not None:
                self._memory.become(before)
            raise

    async def _own_version(self) -> Version | None:
        """Return the version of the Secret that has the name; None, and remember that, if it is not ours.

        What is known to have been this task's own is not given up by a dry run, and neither is what is left
        of a predecessor.

        Raises:
            NotFoundError: nothing has the name.
        """
        version = await self._secrets.own_version(self._tried())
        if version is None and self._mine and self._memory.is_known:
            raise ConflictError(
                f"Secret {secret_name(self._task_name)} is not this task's any more, as it was; somebody put "
                "another in its place, or changed its label agentid.dev/task-uid"
            )
        if version is None and (self._mine or self._memory.state not in _SOMEBODYS):
            self._memory.taken()
        return version

    async def _try_create(self) -> None:
        try:
            await self._secrets.try_create(self._tried())
        except AlreadyExistsError:
            self._memory.doubtful(self._task_uid)

    def _tried(self) -> SecretManifest:
        # The bundle is public. With something in it, admission holds the write to the same task.
        return self._manifest((), {**self._empty, BUNDLE_FILE: _NOT_EMPTY})

    def _manifest(self, pods: Iterable[PodFacts], files: Mapping[str, bytes]) -> SecretManifest:
        owners = owners_of(self._task_name, self._task_uid, pods)
        return SecretManifest(self._namespace, secret_name(self._task_name), self._task_uid, owners, files)
