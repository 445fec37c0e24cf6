"""A certificate authority for tests, its likeness with other keys, and how its parts are read back."""

from datetime import UTC, datetime

from cryptography import x509

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.spiffe_id import TrustDomain

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TRUST_DOMAIN = TrustDomain("cluster.example.org")
MATERIAL = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
OTHER = AuthorityMaterial.create(TRUST_DOMAIN, NOW)


def load(material: AuthorityMaterial = MATERIAL, now: datetime = NOW) -> CertificateAuthority:
    return CertificateAuthority.load(material, TRUST_DOMAIN, now)


def certificate(pem: bytes) -> x509.Certificate:
    (only,) = x509.load_pem_x509_certificates(pem)
    return only


def key_usage(*, digital_signature: bool = False) -> x509.KeyUsage:
    """The usage of a key that signs certificates, which must not be for digital signatures."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


CA_USAGE = key_usage()
