import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import InvalidSpiffeIdError
from agentid.pki.files import empty_files, secret_files
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TRUST_DOMAIN = TrustDomain("cluster.example.org")


def is_secret_key(name: str) -> bool:
    """Kubernetes' IsConfigMapKey: what may be a key of a Secret or ConfigMap."""
    return (
        re.fullmatch(r"[-._a-zA-Z0-9]+", name) is not None
        and len(name) <= 253
        and name != "."
        and not name.startswith("..")
    )


@pytest.fixture(scope="module")
def svid() -> X509Svid:
    material = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
    return issue_x509_svid(
        CertificateAuthority.load(material, TRUST_DOMAIN, NOW),
        SpiffeId.parse("spiffe://cluster.example.org/ns/a/agent/b"),
        now=NOW,
        ttl=timedelta(minutes=5),
        not_after_limit=NOW + timedelta(hours=1),
    )


def test_a_workload_finds_both_the_spiffe_names_and_those_of_tls_software(svid: X509Svid) -> None:
    assert set(secret_files(svid)) == {
        "tls.crt",
        "tls.key",
        "ca.crt",
        "credential-bundle.private-key.pem",
        "cluster.example.org.spiffe-trust-bundle.pem",
    }


def test_key_and_chain_belong_together_in_each_pair_of_files(svid: X509Svid) -> None:
    files = secret_files(svid)
    for key_file, chain_file in [
        ("tls.key", "tls.crt"),
        ("credential-bundle.private-key.pem", "credential-bundle.private-key.pem"),
    ]:
        key = load_pem_private_key(files[key_file], password=None)
        leaf, _ = x509.load_pem_x509_certificates(files[chain_file])
        assert key.public_key() == leaf.public_key()


def test_the_credential_bundle_is_one_pkcs8_key_then_the_chain_without_its_root(svid: X509Svid) -> None:
    content = secret_files(svid)["credential-bundle.private-key.pem"]
    blocks = re.findall(rb"-----BEGIN ([A-Z ]+)-----", content)
    assert blocks == [b"PRIVATE KEY", b"CERTIFICATE", b"CERTIFICATE"]
    (root,) = x509.load_pem_x509_certificates(svid.bundle_pem)
    assert root not in x509.load_pem_x509_certificates(content)


def test_the_bundle_is_the_root_alone_under_both_names(svid: X509Svid) -> None:
    files = secret_files(svid)
    assert files["ca.crt"] == files["cluster.example.org.spiffe-trust-bundle.pem"]
    (root,) = x509.load_pem_x509_certificates(files["ca.crt"])
    assert root.subject == root.issuer
    assert files["ca.crt"].count(b"-----BEGIN") == 1


def test_only_the_two_key_files_hold_a_private_key(svid: X509Svid) -> None:
    holding = {name for name, content in secret_files(svid).items() if b"PRIVATE KEY" in content}
    assert holding == {"tls.key", "credential-bundle.private-key.pem"}


def test_a_wiped_secret_has_the_same_names_with_nothing_in_them(svid: X509Svid) -> None:
    assert empty_files(TRUST_DOMAIN) == dict.fromkeys(secret_files(svid), b"")


@given(st.text("abz09._-", min_size=1, max_size=255))
def test_a_trust_domain_is_served_exactly_when_its_file_names_can_be_keys_of_a_secret(name: str) -> None:
    if is_secret_key(f"{name}.spiffe-trust-bundle.pem"):
        assert all(is_secret_key(file) for file in empty_files(TrustDomain(name)))
    else:
        with pytest.raises(InvalidSpiffeIdError):
            empty_files(TrustDomain(name))


def test_the_longest_trust_domain_that_can_be_served_has_229_bytes() -> None:
    assert max(map(len, empty_files(TrustDomain("a" * 229)))) == 253
    with pytest.raises(
        InvalidSpiffeIdError, match="has 230 bytes; a trust domain served by agentid has at most 229"
    ):
        empty_files(TrustDomain("a" * 230))


@pytest.mark.parametrize("name", [".", "..", "..example.org"])
def test_a_trust_domain_whose_file_would_begin_with_two_dots_is_not_served(name: str) -> None:
    with pytest.raises(InvalidSpiffeIdError, match=r"would begin with '\.\.'"):
        empty_files(TrustDomain(name))
