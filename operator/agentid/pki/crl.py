"""The certificate revocation list (CRL) of an authority: making one, and reading one that was published."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agentid.pki.authority import CertificateAuthority
from agentid.pki.errors import RevocationListError
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import MAX_ENTRIES
from agentid.pki.serial import serial_hex
from agentid.pki.signing_certificate import SIGNATURE_HASH
from agentid.pki.validity import END_OF_X509_TIME, first_second, in_utc

MAX_NUMBER: Final = 2**63 - 1
"""RFC 5280 §5.2.3 allows 20 bytes; this many CRLs are never made, and other software counts in 64 bits."""


@dataclass(frozen=True, slots=True)
class PublishedCrl:
    """What a CRL says that the authority signed earlier.

    Attributes:
        number: Its number.
        this_update: The time of which it tells.
        entries: What it revokes. When these certificates end is not in a CRL: it is as late as can be.
    """

    number: int
    this_update: datetime
    entries: tuple[RevokedEntry, ...]


def this_update_at(authority: CertificateAuthority, now: datetime) -> datetime:
    """Return the time of which a CRL tells that is made now.

    A minute earlier, like a certificate's begin: a peer whose clock is behind refuses one from the future.
    """
    return max(first_second(in_utc(now, "now")), authority.not_before)


def build_crl(
    authority: CertificateAuthority,
    entries: Iterable[RevokedEntry],
    *,
    number: int,
    now: datetime,
    next_update: datetime,
) -> bytes:
    """Make the CRL of `authority`, for all that it signed (RFC 5280 §5: version 2, complete, direct).

    Args:
        authority: Whose certificates are revoked; its intermediate signs.
        entries: What is revoked, each serial number once. One that `authority` never gave does no harm.
        number: Larger than that of each earlier CRL of this authority.
        now: The time.
        next_update: When the next CRL is out at the latest; cut to whole seconds.

    Returns:
        The CRL in DER.

    Raises:
        InvalidTimeError: a time has no time zone.
        RevocationListError: number or times can be no CRL's.
    """
    this_update = this_update_at(authority, now)
    next_update = min(in_utc(next_update, "next_update"), END_OF_X509_TIME).replace(microsecond=0)
    if not 0 < number <= MAX_NUMBER:
        raise RevocationListError(f"a CRL can't have the number {number}")
    if next_update <= this_update:
        raise RevocationListError(f"a CRL of {this_update} can't be replaced at {next_update} already")
    revoked = [_revoked(entry) for entry in entries]
    crl = (
        # Given at once: added one by one, each is copied with every later one.
        x509.CertificateRevocationListBuilder(revoked_certificates=revoked)
        .issuer_name(authority.intermediate.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(authority.authority_key_identifier, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .sign(authority.intermediate_key, SIGNATURE_HASH)
    )
    return crl.public_bytes(serialization.Encoding.DER)


def read_crl(der: bytes, authority: CertificateAuthority, *, longest_life: timedelta) -> PublishedCrl:
    """Return what a CRL says that `authority` signed.

    Args:
        der: The CRL.
        authority: Who has to have signed it.
        longest_life: How long a certificate can live after it was revoked.

    Raises:
        RevocationListError: it cannot be read, or `authority` did not sign it.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        is_ours = crl.is_signature_valid(authority.intermediate_key.public_key())
        if not is_ours or crl.issuer != authority.intermediate.subject:
            raise RevocationListError("the CRL is not signed by this authority")
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        entries = tuple(_entry(each, longest_life) for each in crl)
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise RevocationListError(f"the CRL cannot be read: {error}") from error
    return PublishedCrl(number, crl.last_update_utc, entries)


# The same entries are in one CRL after the other, and making one takes longer than writing it.
@lru_cache(maxsize=MAX_ENTRIES)
def _revoked(entry: RevokedEntry) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(entry.number)
        .revocation_date(entry.revoked_at.replace(microsecond=0))
    )
    if entry.reason is not x509.ReasonFlags.unspecified:
        # RFC 5280 §5.3.1: a reason that says nothing is left out.
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    return builder.build()


def _entry(revoked: x509.RevokedCertificate, longest_life: timedelta) -> RevokedEntry:
    at = revoked.revocation_date_utc
    try:
        reason = revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        reason = x509.ReasonFlags.unspecified
    # Compared as a difference: the sum may lie past what a datetime can hold.
    life = min(longest_life, END_OF_X509_TIME - at)
    return RevokedEntry(serial_hex(revoked.serial_number), at, at + life, reason)
