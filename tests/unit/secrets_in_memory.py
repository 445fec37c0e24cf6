"""One Secret name as the API server and admission keep it, and who fills it, for tests of its keeper."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    ConnectionLostError,
    NotFoundError,
)
from agentid.cluster.secrets import SecretManifest, Secrets, Version
from agentid.controller.secret_keeper import SecretKeeper
from agentid.controller.secret_memory import SecretMemory
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.files import PRIVATE_KEY_FILE
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

OURS = "operator-secrets.agentid.dev"
NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
DOMAIN = TrustDomain("example.org")
MINE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class SecretsInMemory(Secrets):
    """One Secret name with the rules of the API server and of admission; replies can be lost on the way."""

    def __init__(self) -> None:
        self.there: tuple[Version, SecretManifest] | None = None
        self.calls: list[str] = []
        self.lose_after: str | None = None
        self.lose_before: str | None = None
        self.refuse: ApiAnswerError | None = None
        self._counter = 0

    @property
    def key(self) -> bytes:
        return self.there[1].files[PRIVATE_KEY_FILE] if self.there else b""

    def put(self, manifest: SecretManifest, uid: str) -> Version:
        self._counter += 1
        version = Version(uid, str(self._counter))
        self.there = (version, manifest)
        return version

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if self.refuse is not None:
            raise self.refuse
        if self.lose_before == call:
            raise ConnectionLostError(call)

    def _end(self, call: str) -> None:
        if self.lose_after == call:
            raise ConnectionLostError(call)

    async def create(self, manifest: SecretManifest) -> Version:
        self._begin("create")
        if self.there is not None:
            raise AlreadyExistsError("create")
        version = self.put(manifest, f"s-{self._counter}")
        self._end("create")
        return version

    async def replace(self, manifest: SecretManifest, version: Version | None) -> Version:
        self._begin("replace")
        if self.there is None:
            raise NotFoundError("replace")
        if version is not None and self.there[0] != version:
            raise ConflictError("replace")
        if any(manifest.files.values()) and self.there[1].task_uid != manifest.task_uid:
            raise AdmissionRefusedError("replace", OURS)
        new = self.put(manifest, self.there[0].uid)
        self._end("replace")
        return new

    async def try_create(self, manifest: SecretManifest) -> None:  # noqa: ARG002 - one name only
        self._begin("try_create")
        if self.there is not None:
            raise AlreadyExistsError("try_create")

    async def own_version(self, manifest: SecretManifest) -> Version | None:
        self._begin("own_version")
        if self.there is None:
            raise NotFoundError("own_version")
        return self.there[0] if self.there[1].task_uid == manifest.task_uid else None

    async def delete(self, namespace: str, name: str, uid: str) -> None:  # noqa: ARG002 - one name only
        self._begin("delete")
        if self.there is not None:
            if self.there[0].uid != uid:
                raise ConflictError("delete")
            self.there = None
        self._end("delete")


def keeper_of(
    secrets: Secrets, memory: SecretMemory, task_uid: str = MINE, static_secrets: Iterable[str] = ()
) -> SecretKeeper:
    """The keeper of one pass over the task with that UID."""
    return SecretKeeper(
        secrets,
        memory,
        namespace="ns",
        task_name="t",
        task_uid=task_uid,
        trust_domain=DOMAIN,
        clock=lambda: NOW,
        static_secrets=static_secrets,
    )


async def yes() -> bool:
    """The write is still wanted."""
    return True


async def no() -> bool:
    """Another operator has moved on."""
    return False


async def act(keeper: SecretKeeper, action: str, svid: X509Svid) -> None:
    """Make the keeper do what `action` names; both `create` and `replace` fill."""
    if action in {"create", "replace"}:
        await keeper.fill(svid, 2, (), yes)
    elif action == "empty":
        await keeper.empty(())
    else:
        await keeper.delete(())


@cache
def _authority() -> CertificateAuthority:
    return CertificateAuthority.load(AuthorityMaterial.create(DOMAIN, NOW), DOMAIN, NOW)


def new_svid() -> X509Svid:
    """Another credential of the task `MINE`."""
    spiffe_id = SpiffeId.for_task(DOMAIN, "ns", "a", MINE)
    return issue_x509_svid(
        _authority(), spiffe_id, now=NOW, ttl=timedelta(minutes=5), not_after_limit=NOW + timedelta(hours=1)
    )
