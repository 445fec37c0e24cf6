"""CRLs as others read them: OpenSSL decides what is revoked, cryptography what is in them."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ReasonFlags
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.pki.authority import RETIRED_FOR, AuthorityMaterial, CertificateAuthority
from agentid.pki.crl import MAX_NUMBER, build_crl, read_crl, this_update_at
from agentid.pki.distribution_point import checked_crl_url, crl_file_name
from agentid.pki.errors import CertificateAuthorityError, InvalidTimeError, RevocationListError
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import LIFETIME, MAX_ENTRIES_IN_CLUSTER
from agentid.pki.serial import random_serial, serial_hex
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

NOW = datetime.now(UTC)  # OpenSSL asks the machine's clock
TTL = timedelta(minutes=30)
DAY = timedelta(days=1)
TRUST_DOMAIN = TrustDomain("cluster.example.org")
MATERIAL = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
AUTHORITY = CertificateAuthority.load(MATERIAL, TRUST_DOMAIN, NOW)
IMPOSTOR = CertificateAuthority.load(AuthorityMaterial.create(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
RENEWED = CertificateAuthority.load(MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
TASK = SpiffeId.for_task(TRUST_DOMAIN, "support", "refund-agent", "6f0b4f6e-30c5-4a55-9d3c-1f6f7f9c2b11")
CESSATION = ReasonFlags.cessation_of_operation


def issue(authority: CertificateAuthority = AUTHORITY, crl_url: str | None = None) -> X509Svid:
    return issue_x509_svid(authority, TASK, now=NOW, ttl=TTL, not_after_limit=NOW + TTL, crl_url=crl_url)


def entry(serial: str | None = None, reason: ReasonFlags = CESSATION, at: datetime = NOW) -> RevokedEntry:
    return RevokedEntry(serial or serial_hex(random_serial()), at, NOW + TTL, reason)


def crl(
    *entries: RevokedEntry, authority: CertificateAuthority = AUTHORITY, number: int = 1, now: datetime = NOW
) -> bytes:
    return build_crl(authority, entries, number=number, now=now, next_update=now + LIFETIME)


def openssl(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True, check=False)


def verified(folder: Path, svid: X509Svid, der: bytes) -> tuple[bool, str]:
    """Whether OpenSSL takes a certificate by this CRL, and what it says."""
    (folder / "chain.pem").write_bytes(svid.certificate_chain_pem)
    (folder / "bundle.pem").write_bytes(svid.bundle_pem)
    (folder / "crl.der").write_bytes(der)
    done = openssl(
        folder,
        *("verify", "-crl_check", "-x509_strict", "-no-CApath", "-CAfile", "bundle.pem"),
        *("-CRLfile", "crl.der", "-untrusted", "chain.pem", "chain.pem"),
    )
    return done.returncode == 0, done.stdout + done.stderr


# ---- What OpenSSL makes of it -----------------------------------------------------------------------------


def test_openssl_refuses_what_is_revoked_and_takes_what_is_not(tmp_path: Path) -> None:
    ended, running = issue(), issue()
    der = crl(entry(ended.serial))

    accepted, said = verified(tmp_path, ended, der)
    assert not accepted
    assert "certificate revoked" in said
    assert verified(tmp_path, running, der) == (True, "chain.pem: OK\n")


def test_openssl_takes_no_crl_that_another_signed(tmp_path: Path) -> None:
    svid = issue()
    forged = crl(authority=replace(IMPOSTOR, intermediate=AUTHORITY.intermediate))

    accepted, said = verified(tmp_path, svid, forged)
    assert not accepted
    assert "CRL" in said


def test_openssl_takes_nothing_by_a_crl_that_is_out_of_date(tmp_path: Path) -> None:
    accepted, said = verified(tmp_path, issue(), crl(now=NOW - LIFETIME - timedelta(seconds=1)))

    assert not accepted
    assert "CRL has expired" in said


def test_openssl_shows_number_times_issuer_and_reasons(tmp_path: Path) -> None:
    gone, taken = entry(), entry(reason=ReasonFlags.privilege_withdrawn)
    (tmp_path / "crl.der").write_bytes(crl(gone, taken, entry(reason=ReasonFlags.unspecified), number=77))

    shown = openssl(tmp_path, "crl", "-in", "crl.der", "-inform", "DER", "-noout", "-text").stdout
    assert "Version 2 (0x1)" in shown
    assert "X509v3 CRL Number: \n                77" in shown
    assert "X509v3 Authority Key Identifier" in shown
    assert f"Serial Number: {gone.serial.upper()}" in shown
    assert shown.count("X509v3 CRL Reason Code") == 2
    assert "Cessation Of Operation" in shown
    assert "Privilege Withdrawn" in shown


def test_what_the_old_intermediate_signed_is_revoked_by_its_own_crl(tmp_path: Path) -> None:
    old, new = issue(), issue(RENEWED)
    assert RENEWED.previous is not None
    entries = (entry(old.serial), entry(new.serial))

    for svid, authority in ((old, RENEWED.previous), (new, RENEWED)):
        accepted, said = verified(tmp_path, svid, crl(*entries, authority=authority))
        assert not accepted
        assert "certificate revoked" in said
    # The other's list says nothing of it, and nothing is taken without one.
    accepted, said = verified(tmp_path, old, crl(authority=RENEWED))
    assert not accepted
    assert "unable to get certificate CRL" in said


# ---- The intermediate before ------------------------------------------------------------------------------


def test_intermediate_before_is_kept_until_what_it_signed_is_past() -> None:
    material = MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW)
    begin = RENEWED.not_before

    last = CertificateAuthority.load(material, TRUST_DOMAIN, begin + RETIRED_FOR - timedelta(seconds=1))
    assert last.previous is not None
    assert last.previous.intermediate == AUTHORITY.intermediate
    assert last.previous.previous is None
    assert CertificateAuthority.load(material, TRUST_DOMAIN, begin + RETIRED_FOR).previous is None
    assert not material.without_previous().has_previous
    assert material.without_previous().intermediate_key == material.intermediate_key


def test_intermediate_before_that_is_another_authoritys_is_refused() -> None:
    material = MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW)
    foreign = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
    forged = replace(
        material,
        previous_certificate=foreign.intermediate_certificate,
        previous_key=foreign.intermediate_key,
    )

    with pytest.raises(CertificateAuthorityError, match="previous intermediate certificate is not signed by"):
        CertificateAuthority.load(forged, TRUST_DOMAIN, NOW)


# ---- Its bounds -------------------------------------------------------------------------------------------


def test_as_many_as_are_published_fit_into_a_config_map() -> None:
    # As long as a serial number can be, and of a time that takes the longer form.
    late = datetime(2050, 1, 1, tzinfo=UTC)
    entries = [
        RevokedEntry(f"{2**158 + number:x}", late, late, ReasonFlags.key_compromise)
        for number in range(MAX_ENTRIES_IN_CLUSTER)
    ]

    assert len(crl(*entries)) < 900 * 1024


def test_crl_of_ten_thousand_is_read_as_it_was_made(tmp_path: Path) -> None:
    ended = issue()
    entries = [*(entry() for _ in range(9_999)), entry(ended.serial)]
    der = crl(*entries)

    assert verified(tmp_path, ended, der)[0] is False
    assert [each.serial for each in read_crl(der, AUTHORITY, longest_life=DAY).entries] == [
        each.serial for each in entries
    ]


@pytest.mark.parametrize("number", [0, -1, MAX_NUMBER + 1])
def test_no_crl_has_a_number_that_none_can_have(number: int) -> None:
    with pytest.raises(RevocationListError, match="number"):
        crl(number=number)


def test_crl_that_is_past_when_it_is_made_is_not_made() -> None:
    with pytest.raises(RevocationListError, match="replaced"):
        build_crl(AUTHORITY, (), number=1, now=NOW, next_update=NOW - DAY)
    with pytest.raises(InvalidTimeError):
        build_crl(AUTHORITY, (), number=1, now=datetime(2026, 1, 1), next_update=NOW)  # noqa: DTZ001


def test_crl_does_not_tell_of_a_time_before_its_issuer() -> None:
    made = x509.load_der_x509_crl(crl())

    assert made.last_update_utc == this_update_at(AUTHORITY, NOW) >= AUTHORITY.not_before
    assert this_update_at(AUTHORITY, NOW + DAY) < NOW + DAY


# ---- Reading one ------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.integers(min_value=1, max_value=2**159 - 1),
        st.sampled_from([each for each in ReasonFlags if each is not ReasonFlags.remove_from_crl]),
        max_size=20,
    ),
    st.integers(min_value=1, max_value=MAX_NUMBER),
)
def test_what_is_read_is_what_was_revoked(reasons: dict[int, ReasonFlags], number: int) -> None:
    entries = [entry(serial_hex(serial), reason) for serial, reason in reasons.items()]

    read = read_crl(crl(*entries, number=number), AUTHORITY, longest_life=DAY)
    assert read.number == number
    at = NOW.replace(microsecond=0)
    assert read.entries == tuple(replace(each, revoked_at=at, not_after=at + DAY) for each in entries)


def test_crl_of_another_is_not_read() -> None:
    with pytest.raises(RevocationListError, match="not signed by this authority"):
        read_crl(crl(entry(), authority=IMPOSTOR), AUTHORITY, longest_life=DAY)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=400))
def test_bytes_that_are_no_crl_are_refused(noise: bytes, place: int) -> None:
    der = crl(entry())
    for broken in (noise, der[:place], der[:place] + noise + der[place + len(noise) :]):
        if broken == der:
            continue
        with pytest.raises(RevocationListError):
            read_crl(broken, AUTHORITY, longest_life=DAY)


# ---- Where a certificate says that it is ------------------------------------------------------------------


def test_certificate_says_where_its_crl_is_and_another_issuers_is_elsewhere() -> None:
    for authority in (AUTHORITY, RENEWED):
        svid = issue(authority, "http://crl.example.com/agentid")
        leaf = x509.load_pem_x509_certificates(svid.certificate_chain_pem)[0]
        (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert point.full_name == [
            x509.UniformResourceIdentifier(f"http://crl.example.com/agentid/{crl_file_name(authority)}")
        ]
        of_issuer = authority.intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert crl_file_name(authority) == f"{of_issuer.value.digest.hex()}.crl"
    assert crl_file_name(AUTHORITY) != crl_file_name(RENEWED)


def test_certificate_says_nothing_of_a_crl_where_no_url_is_set() -> None:
    leaf = x509.load_pem_x509_certificates(issue().certificate_chain_pem)[0]
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints)


def test_openssl_takes_a_certificate_that_says_where_its_crl_is(tmp_path: Path) -> None:
    svid = issue(crl_url="https://[fd00::1]:8443/a-b/c_d~e.f")
    assert verified(tmp_path, svid, crl()) == (True, "chain.pem: OK\n")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("http://crl.example.com", "http://crl.example.com"),
        ("http://crl.example.com/", "http://crl.example.com"),
        ("https://10.0.0.7:8443/crl/agentid/", "https://10.0.0.7:8443/crl/agentid"),
    ],
)
def test_url_of_crls_is_taken_without_a_slash_at_its_end(given_: str, expected: str) -> None:
    assert checked_crl_url(given_) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "crl.example.com", "ldap://crl.example.com/a", "http://", "http:///a", "file:///etc/passwd"),
        *("http://a:b@crl.example.com/", "http://crl.example.com/?a=b", "http://crl.example.com/#a"),
        *("http://crl.example.com/a//b", "http://crl.example.com/../a", "http://crl.example.com/a b"),
        *(
            "http://crl.example.com/%2e",
            "http://crl.example.com/a\n",
            " http://crl.example.com",
            "http://ex\u00e4mple/",
        ),
        *("http://crl.example.com:99999/", "HTTP://crl.example.com/", f"http://crl.example.com/{'a' * 300}"),
        *("http://crl.example.com/a?", "http://crl.example.com/a#", "http://-crl.example.com"),
    ],
)
def test_url_that_is_none_of_a_crl_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|must|has)"):
        checked_crl_url(url)


@given(st.text(max_size=60))
def test_every_text_is_a_url_of_crls_or_refused(text: str) -> None:
    for each in (text, f"http://crl.example.com/{text}"):
        try:
            url = checked_crl_url(each)
        except ValueError:
            continue
        assert checked_crl_url(url) == url
        assert url.isascii()
