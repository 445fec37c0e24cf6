"""The certificate authority of one trust domain: a root, and the intermediate that signs every X.509-SVID."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentid.pki.errors import CertificateAuthorityError, IntermediateExpiredError
from agentid.pki.serial import random_serial
from agentid.pki.signing_certificate import (
    INTERMEDIATE,
    ROOT,
    Issuer,
    Role,
    check_profile,
    make_signing_certificate,
    read_certificate,
    read_key,
)
from agentid.pki.spiffe_id import TrustDomain
from agentid.pki.validity import first_second, in_utc, last_second, shown

ROOT_LIFETIME: Final = timedelta(days=3650)
INTERMEDIATE_LIFETIME: Final = timedelta(days=365)
RETIRED_FOR: Final = timedelta(days=2)
"""How long after its renewal an intermediate's key is kept, to sign its CRL: its last certificate lives for a
day at most, and an operator that did not see the renewal goes on with the old one for an hour."""

_PREVIOUS: Final = Role("previous intermediate", INTERMEDIATE.path_length)


@dataclass(frozen=True, slots=True)
class AuthorityMaterial:
    """What has to be stored of a certificate authority: certificates and their keys (PKCS#8), all PEM.

    The previous intermediate is there for some time after a renewal, and empty otherwise.
    """

    root_certificate: bytes
    root_key: bytes = field(repr=False)
    intermediate_certificate: bytes
    intermediate_key: bytes = field(repr=False)
    previous_certificate: bytes = b""
    previous_key: bytes = field(default=b"", repr=False)

    @classmethod
    def create(
        cls,
        trust_domain: TrustDomain,
        now: datetime,
        *,
        root_lifetime: timedelta = ROOT_LIFETIME,
        intermediate_lifetime: timedelta = INTERMEDIATE_LIFETIME,
        new_serial: Callable[[], int] = random_serial,
    ) -> Self:
        """Make a new root and an intermediate under it, with new keys.

        The intermediate never outlives the root.

        Raises:
            InvalidSpiffeIdError: the trust domain cannot be served from a Kubernetes cluster.
            InvalidTimeError: `now` has no time zone.
            CertificateAuthorityError: a lifetime leaves nothing.
        """
        trust_domain.bundle_file_name()
        now = in_utc(now, "now")
        key = ec.generate_private_key(ec.SECP256R1())
        root = make_signing_certificate(
            ROOT,
            trust_domain,
            key,
            serial=new_serial(),
            not_before=first_second(now),
            not_after=_end_of(ROOT, now, root_lifetime),
        )
        intermediate, intermediate_key = _new_intermediate(
            trust_domain, root, key, now, intermediate_lifetime, new_serial
        )
        return cls(_pem(root), _key_pem(key), intermediate, intermediate_key)

    def renew_intermediate(
        self,
        trust_domain: TrustDomain,
        now: datetime,
        *,
        lifetime: timedelta = INTERMEDIATE_LIFETIME,
        new_serial: Callable[[], int] = random_serial,
    ) -> Self:
        """Return the same root with a new intermediate and a new key for it; the old one is not looked at.

        What the old intermediate signed stays valid for its own time: its chain travels with it, and the
        root that peers trust is the same. The old one is kept as the previous one, to revoke what it signed.

        Raises:
            InvalidTimeError: `now` has no time zone.
            CertificateAuthorityError: the root may not sign, or the lifetime leaves nothing.
        """
        now = in_utc(now, "now")
        root, root_key = _checked_root(self, trust_domain, now)
        intermediate, intermediate_key = _new_intermediate(
            trust_domain, root, root_key, now, lifetime, new_serial
        )
        return type(self)(
            self.root_certificate,
            self.root_key,
            intermediate,
            intermediate_key,
            self.intermediate_certificate,
            self.intermediate_key,
        )

    @property
    def has_previous(self) -> bool:
        """Whether an earlier intermediate is kept."""
        return bool(self.previous_certificate or self.previous_key)

    def without_previous(self) -> Self:
        """Return it without the earlier intermediate."""
        return replace(self, previous_certificate=b"", previous_key=b"")


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A checked authority, parsed once and ready to sign; it does not hold the root's key."""

    trust_domain: TrustDomain
    root: x509.Certificate
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey = field(repr=False)
    authority_key_identifier: x509.AuthorityKeyIdentifier = field(repr=False)
    not_before: datetime
    """When the intermediate begins to hold."""
    not_after: datetime
    """When the intermediate, and with it everything it signed, stops holding."""
    bundle_pem: bytes = field(repr=False)
    intermediate_pem: bytes = field(repr=False)
    previous: Self | None = field(default=None, repr=False)
    """The intermediate before this one, while what it signed may live; it signs nothing but its CRL."""

    @classmethod
    def load(cls, material: AuthorityMaterial, trust_domain: TrustDomain, now: datetime) -> Self:
        """Check `material` from end to end and return the authority that signs with it.

        Checked are: each key and certificate readable and a pair, P-256 and SHA-256 throughout, the trust
        domain, the whole profile with path lengths, the signatures, key identifiers, and the times.
        A previous intermediate is checked as well, while it is needed; later it is not looked at.

        Raises:
            InvalidSpiffeIdError: the trust domain cannot be served from a Kubernetes cluster.
            InvalidTimeError: `now` has no time zone.
            IntermediateExpiredError: all is well but the intermediate's time is over; renew it.
            CertificateAuthorityError: anything else is wrong; the text says what.
        """
        trust_domain.bundle_file_name()
        now = in_utc(now, "now")
        root, _ = _checked_root(material, trust_domain, now)
        pem, key_pem = material.intermediate_certificate, material.intermediate_key
        authority = cls._signing(INTERMEDIATE, pem, key_pem, root, trust_domain)
        _check_time(authority.intermediate, INTERMEDIATE, now)
        if not material.has_previous or now >= authority.not_before + RETIRED_FOR:
            return authority
        pem, key_pem = material.previous_certificate, material.previous_key
        previous = cls._signing(_PREVIOUS, pem, key_pem, root, trust_domain)
        return replace(authority, previous=previous if now < previous.not_after else None)

    @classmethod
    def _signing(
        cls, role: Role, pem: bytes, key_pem: bytes, root: x509.Certificate, trust_domain: TrustDomain
    ) -> Self:
        """Check an intermediate under `root` but for the time."""
        intermediate = read_certificate(pem, role)
        key = read_key(key_pem, role, intermediate)
        check_profile(intermediate, role, trust_domain, root)
        if intermediate.not_valid_after_utc > root.not_valid_after_utc:
            raise CertificateAuthorityError(f"the {role.name} certificate outlives the root certificate")
        return cls(
            trust_domain=trust_domain,
            root=root,
            intermediate=intermediate,
            intermediate_key=key,
            authority_key_identifier=x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            not_before=intermediate.not_valid_before_utc,
            not_after=intermediate.not_valid_after_utc,
            bundle_pem=_pem(root),
            intermediate_pem=_pem(intermediate),
        )

    @property
    def key_id(self) -> str:
        """The identifier of the key that signs, in hexadecimal: by that its CRL is known."""
        identifier = self.authority_key_identifier.key_identifier
        return identifier.hex() if identifier is not None else ""

    @property
    def intermediate_renewal_due(self) -> datetime:
        """When the intermediate should be replaced: after two thirds of its time."""
        return self.not_before + (self.not_after - self.not_before) * 2 / 3


def _checked_root(
    material: AuthorityMaterial, trust_domain: TrustDomain, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    root = read_certificate(material.root_certificate, ROOT)
    key = read_key(material.root_key, ROOT, root)
    check_profile(root, ROOT, trust_domain, root)
    _check_time(root, ROOT, now)
    return root, key


def _check_time(certificate: x509.Certificate, role: Role, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise CertificateAuthorityError(
            f"the {role.name} certificate holds from {shown(begin)} on, but the clock says {shown(now)}"
        )
    if now >= end:
        expired = IntermediateExpiredError if role is INTERMEDIATE else CertificateAuthorityError
        raise expired(f"the {role.name} certificate expired at {shown(end)}; the clock says {shown(now)}")


def _new_intermediate(  # noqa: PLR0913, PLR0917  all of it goes into one certificate
    trust_domain: TrustDomain,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
    new_serial: Callable[[], int],
) -> tuple[bytes, bytes]:
    """Return certificate and key of a new intermediate under `root`, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_signing_certificate(
        INTERMEDIATE,
        trust_domain,
        key,
        serial=new_serial(),
        not_before=max(first_second(now), root.not_valid_before_utc),
        not_after=_end_of(INTERMEDIATE, now, lifetime, root.not_valid_after_utc),
        issuer=Issuer(root.subject, root_key),
    )
    return _pem(certificate), _key_pem(key)


def _end_of(role: Role, now: datetime, lifetime: timedelta, *limits: datetime) -> datetime:
    if lifetime <= timedelta(0) or (end := last_second(now, lifetime, *limits)) <= now:
        raise CertificateAuthorityError(
            f"a lifetime of {lifetime} leaves the {role.name} certificate no time"
        )
    return end


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
