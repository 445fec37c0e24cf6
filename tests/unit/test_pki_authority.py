"""What an authority is made of, and that it loads, ends and is renewed as it should."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import (
    CertificateAuthorityError,
    IntermediateExpiredError,
    InvalidSpiffeIdError,
    InvalidTimeError,
)
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.pki_authorities import CA_USAGE, MATERIAL, NOW, OTHER, TRUST_DOMAIN, certificate, load

# ---- what is made -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "path_length"), [("root", 1), ("intermediate", 0)])
def test_signing_certificates_are_what_the_standard_asks(part: str, path_length: int) -> None:
    made = certificate(getattr(MATERIAL, f"{part}_certificate"))
    extensions = made.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
    assert constraints.critical
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.value == CA_USAGE, "never digitalSignature: a signing certificate does not authenticate"
    assert usage.critical
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://cluster.example.org")], "no path"
    public_key = made.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert isinstance(public_key.curve, ec.SECP256R1)
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    own_id = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own_id == x509.SubjectKeyIdentifier.from_public_key(public_key)
    root_id = certificate(MATERIAL.root_certificate).extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    )
    signer_id = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert signer_id.key_identifier == root_id.value.key_identifier
    assert made.serial_number.bit_length() >= 64
    assert len(list(extensions)) == 5


def test_no_two_signing_certificates_share_a_name() -> None:
    names = {
        certificate(pem).subject
        for material in (MATERIAL, OTHER, MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW))
        for pem in (material.root_certificate, material.intermediate_certificate)
    }
    assert len(names) == 5


def test_a_root_holds_ten_years_and_an_intermediate_one() -> None:
    authority = load()
    begin = NOW - timedelta(seconds=60)
    assert authority.root.not_valid_before_utc == authority.not_before == begin
    assert authority.root.not_valid_after_utc == NOW + timedelta(days=3650)
    assert authority.not_after == NOW + timedelta(days=365)


def test_lifetimes_can_be_chosen_and_the_intermediate_never_outlives_the_root() -> None:
    material = AuthorityMaterial.create(
        TRUST_DOMAIN, NOW, root_lifetime=timedelta(days=30), intermediate_lifetime=timedelta(days=60)
    )
    authority = load(material)
    assert authority.not_after == authority.root.not_valid_after_utc == NOW + timedelta(days=30)


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), timedelta(seconds=-1), timedelta.min, timedelta(milliseconds=500)]
)
def test_a_lifetime_without_time_is_refused(lifetime: timedelta) -> None:
    with pytest.raises(CertificateAuthorityError, match="leaves the root certificate no time"):
        AuthorityMaterial.create(TRUST_DOMAIN, NOW, root_lifetime=lifetime)
    with pytest.raises(CertificateAuthorityError, match="leaves the intermediate certificate no time"):
        AuthorityMaterial.create(TRUST_DOMAIN, NOW, intermediate_lifetime=lifetime)


def test_a_lifetime_past_all_time_ends_with_x509s_last_second() -> None:
    material = AuthorityMaterial.create(TRUST_DOMAIN, NOW, root_lifetime=timedelta.max)
    assert load(material).root.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_trust_domain_that_no_secret_can_carry_gets_no_authority() -> None:
    too_long = TrustDomain("a" * 230)
    with pytest.raises(InvalidSpiffeIdError, match="at most 229"):
        AuthorityMaterial.create(too_long, NOW)
    with pytest.raises(InvalidSpiffeIdError, match="at most 229"):
        CertificateAuthority.load(MATERIAL, too_long, NOW)
    longest = TrustDomain("a" * 229)
    assert CertificateAuthority.load(AuthorityMaterial.create(longest, NOW), longest, NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = NOW.replace(tzinfo=None)
    for attempt in (
        lambda: AuthorityMaterial.create(TRUST_DOMAIN, naive),
        lambda: MATERIAL.renew_intermediate(TRUST_DOMAIN, naive),
        lambda: load(now=naive),
    ):
        with pytest.raises(InvalidTimeError, match="has no time zone"):
            attempt()


def test_no_representation_shows_a_key() -> None:
    for shown in (repr(MATERIAL), str(MATERIAL), repr(load()), f"{load()}"):
        assert "PRIVATE" not in shown
        assert "key=" not in shown
        for pem in (MATERIAL.root_key, MATERIAL.intermediate_key):
            assert pem.decode().splitlines()[1] not in shown


# ---- what is loaded ---------------------------------------------------------------------------------------


def test_what_was_made_loads_again_and_keeps_no_root_key() -> None:
    authority = load()
    assert authority.bundle_pem == MATERIAL.root_certificate
    assert authority.intermediate_pem == MATERIAL.intermediate_certificate
    assert not hasattr(authority, "root_key")


# ---- time goes on -----------------------------------------------------------------------------------------


def test_an_expired_intermediate_is_told_apart_because_it_can_be_renewed() -> None:
    end = load().not_after
    with pytest.raises(IntermediateExpiredError, match="expired at 2027-11-22T12:00:00Z"):
        load(now=end)
    renewed = MATERIAL.renew_intermediate(TRUST_DOMAIN, end)
    assert load(renewed, now=end).not_after == end + timedelta(days=365)


def test_an_expired_root_neither_signs_nor_renews() -> None:
    end = NOW + timedelta(days=3650)
    for attempt in (
        lambda: load(now=end),
        lambda: MATERIAL.renew_intermediate(TRUST_DOMAIN, end),
    ):
        with pytest.raises(
            CertificateAuthorityError, match="the root certificate expired at 2036-11-19"
        ) as refused:
            attempt()
        assert not isinstance(refused.value, IntermediateExpiredError), "renewing would mend nothing"


def test_a_clock_before_the_root_began_is_not_believed() -> None:
    with pytest.raises(
        CertificateAuthorityError, match="the root certificate holds from 2026-11-22T11:59:00Z"
    ):
        load(now=NOW - timedelta(seconds=61))


def test_the_intermediate_is_to_be_renewed_after_two_thirds_of_its_time() -> None:
    due = load().intermediate_renewal_due
    assert NOW + timedelta(days=243) < due < NOW + timedelta(days=244)
    assert load(MATERIAL.renew_intermediate(TRUST_DOMAIN, due), due).intermediate_renewal_due > due


def test_a_renewed_intermediate_has_a_new_key_under_the_same_root() -> None:
    later = NOW + timedelta(days=200)
    renewed = MATERIAL.renew_intermediate(TRUST_DOMAIN, later, lifetime=timedelta(days=100))
    assert (renewed.root_certificate, renewed.root_key) == (MATERIAL.root_certificate, MATERIAL.root_key)
    assert renewed.intermediate_key != MATERIAL.intermediate_key
    authority = load(renewed, now=later)
    assert authority.bundle_pem == load().bundle_pem
    assert authority.not_after == later + timedelta(days=100)
    assert load(MATERIAL, now=later), "the old one may go on until everyone has taken the new one"


def test_an_intermediate_never_begins_before_the_root() -> None:
    root_begins = load().root.not_valid_before_utc
    soon = root_begins + timedelta(seconds=10)
    assert load(MATERIAL.renew_intermediate(TRUST_DOMAIN, soon), now=soon).not_before == root_begins


def test_a_renewed_intermediate_never_outlives_the_root() -> None:
    later = NOW + timedelta(days=3600)
    assert load(MATERIAL.renew_intermediate(TRUST_DOMAIN, later), now=later).not_after == NOW + timedelta(
        days=3650
    )


@pytest.mark.parametrize(
    ("material", "trust_domain", "message"),
    [
        (replace(MATERIAL, root_key=OTHER.root_key), TRUST_DOMAIN, "the root key does not belong"),
        (MATERIAL, TrustDomain("other.example.org"), "not for trust domain other.example.org"),
    ],
)
def test_a_root_that_may_not_sign_renews_nothing(
    material: AuthorityMaterial, trust_domain: TrustDomain, message: str
) -> None:
    with pytest.raises(CertificateAuthorityError, match=message):
        material.renew_intermediate(trust_domain, NOW)
