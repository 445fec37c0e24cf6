"""Keeps the certificate authority in one Secret of the operator's own namespace, loaded by name only.

Two operators that start at once agree on one authority: both make one, the POST of one wins, and the other
takes what is there.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentid.api.names import AUTHORITY_SECRET, FIELD_MANAGER
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import AlreadyExistsError, AuthorityStoreError, ConflictError, NotFoundError
from agentid.cluster.paths import SECRETS
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import IntermediateExpiredError
from agentid.pki.spiffe_id import TrustDomain

_KEYS: Final = {
    "root_certificate": "root.crt",
    "root_key": "root.key",
    "intermediate_certificate": "intermediate.crt",
    "intermediate_key": "intermediate.key",
}


class AuthorityStore:
    """Loads the authority, makes it on the first start, and renews its intermediate in time."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        trust_domain: TrustDomain,
        clock: Callable[[], datetime],
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._trust_domain = trust_domain
        self._clock = clock

    async def load_or_create(self) -> CertificateAuthority:
        """Return the authority that is stored; store a new one where there is none.

        Raises:
            AuthorityStoreError: the Secret does not hold what it should.
            CertificateAuthorityError: what it holds must not be signed with.
            ApiAnswerError: the API server did not serve it.
        """
        path = SECRETS.path(self._namespace, AUTHORITY_SECRET)
        try:
            stored = await self._connection.get(path)
        except NotFoundError:
            material = AuthorityMaterial.create(self._trust_domain, self._clock())
            try:
                stored = await self._connection.post(SECRETS.path(self._namespace), self._body(material))
            except AlreadyExistsError:
                stored = await self._connection.get(path)
        return await self._renewed_if_due(stored)

    async def _renewed_if_due(self, stored: Body) -> CertificateAuthority:
        material = authority_material(stored)
        try:
            authority = CertificateAuthority.load(material, self._trust_domain, self._clock())
        except IntermediateExpiredError:
            return await self._renewed(stored, material)
        if self._clock() >= authority.intermediate_renewal_due:
            return await self._renewed(stored, material)
        return authority

    async def _renewed(self, stored: Body, material: AuthorityMaterial) -> CertificateAuthority:
        path = SECRETS.path(self._namespace, AUTHORITY_SECRET)
        renewed = material.renew_intermediate(self._trust_domain, self._clock())
        body = self._body(renewed)
        metadata = stored["metadata"]
        body["metadata"] |= {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            await self._connection.put(path, body)
        except ConflictError:
            # Another operator renewed it first.
            renewed = authority_material(await self._connection.get(path))
        return CertificateAuthority.load(renewed, self._trust_domain, self._clock())

    def _body(self, material: AuthorityMaterial) -> Body:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": AUTHORITY_SECRET,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
            },
            "type": "Opaque",
            "data": {
                key: b64encode(getattr(material, field)).decode("ascii") for field, key in _KEYS.items()
            },
        }


def authority_material(secret: Body) -> AuthorityMaterial:
    """Return what a Secret holds of an authority, not yet looked at.

    Raises:
        AuthorityStoreError: it does not hold what it should.
    """
    data = secret.get("data")
    if not isinstance(data, dict) or any(key not in data for key in _KEYS.values()):
        raise AuthorityStoreError(
            f"Secret {AUTHORITY_SECRET} does not hold {', '.join(_KEYS.values())}; restore it from a backup, "
            "or delete it to begin with a new authority (every credential then has to be issued anew)"
        )
    try:
        return AuthorityMaterial(
            **{field: b64decode(data[key], validate=True) for field, key in _KEYS.items()}
        )
    except (Base64Error, TypeError, ValueError) as error:
        raise AuthorityStoreError(f"Secret {AUTHORITY_SECRET} is not readable") from error
