"""What the decision point serves to everybody who asks: the CRLs, as the operator has published them.

Nothing of it is secret, and all of it is signed: who asks shows nothing, and goes by the signature.
"""

import hashlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentid.api.names import CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP
from agentid.cluster.connection import Body, Connection
from agentid.cluster.paths import CONFIG_MAPS
from agentid.cluster.reflector import Reflector, Scope
from agentid.watched.facts import mapping, moment, text

CRL_PATH: Final = "/crl.der"
"""The CRL of the authority that signs now."""
CRL_OF_ISSUER_PATH: Final = "/crl/{issuer}.crl"
"""That of an issuer, by its key ID: a certificate's distribution point where `crl.url` ends in /crl."""

_KEY: Final = "crl.der"
PKIX_CRL: Final = "application/pkix-crl"
"""RFC 2585 §4.2."""
_NAMES: Final = (CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP)


@dataclass(frozen=True, slots=True)
class Document:
    """Something to serve.

    Attributes:
        content: Its bytes.
        media_type: What they are.
        tag: By which another version is told from this one (RFC 9110 §8.8.3, without quotes).
        modified: When it was made; None: it does not say.
    """

    content: bytes
    media_type: str
    tag: str
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class Crl:
    """A CRL, and the key ID of its issuer."""

    issuer: str
    document: Document


class PublicDocuments:
    """The CRLs, kept up to date by watches of their ConfigMaps; decisions do not depend on these."""

    def __init__(self, connection: Connection, namespace: str, clock: Callable[[], float]) -> None:
        self._crls = [
            Reflector(
                connection,
                Scope(CONFIG_MAPS, namespace, name),
                crl_in,
                changed=lambda _name: None,
                clock=clock,
            )
            for name in _NAMES
        ]

    def crl(self, issuer: str | None = None) -> Document | None:
        """Return the CRL of an issuer, None: of the one that signs now; None: there is none."""
        found = [each.get(name) for name, each in zip(_NAMES, self._crls, strict=True)]
        if issuer is None:
            return found[0].document if found[0] is not None else None
        return next((each.document for each in found if each is not None and each.issuer == issuer), None)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run until the end."""
        return [each.run() for each in self._crls]


def crl_in(body: Body) -> Crl | None:
    """Return the CRL in a ConfigMap as the operator writes it; None: there is none."""
    about, encoded = mapping(body.get("data")), mapping(body.get("binaryData")).get(_KEY)
    try:
        content = b64decode(text(encoded), validate=True)
    except (Base64Error, ValueError):
        return None
    if not content:
        return None
    tag = hashlib.sha256(content).hexdigest()
    return Crl(text(about.get("issuer")), Document(content, PKIX_CRL, tag, moment(about.get("thisUpdate"))))
