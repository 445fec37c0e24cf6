"""Keeps the certificate authority in one Secret of the operator's own namespace, loaded by name only."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from agentid.api.names import AUTHORITY_SECRET
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import ApiAnswerError, AuthorityStoreError, ConflictError, OwnSecretError
from agentid.cluster.own_secret import OwnSecret, contents
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import IntermediateExpiredError
from agentid.pki.spiffe_id import TrustDomain

_log = structlog.get_logger("agentid.authority")

_KEYS: Final = {
    "root_certificate": "root.crt",
    "root_key": "root.key",
    "intermediate_certificate": "intermediate.crt",
    "intermediate_key": "intermediate.key",
}
_KEYS_OF_THE_PREVIOUS: Final = {
    "previous_certificate": "previous.crt",
    "previous_key": "previous.key",
}
"""There for some time after a renewal."""


class AuthorityStore:
    """Loads the authority, makes it on the first start, and renews its intermediate in time."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        trust_domain: TrustDomain,
        clock: Callable[[], datetime],
    ) -> None:
        self._secret = OwnSecret(connection, namespace, AUTHORITY_SECRET)
        self._trust_domain = trust_domain
        self._clock = clock

    async def load_or_create(self) -> CertificateAuthority:
        """Return the authority that is stored; store a new one where there is none.

        Raises:
            AuthorityStoreError: the Secret does not hold what it should.
            CertificateAuthorityError: what it holds must not be signed with.
            ApiAnswerError: the API server did not serve it.
        """
        return await self._renewed_if_due(await self._secret.load_or_create(self._new))

    async def _renewed_if_due(self, stored: Body) -> CertificateAuthority:
        material = authority_material(stored)
        try:
            authority = CertificateAuthority.load(material, self._trust_domain, self._clock())
        except IntermediateExpiredError:
            return await self._renewed(stored, material)
        if self._clock() >= authority.intermediate_renewal_due:
            return await self._renewed(stored, material)
        if material.has_previous and authority.previous is None:
            await self._forget_previous(stored, material)
        return authority

    async def _renewed(self, stored: Body, material: AuthorityMaterial) -> CertificateAuthority:
        renewed = material.renew_intermediate(self._trust_domain, self._clock())
        try:
            await self._secret.replace(stored, _files(renewed))
        except ConflictError:
            # Another operator renewed it first.
            renewed = authority_material(await self._secret.load())
        return CertificateAuthority.load(renewed, self._trust_domain, self._clock())

    async def _forget_previous(self, stored: Body, material: AuthorityMaterial) -> None:
        """Remove the key of an intermediate that signs no CRL any more; the next load tries again."""
        try:
            await self._secret.replace(stored, _files(material.without_previous()))
        except ApiAnswerError as error:
            _log.warning("key of the previous intermediate not removed", error=str(error))

    def _new(self) -> dict[str, bytes]:
        return _files(AuthorityMaterial.create(self._trust_domain, self._clock()))


def _files(material: AuthorityMaterial) -> dict[str, bytes]:
    keys = _KEYS | (_KEYS_OF_THE_PREVIOUS if material.has_previous else {})
    return {key: getattr(material, field) for field, key in keys.items()}


def authority_material(secret: Body) -> AuthorityMaterial:
    """Return what a Secret holds of an authority, not yet looked at.

    Raises:
        AuthorityStoreError: it does not hold what it should.
    """
    try:
        held = contents(AUTHORITY_SECRET, secret, _KEYS.values())
    except OwnSecretError as error:
        raise AuthorityStoreError(
            f"{error}; restore it from a backup, or delete it to begin with a new authority (every "
            "credential then has to be issued anew)"
        ) from error
    there = _KEYS | {field: key for field, key in _KEYS_OF_THE_PREVIOUS.items() if key in held}
    return AuthorityMaterial(**{field: held[key] for field, key in there.items()})
