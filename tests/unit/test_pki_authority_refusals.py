"""Material that is not quite an authority is refused, whatever is wrong with it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.errors import (
    CertificateAuthorityError,
    IntermediateExpiredError,
)
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.pki_authorities import (
    CA_USAGE,
    MATERIAL,
    NOW,
    OTHER,
    TRUST_DOMAIN,
    certificate,
    key_usage,
    load,
)


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def key_pem(key: Any, password: bytes | None = None) -> bytes:  # noqa: ANN401  any kind of key
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    encoded: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return encoded


WEAKER_USAGE = key_usage(digital_signature=True)


def intermediate(
    *,
    path_length: int | None = 0,
    ca: bool = True,
    constraints_critical: bool = True,
    usage: x509.KeyUsage | None = CA_USAGE,
    usage_critical: bool = True,
    names: list[x509.GeneralName] | None = None,
    key: Any = None,  # noqa: ANN401  any kind of key
    key_id: bytes | None = None,
    issuer_id: bytes | None = None,
    no_issuer_id: bool = False,
    subject: x509.Name | None = None,
    signer: AuthorityMaterial = MATERIAL,
    signature_hash: Any = None,  # noqa: ANN401  any hash
    not_before: datetime = NOW,
    not_after: datetime = NOW + timedelta(days=1),
    extra: x509.ExtensionType | None = None,
) -> AuthorityMaterial:
    """Return MATERIAL with an intermediate that is right but for what is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    if names is None:
        names = [x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}")]
    if subject is None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate")])
    signer_key = private_key(signer.root_key)
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key())
    if key_id:
        own_id = x509.SubjectKeyIdentifier(key_id)
    if issuer_id:
        signer_id = x509.AuthorityKeyIdentifier(issuer_id, None, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(certificate(signer.root_certificate).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(
            x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), constraints_critical
        )
        .add_extension(own_id, critical=False)
    )
    if usage:
        builder = builder.add_extension(usage, usage_critical)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not no_issuer_id:
        builder = builder.add_extension(signer_id, critical=False)
    if extra:
        builder = builder.add_extension(extra, critical=True)
    made = builder.sign(signer_key, signature_hash or hashes.SHA256())
    return replace(
        MATERIAL,
        intermediate_certificate=made.public_bytes(serialization.Encoding.PEM),
        intermediate_key=key_pem(key),
    )


def test_the_material_for_the_refusals_below_would_load_if_nothing_were_wrong() -> None:
    assert load(intermediate()).not_after == NOW + timedelta(days=1)


P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
URI = x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("material", "message"),
    [
        (replace(MATERIAL, root_certificate=b""), "the root certificate is not readable PEM"),
        (replace(MATERIAL, root_certificate=b"\xff\0"), "the root certificate is not readable PEM"),
        (
            replace(MATERIAL, root_certificate=MATERIAL.root_certificate + OTHER.root_certificate),
            "the root certificate must be one certificate, found 2",
        ),
        (
            replace(MATERIAL, root_certificate=MATERIAL.root_certificate.replace(b"M", b"!", 1)),
            "the root certificate is not readable PEM",
        ),
        (replace(MATERIAL, root_key=b""), "the root key is not readable unencrypted PEM"),
        (
            replace(MATERIAL, root_key=MATERIAL.root_certificate),
            "the root key is not readable unencrypted PEM",
        ),
        (
            replace(MATERIAL, root_key=key_pem(private_key(MATERIAL.root_key), b"secret")),
            "the root key is not readable unencrypted PEM",
        ),
        (replace(MATERIAL, root_key=key_pem(P384)), "the root key is not an ECDSA key on P-256"),
        (replace(MATERIAL, root_key=key_pem(RSA)), "the root key is not an ECDSA key on P-256"),
        (
            replace(MATERIAL, root_key=OTHER.root_key),
            "the root key does not belong to the root certificate",
        ),
        (
            replace(MATERIAL, intermediate_key=MATERIAL.root_key),
            "the intermediate key does not belong to the intermediate certificate",
        ),
        (
            replace(MATERIAL, root_certificate=OTHER.root_certificate, root_key=OTHER.root_key),
            "the intermediate certificate is not signed by the root's key",
        ),
        (
            replace(
                MATERIAL,
                root_certificate=MATERIAL.intermediate_certificate,
                root_key=MATERIAL.intermediate_key,
            ),
            "the root certificate is not signed by the root's key",
        ),
        (
            replace(
                MATERIAL,
                intermediate_certificate=MATERIAL.root_certificate,
                intermediate_key=MATERIAL.root_key,
            ),
            "the intermediate certificate is not a CA with path length 0",
        ),
        (intermediate(signer=OTHER), "the intermediate certificate is not signed by the root's key"),
        (intermediate(key=P384), "the intermediate certificate is not for an ECDSA key on P-256"),
        (intermediate(key=RSA), "the intermediate certificate is not for an ECDSA key on P-256"),
        (
            intermediate(signature_hash=hashes.SHA384()),
            "the intermediate certificate is not signed with ECDSA and SHA-256",
        ),
        (intermediate(ca=False), "the intermediate certificate is not a CA with path length 0"),
        (intermediate(path_length=1), "the intermediate certificate is not a CA with path length 0"),
        (intermediate(path_length=None), "the intermediate certificate is not a CA with path length 0"),
        (
            intermediate(constraints_critical=False),
            "the intermediate certificate is not a CA with path length 0",
        ),
        (intermediate(usage=None), "the intermediate certificate lacks the extension 2.5.29.15"),
        (intermediate(usage=WEAKER_USAGE), "the intermediate certificate may be used for something other"),
        (intermediate(usage_critical=False), "the intermediate certificate may be used for something other"),
        (intermediate(names=[]), "the intermediate certificate lacks the extension 2.5.29.17"),
        (
            intermediate(names=[URI("spiffe://other.example.org")]),
            "the intermediate certificate is for 'spiffe://other.example.org', not for trust domain cluster",
        ),
        (
            intermediate(names=[URI("spiffe://cluster.example.org/task")]),
            "the intermediate certificate is for 'spiffe://cluster.example.org/task', not for",
        ),
        (
            intermediate(names=[URI("spiffe://cluster.example.org"), URI("spiffe://other.example.org")]),
            "the intermediate certificate is for 'spiffe://cluster.example.org', 'spiffe://other",
        ),
        (
            intermediate(names=[x509.DNSName("spiffe://cluster.example.org")]),
            "the intermediate certificate is for 'spiffe://cluster.example.org', not for",
        ),
        (intermediate(subject=x509.Name([])), "the intermediate certificate has no subject"),
        (intermediate(key_id=b"1" * 20), "the intermediate certificate has a subject key identifier that is"),
        (
            intermediate(issuer_id=b"1" * 20),
            "the intermediate certificate has an authority key identifier that is not the root's",
        ),
        (intermediate(no_issuer_id=True), "the intermediate certificate lacks the extension 2.5.29.35"),
        (
            intermediate(names=[], extra=x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"0?")),
            "the intermediate certificate has extensions that cannot be read",
        ),
        (
            intermediate(
                extra=x509.NameConstraints(permitted_subtrees=[URI(".example.org")], excluded_subtrees=None)
            ),
            "the intermediate certificate has the extension 2.5.29.30, which no signing certificate",
        ),
        (
            intermediate(extra=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
            "the intermediate certificate has the extension 2.5.29.37, which no signing certificate",
        ),
        (
            intermediate(not_after=NOW + timedelta(days=3651)),
            "the intermediate certificate outlives the root certificate",
        ),
        (
            intermediate(not_before=NOW + timedelta(hours=1)),
            "the intermediate certificate holds from 2026-11-22T13:00:00Z on, but the clock says 2026-",
        ),
    ],
)
def test_an_authority_that_is_not_whole_is_refused_with_the_reason(
    material: AuthorityMaterial, message: str
) -> None:
    with pytest.raises(CertificateAuthorityError) as refused:
        load(material)
    assert str(refused.value).startswith(message)
    assert not isinstance(refused.value, IntermediateExpiredError)


def test_an_authority_of_another_trust_domain_is_refused() -> None:
    with pytest.raises(CertificateAuthorityError, match=r"not for trust domain other\.example\.org"):
        CertificateAuthority.load(MATERIAL, TrustDomain("other.example.org"), NOW)


def test_an_error_about_a_key_carries_nothing_that_was_read_from_it() -> None:
    half_a_key = MATERIAL.root_key[:120]
    with pytest.raises(CertificateAuthorityError) as refused:
        load(replace(MATERIAL, root_key=half_a_key))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
