"""The profile of a signing certificate, root or intermediate: making one, and refusing what is not one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agentid.pki.errors import CertificateAuthorityError
from agentid.pki.spiffe_id import SpiffeId, TrustDomain


@dataclass(frozen=True, slots=True)
class Role:
    """A place in the chain: its name in messages and how many signing certificates may follow below it."""

    name: str
    path_length: int


ROOT: Final = Role("root", path_length=1)
INTERMEDIATE: Final = Role("intermediate", path_length=0)

SIGNATURE_HASH: Final = hashes.SHA256()

_KEY_USAGE: Final = x509.KeyUsage(
    digital_signature=False,  # X509-SVID §3.2: a signing certificate never authenticates
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
# Anything else, such as name constraints, narrows what peers accept in ways that verifiers disagree on.
_EXTENSIONS: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
    }
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs: a name and the key that goes with it."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def new_name(role: Role, serial: int) -> x509.Name:
    """Return a subject that no other signing certificate has, so that a chain is never built by mistake."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "agentid"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"agentid {role.name}"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"),
        ]
    )


def make_signing_certificate(  # noqa: PLR0913  a certificate has this many parts
    role: Role,
    trust_domain: TrustDomain,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    issuer: Issuer | None = None,
) -> x509.Certificate:
    """Return a certificate for `key` in `role`, signed by `issuer`, or by itself where there is none."""
    subject = new_name(role, serial)
    issuer = issuer or Issuer(subject, key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(_basic_constraints(role), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectAlternativeName([_uri(trust_domain)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
        .sign(issuer.key, SIGNATURE_HASH)
    )


def read_certificate(pem: bytes, role: Role) -> x509.Certificate:
    """Return the one certificate in `pem`.

    Raises:
        CertificateAuthorityError: there is not exactly one, it cannot be read, or its key is not on P-256.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateAuthorityError(f"the {role.name} certificate is not readable PEM") from error
    if len(certificates) != 1:
        raise CertificateAuthorityError(
            f"the {role.name} certificate must be one certificate, found {len(certificates)}"
        )
    try:
        _public_key(certificates[0])
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateAuthorityError(
            f"the {role.name} certificate is not for an ECDSA key on P-256"
        ) from error
    return certificates[0]


def read_key(pem: bytes, role: Role, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """Return the private key in `pem`, which must be the one that `certificate` speaks for.

    Raises:
        CertificateAuthorityError: it cannot be read, is not on P-256, or belongs to something else.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: nothing that was read from a key may reach a log.
        raise CertificateAuthorityError(f"the {role.name} key is not readable unencrypted PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateAuthorityError(f"the {role.name} key is not an ECDSA key on P-256")
    if key.public_key() != _public_key(certificate):
        raise CertificateAuthorityError(f"the {role.name} key does not belong to the {role.name} certificate")
    return key


def check_profile(
    certificate: x509.Certificate, role: Role, trust_domain: TrustDomain, issuer: x509.Certificate
) -> None:
    """Refuse a certificate that could not have been made by `make_signing_certificate` for this place.

    Raises:
        CertificateAuthorityError: says what is wrong with it.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise CertificateAuthorityError(
            f"the {role.name} certificate is not signed by the root's key"
        ) from error
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateAuthorityError(
            f"the {role.name} certificate has extensions that cannot be read"
        ) from error
    for breach in _breaches(certificate, extensions, role, trust_domain, issuer):
        raise CertificateAuthorityError(f"the {role.name} certificate {breach}")


def _breaches(
    certificate: x509.Certificate,
    extensions: x509.Extensions,
    role: Role,
    trust_domain: TrustDomain,
    issuer: x509.Certificate,
) -> Iterator[str]:
    if not isinstance(certificate.signature_hash_algorithm, type(SIGNATURE_HASH)):
        yield "is not signed with ECDSA and SHA-256"
    if not list(certificate.subject):
        yield "has no subject, so nothing could name it as its issuer"

    held = {extension.oid for extension in extensions}
    for oid in _EXTENSIONS - held:
        yield f"lacks the extension {oid.dotted_string}"
    for oid in held - _EXTENSIONS:
        yield f"has the extension {oid.dotted_string}, which no signing certificate of agentid has"

    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    if not constraints.critical or constraints.value != _basic_constraints(role):
        yield f"is not a CA with path length {role.path_length}"

    usage = extensions.get_extension_for_class(x509.KeyUsage)
    if not usage.critical or usage.value != _KEY_USAGE:
        yield "may be used for something other than signing certificates and revocation lists"

    names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    if names != [_uri(trust_domain)]:
        found = ", ".join(ascii(name.value) for name in names)
        yield f"is for {found}, not for trust domain {trust_domain}"

    own_id = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if own_id != x509.SubjectKeyIdentifier.from_public_key(_public_key(certificate)):
        yield "has a subject key identifier that is not its key's"

    issuer_id = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    if issuer_id != x509.AuthorityKeyIdentifier.from_issuer_public_key(_public_key(issuer)):
        yield "has an authority key identifier that is not the root's"


def _basic_constraints(role: Role) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=role.path_length)


def _uri(trust_domain: TrustDomain) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(str(SpiffeId(trust_domain, "")))


def _public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the certificate's key; raise ValueError or UnsupportedAlgorithm where it is not on P-256."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not an ECDSA key on P-256")  # noqa: TRY004  the caller asks about the value
    return key
