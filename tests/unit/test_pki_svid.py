import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import InvalidTimeError, IssueRefusedError
from agentid.pki.serial import random_serial, serial_hex
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW = CREATED + timedelta(days=10)
TRUST_DOMAIN = TrustDomain("cluster.example.org")
TASK = SpiffeId.for_task(TRUST_DOMAIN, "support", "refund-agent", "6f0b4f6e-30c5-4a55-9d3c-1f6f7f9c2b11")
TTL = timedelta(minutes=5)
AUTHORITY = CertificateAuthority.load(AuthorityMaterial.create(TRUST_DOMAIN, CREATED), TRUST_DOMAIN, NOW)


def issue(
    spiffe_id: SpiffeId = TASK,
    *,
    now: datetime = NOW,
    ttl: timedelta = TTL,
    not_after_limit: datetime = NOW + timedelta(hours=1),
) -> X509Svid:
    return issue_x509_svid(AUTHORITY, spiffe_id, now=now, ttl=ttl, not_after_limit=not_after_limit)


def chain_of(svid: X509Svid) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(svid.certificate_chain_pem)


@pytest.fixture(scope="module")
def leaf() -> x509.Certificate:
    return chain_of(issue())[0]


def test_the_certificate_names_the_task_in_exactly_one_uri_and_nothing_else(leaf: x509.Certificate) -> None:
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(san.value) == [x509.UniformResourceIdentifier(str(TASK))]
    assert str(SpiffeId.parse(san.value.get_values_for_type(x509.UniformResourceIdentifier)[0])) == str(TASK)
    assert list(leaf.subject) == []
    assert san.critical, "X509-SVID §3.1: critical, because the subject is empty"


def test_the_leaf_is_no_authority(leaf: x509.Certificate) -> None:
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    assert constraints.critical


def test_the_key_may_sign_handshakes_and_nothing_more(leaf: x509.Certificate) -> None:
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value == x509.KeyUsage(
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


def test_the_certificate_serves_both_ends_of_a_handshake(leaf: x509.Certificate) -> None:
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_the_leaf_says_whose_key_it_is_and_whose_key_signed_it(leaf: x509.Certificate) -> None:
    own = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    signer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    of_intermediate = AUTHORITY.intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    public_key = leaf.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert own == x509.SubjectKeyIdentifier.from_public_key(public_key)
    assert signer.key_identifier == of_intermediate.value.key_identifier


def test_the_leaf_holds_no_other_extension(leaf: x509.Certificate) -> None:
    assert sorted(extension.oid._name for extension in leaf.extensions) == [  # noqa: SLF001  readable in a diff
        "authorityKeyIdentifier",
        "basicConstraints",
        "extendedKeyUsage",
        "keyUsage",
        "subjectAltName",
        "subjectKeyIdentifier",
    ]


def test_the_leaf_is_an_x509_v3_certificate_on_p256_signed_with_sha256(leaf: x509.Certificate) -> None:
    public_key = leaf.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert isinstance(public_key.curve, ec.SECP256R1)
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA256)
    assert leaf.version is x509.Version.v3


def test_the_chain_is_the_leaf_then_the_intermediate_and_no_root() -> None:
    leaf, intermediate = chain_of(issue())
    leaf.verify_directly_issued_by(intermediate)
    assert intermediate == AUTHORITY.intermediate
    (root,) = x509.load_pem_x509_certificates(issue().bundle_pem)
    assert root == AUTHORITY.root
    intermediate.verify_directly_issued_by(root)


def test_the_private_key_is_the_certificates_own_in_pkcs8() -> None:
    svid = issue()
    assert svid.private_key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    key = load_pem_private_key(svid.private_key_pem, password=None)
    assert key.public_key() == chain_of(svid)[0].public_key()


def test_what_is_reported_is_what_the_certificate_says() -> None:
    svid = issue(now=NOW + timedelta(microseconds=123_456))
    leaf = chain_of(svid)[0]
    assert svid.spiffe_id == TASK
    assert svid.serial == f"{leaf.serial_number:x}"
    assert (svid.not_before, svid.not_after) == (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    for instant in (svid.not_before, svid.not_after):
        assert instant.utcoffset() == timedelta(0)
        assert instant.microsecond == 0


def test_each_certificate_has_its_own_key_and_serial() -> None:
    issued = [issue() for _ in range(50)]
    assert len({svid.serial for svid in issued}) == 50
    assert len({svid.private_key_pem for svid in issued}) == 50


def test_a_serial_is_positive_with_at_least_64_random_bits_and_at_most_20_bytes() -> None:
    serials = [random_serial() for _ in range(500)]
    assert len(set(serials)) == 500
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert all(re.fullmatch(r"[0-9a-f]{32}", serial_hex(serial)) for serial in serials)
    # Each of the lower 126 bits is seen both set and not: all of them are drawn.
    always_set, ever_set = serials[0], 0
    for serial in serials:
        always_set &= serial
        ever_set |= serial
    assert always_set == 1 << 126
    assert ever_set == (1 << 127) - 1


@pytest.mark.parametrize(("serial", "written"), [(0xABC, "0abc"), (0xAB, "ab"), (0x1, "01")])
def test_a_serial_is_written_in_whole_bytes_and_lower_case(serial: int, written: str) -> None:
    assert serial_hex(serial) == written


def test_the_serial_comes_from_the_given_source() -> None:
    svid = issue_x509_svid(
        AUTHORITY, TASK, now=NOW, ttl=TTL, not_after_limit=NOW + TTL, new_serial=lambda: 0xFACE << 64
    )
    assert chain_of(svid)[0].serial_number == 0xFACE << 64
    assert svid.serial == "face0000000000000000"


def test_no_representation_shows_the_key() -> None:
    svid = issue()
    secret = svid.private_key_pem.decode().splitlines()[1]
    for shown in (repr(svid), str(svid), f"{svid}", f"{svid!a}", repr([svid]), repr({"svid": svid})):
        assert secret not in shown
        assert "PRIVATE" not in shown
    assert {field.name for field in fields(svid) if not field.repr} >= {"private_key_pem"}


# ---- from when to when ------------------------------------------------------------------------------------


@given(
    now=st.datetimes(CREATED.replace(tzinfo=None), datetime(2027, 11, 22, 11, 59), timezones=st.just(UTC)),  # noqa: DTZ001  Hypothesis adds the zone
    ttl=st.timedeltas(timedelta(seconds=-5), timedelta(days=2)),
    limit_after=st.timedeltas(timedelta(seconds=-5), timedelta(days=2)),
)
def test_a_certificate_never_outlives_any_of_its_limits(
    now: datetime, ttl: timedelta, limit_after: timedelta
) -> None:
    try:
        svid = issue(now=now, ttl=ttl, not_after_limit=now + limit_after)
    except IssueRefusedError:
        assert min(ttl, limit_after, AUTHORITY.not_after - now) <= timedelta(seconds=1)
        return
    leaf = chain_of(svid)[0]
    assert now < leaf.not_valid_after_utc <= min(now + ttl, now + limit_after, AUTHORITY.not_after)
    assert now - timedelta(seconds=60) <= leaf.not_valid_before_utc <= now
    assert leaf.not_valid_before_utc >= AUTHORITY.not_before


@pytest.mark.parametrize(
    ("ttl", "limit", "ends"),
    [
        (timedelta(minutes=5), NOW + timedelta(hours=1), NOW + timedelta(minutes=5)),
        (timedelta(hours=2), NOW + timedelta(hours=1), NOW + timedelta(hours=1)),
        (timedelta(hours=1), NOW + timedelta(hours=1), NOW + timedelta(hours=1)),
        (timedelta(days=9999), datetime.max.replace(tzinfo=UTC), CREATED + timedelta(days=365)),
        (timedelta.max, datetime.max.replace(tzinfo=UTC), CREATED + timedelta(days=365)),
        (timedelta(seconds=1), NOW + timedelta(hours=1), NOW + timedelta(seconds=1)),
        (timedelta(seconds=90, milliseconds=999), NOW + timedelta(hours=1), NOW + timedelta(seconds=90)),
    ],
)
def test_the_earliest_limit_ends_the_certificate(ttl: timedelta, limit: datetime, ends: datetime) -> None:
    assert issue(ttl=ttl, not_after_limit=limit).not_after == ends


def test_a_certificate_begins_60_seconds_back_and_never_further() -> None:
    assert issue().not_before == NOW - timedelta(seconds=60)
    assert issue(now=NOW + timedelta(microseconds=1)).not_before == NOW - timedelta(seconds=59)


def test_a_certificate_never_begins_before_the_authority_that_signed_it() -> None:
    soon = AUTHORITY.not_before + timedelta(seconds=10)
    assert issue(now=soon).not_before == AUTHORITY.not_before


def test_times_in_another_zone_mean_the_same_instant() -> None:
    tokyo = timezone(timedelta(hours=9))
    svid = issue(now=NOW.astimezone(tokyo), not_after_limit=(NOW + TTL).astimezone(tokyo))
    assert (svid.not_before, svid.not_after) == (NOW - timedelta(seconds=60), NOW + TTL)


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta.min])
def test_a_ttl_that_is_not_positive_is_refused(ttl: timedelta) -> None:
    with pytest.raises(IssueRefusedError, match="must be positive"):
        issue(ttl=ttl)


@pytest.mark.parametrize("limit", [NOW, NOW - timedelta(seconds=1), NOW + timedelta(milliseconds=999)])
def test_nothing_is_issued_at_or_after_the_deadline(limit: datetime) -> None:
    with pytest.raises(IssueRefusedError, match="would have no time left at 2026-12-02T12:00:00Z"):
        issue(not_after_limit=limit)


def test_nothing_is_issued_when_the_authority_has_ended() -> None:
    end = AUTHORITY.not_after
    with pytest.raises(IssueRefusedError, match="the authority ends at 2027-11-22T12:00:00Z"):
        issue(now=end, not_after_limit=end + timedelta(hours=1))


def test_nothing_is_issued_by_a_clock_that_is_before_the_authority() -> None:
    with pytest.raises(IssueRefusedError, match="the clock says 2026-11-22T11:58:59Z, which is before"):
        issue(now=AUTHORITY.not_before - timedelta(seconds=1))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidTimeError, match="now 2026-12-02T12:00:00 has no time zone"):
        issue(now=NOW.replace(tzinfo=None))
    with pytest.raises(InvalidTimeError, match="not_after_limit 2026-12-02T13:00:00 has no time zone"):
        issue(not_after_limit=(NOW + timedelta(hours=1)).replace(tzinfo=None))


# ---- for whom ---------------------------------------------------------------------------------------------


def test_nothing_is_issued_for_another_trust_domain() -> None:
    stranger = SpiffeId.parse("spiffe://other.example.org/ns/a/agent/b")
    with pytest.raises(IssueRefusedError, match="cannot be signed by the authority of trust domain cluster"):
        issue(stranger)


def test_nothing_is_issued_for_the_trust_domain_itself() -> None:
    with pytest.raises(IssueRefusedError, match="nobody may authenticate as it"):
        issue(SpiffeId(TRUST_DOMAIN, ""))
