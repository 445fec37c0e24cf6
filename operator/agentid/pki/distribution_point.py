"""Where a certificate says that its CRL is: below the URL that is set, named after the key that signs."""

import re
from typing import Final

from cryptography import x509

from agentid.outbound.urls import checked_parts
from agentid.pki.authority import CertificateAuthority

MAX_URL_LENGTH: Final = 300
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


def checked_crl_url(text: str) -> str:
    """Return the URL below which CRLs are, without a slash at its end.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    parts = checked_parts(text, "http://crl.example.com/agentid", longest=MAX_URL_LENGTH)
    if parts.query:
        raise ValueError("must have scheme, host, port and path only")
    if _PATH.fullmatch(parts.path) is None or {".", ".."} & set(parts.path.split("/")):
        raise ValueError("has a path that is more than names between slashes")
    return text.rstrip("/")


def crl_file_name(authority: CertificateAuthority) -> str:
    """Return the name of the CRL of `authority`: after a renewal there is another one beside it."""
    return f"{authority.key_id}.crl"


def distribution_points(authority: CertificateAuthority, url: str) -> x509.CRLDistributionPoints:
    """Return what a certificate of `authority` says of its CRL (RFC 5280 §4.2.1.13); `url` as checked."""
    location = x509.UniformResourceIdentifier(f"{url}/{crl_file_name(authority)}")
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint(full_name=[location], relative_name=None, reasons=None, crl_issuer=None)]
    )
