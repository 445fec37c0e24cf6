"""A CRL as the operator publishes it in a ConfigMap, and as it is served."""

import hashlib
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentid.cluster.connection import Body
from agentid.pki.crl_parts import BEGIN_KEY, CRL_KEY, END_KEY, WHOLE_KEY, WholeCrl
from agentid.pki.errors import RevocationListError
from agentid.watched.facts import mapping, moment, text

PKIX_CRL: Final = "application/pkix-crl"
"""RFC 2585 §4.2."""
_UNREADABLE: Final = WholeCrl(number=0, entries=0, sha256="", begin=b"", parts=(), end=b"")
"""What nothing makes: where parts are said to be in words that are not understood."""


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
class Withheld:
    """Something that there is, and that cannot be served now; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Crl:
    """What a ConfigMap says of a CRL.

    Attributes:
        issuer: The key ID of its issuer.
        document: The one in the ConfigMap.
        whole: Of what the whole one consists, where the one in the ConfigMap is cut; None: it is not.
        until: When it counts no more; None: it does not say.
    """

    issuer: str
    document: Document
    whole: WholeCrl | None = None
    until: datetime | None = None


def crl_in(body: Body) -> Crl | None:
    """Return the CRL in a ConfigMap as the operator writes it; None: there is none."""
    about, binary = mapping(body.get("data")), mapping(body.get("binaryData"))
    content = _bytes(binary.get(CRL_KEY))
    if not content:
        return None
    modified = moment(about.get("thisUpdate"))
    document = Document(content, PKIX_CRL, hashlib.sha256(content).hexdigest(), modified)
    whole = None
    if WHOLE_KEY in about:
        pieces = {key: _bytes(binary.get(key)) for key in (BEGIN_KEY, END_KEY)}
        try:
            whole = WholeCrl.read({WHOLE_KEY: text(about[WHOLE_KEY])}, pieces)
        except RevocationListError:
            # That the one in the ConfigMap is not all is understood.
            whole = _UNREADABLE
    return Crl(text(about.get("issuer")), document, whole, moment(about.get("nextUpdate")))


def _bytes(encoded: object) -> bytes:
    try:
        return b64decode(text(encoded), validate=True)
    except (Base64Error, ValueError):
        return b""
