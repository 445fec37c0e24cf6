"""Who a caller is by what a proxy tells of its certificate: its SPIFFE ID and serial number.

Which of these a proxy vouches for is configured; the first that is there counts, and what contradicts itself
is nobody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from cryptography import x509

from agentid.pki.serial import serial_hex

_MAX_CERTIFICATE_LENGTH: Final = 16_384
_REMEMBERED: Final = 16_384
FORWARDED_HEADER: Final = "x-forwarded-client-cert"
# One element of the header: key=value pairs; a value that holds separators stands in quotes.
_PAIR: Final = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^,;"]*)(?:;|$)')


class Source(StrEnum):
    """By what a proxy tells who the caller is."""

    CERTIFICATE = "certificate"
    """`source.certificate`: Envoy with include_peer_certificate."""
    FORWARDED = "x-forwarded-client-cert"
    """The header of that name, which the proxy has to set anew (SANITIZE_SET), with Cert."""
    PRINCIPAL = "principal"
    """`source.principal`: a SPIFFE ID without a serial number."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller: its SPIFFE ID, and the serial number of its certificate where that is known."""

    spiffe_id: str
    serial: str | None


def peer(
    sources: tuple[Source, ...], *, principal: str, certificate: str, headers: Mapping[str, str]
) -> Peer | None:
    """Return who calls, by the first of `sources` that is there; None: nobody, or it contradicts itself."""
    for source in sources:
        match source:
            case Source.CERTIFICATE if certificate:
                found = _of_certificate(certificate)
                return None if found is None or principal not in {"", found.spiffe_id} else found
            case Source.FORWARDED if header := headers.get(FORWARDED_HEADER):
                return _forwarded(header)
            case Source.PRINCIPAL if principal:
                return Peer(principal, None)
            case _:
                pass
    return None


def _forwarded(header: str) -> Peer | None:
    """Return the caller in `x-forwarded-client-cert`; more than one element may be of the caller's making."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(header):
        found = _PAIR.match(header, at)
        if found is None or found[1].lower() in pairs:
            return None
        pairs[found[1].lower()] = found[2].strip('"')
        at = found.end()
    uri = pairs.get("uri", "")
    if "cert" not in pairs:
        return Peer(uri, None) if uri else None
    certified = _of_certificate(pairs["cert"])
    return None if certified is None or uri not in {"", certified.spiffe_id} else certified


@lru_cache(maxsize=_REMEMBERED)
def _of_certificate(encoded: str) -> Peer | None:
    """Return whose certificate it is, in PEM and percent-encoded; of a chain, the first."""
    if len(encoded) > _MAX_CERTIFICATE_LENGTH:
        return None
    try:
        found = x509.load_pem_x509_certificate(unquote(encoded).encode())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, UnicodeError):
        return None
    return Peer(uris[0], serial_hex(found.serial_number)) if len(uris) == 1 else None
