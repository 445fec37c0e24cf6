"""Issues an X.509-SVID: one new key, one short-lived certificate for one task (SPIFFE X509-SVID standard)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from agentid.pki.authority import CertificateAuthority
from agentid.pki.distribution_point import distribution_points
from agentid.pki.errors import IssueRefusedError
from agentid.pki.serial import random_serial, serial_hex
from agentid.pki.signing_certificate import SIGNATURE_HASH
from agentid.pki.spiffe_id import SpiffeId
from agentid.pki.validity import first_second, in_utc, last_second, shown

_KEY_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_BOTH_ENDS_OF_TLS: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
# What every leaf has in common, put together once.
_LEAF: Final = (
    x509.CertificateBuilder()
    # No second name that somebody could take for who this is. The SAN is critical then (X509-SVID §3.1).
    .subject_name(x509.Name([]))
    .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    .add_extension(_KEY_USAGE, critical=True)
    .add_extension(_BOTH_ENDS_OF_TLS, critical=False)
)


@dataclass(frozen=True, slots=True)
class X509Svid:
    """An X.509-SVID with its key. Times are those in the certificate: aware, UTC, whole seconds."""

    spiffe_id: SpiffeId
    serial: str
    not_before: datetime
    not_after: datetime
    public_key_digest: str
    """SHA-256 of the certificate's SubjectPublicKeyInfo in DER: `sha256:` and hexadecimal digits."""
    certificate_chain_pem: bytes = field(repr=False)
    """The leaf, then the intermediate; never the root."""
    private_key_pem: bytes = field(repr=False)
    """PKCS#8, unencrypted."""
    bundle_pem: bytes = field(repr=False)
    """What a peer's certificate must lead to: the trust domain's root."""


def issue_x509_svid(  # noqa: PLR0913  each is a rule the certificate has to keep
    authority: CertificateAuthority,
    spiffe_id: SpiffeId,
    *,
    now: datetime,
    ttl: timedelta,
    not_after_limit: datetime,
    crl_url: str | None = None,
    new_serial: Callable[[], int] = random_serial,
) -> X509Svid:
    """Make a key on P-256 and a certificate that says it is `spiffe_id`.

    Args:
        authority: Who signs; only for its own trust domain.
        spiffe_id: Whose identity it is; with a path (X509-SVID §3.1: without one, it names an authority).
        now: The time; the certificate begins at most 60 s before it.
        ttl: How long the certificate may hold; more than nothing.
        not_after_limit: What it must not outlive: the earliest of the task's deadline and all else.
        crl_url: Below which URL its CRL is, as `checked_crl_url` returns it; None: it does not say.
        new_serial: Gives a serial number that was never given before.

    Returns:
        The certificate, which ends with `ttl`, `not_after_limit` or `authority`, whichever is first.

    Raises:
        InvalidTimeError: a time has no time zone.
        IssueRefusedError: the certificate would break a rule, or would have no time left.
    """
    now = in_utc(now, "now")
    not_after_limit = in_utc(not_after_limit, "not_after_limit")
    _refuse_foreign_id(authority, spiffe_id)
    not_before, not_after = _times(authority, spiffe_id, now, ttl, not_after_limit)

    serial = new_serial()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_leaf(authority, spiffe_id, key.public_key(), serial, not_before, not_after, crl_url)
    return X509Svid(
        spiffe_id=spiffe_id,
        serial=serial_hex(serial),
        not_before=not_before,
        not_after=not_after,
        public_key_digest=_digest(key.public_key()),
        certificate_chain_pem=certificate.public_bytes(serialization.Encoding.PEM)
        + authority.intermediate_pem,
        private_key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        bundle_pem=authority.bundle_pem,
    )


def _digest(public_key: ec.EllipticCurvePublicKey) -> str:
    info = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(info).hexdigest()}"


def _refuse_foreign_id(authority: CertificateAuthority, spiffe_id: SpiffeId) -> None:
    if spiffe_id.trust_domain != authority.trust_domain:
        raise IssueRefusedError(
            f"{spiffe_id} cannot be signed by the authority of trust domain {authority.trust_domain}"
        )
    if not spiffe_id.path:
        raise IssueRefusedError(
            f"{spiffe_id} names a trust domain, not a workload; nobody may authenticate as it"
        )


def _times(
    authority: CertificateAuthority,
    spiffe_id: SpiffeId,
    now: datetime,
    ttl: timedelta,
    not_after_limit: datetime,
) -> tuple[datetime, datetime]:
    """Return the certificate's notBefore and notAfter."""
    if ttl <= timedelta(0):
        raise IssueRefusedError(f"{spiffe_id} was asked for with a TTL of {ttl}; it must be positive")
    if now < authority.not_before:
        raise IssueRefusedError(
            f"{spiffe_id} cannot be issued: the clock says {shown(now)}, "
            f"which is before the authority begins at {shown(authority.not_before)}"
        )
    not_after = last_second(now, ttl, not_after_limit, authority.not_after)
    if not_after <= now:
        raise IssueRefusedError(
            f"{spiffe_id} would have no time left at {shown(now)}: its TTL is {ttl}, "
            f"its limit {shown(not_after_limit)}, and the authority ends at {shown(authority.not_after)}"
        )
    return max(first_second(now), authority.not_before), not_after


def _sign_leaf(  # noqa: PLR0913, PLR0917  a certificate has this many parts
    authority: CertificateAuthority,
    spiffe_id: SpiffeId,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    crl_url: str | None,
) -> x509.Certificate:
    uri = x509.UniformResourceIdentifier(str(spiffe_id))
    builder = (
        _LEAF.issuer_name(authority.intermediate.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority.authority_key_identifier, critical=False)
    )
    if crl_url is not None:
        builder = builder.add_extension(distribution_points(authority, crl_url), critical=False)
    return builder.sign(authority.intermediate_key, SIGNATURE_HASH)
