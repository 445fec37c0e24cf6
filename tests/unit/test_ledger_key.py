"""The ledger's key: read only as what it is, never shown, and what it signed checks under OpenSSL."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.errors import InvalidKeyError
from agentid.ledger.key import LedgerKey, LedgerPublicKey

KEY = LedgerKey.create()
OTHER = LedgerKey.create()
_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
_INFO = serialization.PublicFormat.SubjectPublicKeyInfo


def private_pem(key: object, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(_PEM, _PKCS8, encryption)  # type: ignore[attr-defined]


def test_a_key_is_read_back() -> None:
    again = LedgerKey.from_pem(KEY.to_pem())

    assert again == KEY
    assert again != OTHER
    assert again.sign(b"x") == KEY.sign(b"x")
    assert LedgerPublicKey.from_pem(KEY.public.pem) == KEY.public
    assert LedgerPublicKey.from_pem(KEY.public.pem.encode()) == KEY.public


@given(st.binary(max_size=100), st.data())
def test_only_its_own_signature_over_just_that_is_good(data: bytes, draw: st.DataObject) -> None:
    signature = KEY.sign(data)
    bit = draw.draw(st.integers(0, 511))
    bent = (int.from_bytes(signature) ^ 1 << bit).to_bytes(64)

    assert KEY.public.verify(signature, data)
    assert not KEY.public.verify(bent, data)
    assert not KEY.public.verify(signature, data + b"!")
    assert not KEY.public.verify(signature[:-1], data)
    assert not OTHER.public.verify(signature, data)


def test_neither_key_is_shown() -> None:
    shown = repr(KEY) + str(KEY) + repr(KEY.public)

    assert KEY.key_id in shown
    assert "PRIVATE" not in shown
    secret = KEY.to_pem().splitlines()[1].decode()
    assert secret not in shown


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"\xff\x00",
        KEY.public.pem.encode(),
        private_pem(ed25519.Ed25519PrivateKey.generate(), b"secret"),
    ],
)
def test_what_is_no_key_is_refused_without_a_word_of_it(pem: bytes) -> None:
    with pytest.raises(InvalidKeyError, match="no unencrypted PEM of a private key") as refused:
        LedgerKey.from_pem(pem)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
    ],
    ids=["P-256", "Ed448", "X25519"],
)
def test_a_key_of_another_kind_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(InvalidKeyError, match="not of Ed25519"):
        LedgerKey.from_pem(private_pem(key))
    with pytest.raises(InvalidKeyError, match="not of Ed25519"):
        LedgerPublicKey.from_pem(key.public_key().public_bytes(_PEM, _INFO))


@pytest.mark.parametrize(
    "pem", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "ä\ud800"]
)
def test_what_is_no_public_key_is_refused(pem: str) -> None:
    with pytest.raises(InvalidKeyError, match="no PEM of a public key"):
        LedgerPublicKey.from_pem(pem)


def test_openssl_finds_its_signature_good_and_its_key_id_the_same(tmp_path: Path) -> None:
    for name, content in {
        "key.pem": KEY.public.pem.encode(),
        "header": b"the header",
        "signature": KEY.sign(b"the header"),
    }.items():
        (tmp_path / name).write_bytes(content)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "header"]
    der = ["openssl", "pkey", "-pubin", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]

    said = subprocess.run(
        [*verify, "-sigfile", "signature"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    subprocess.run(der, cwd=tmp_path, check=True)
    hashed = subprocess.run(
        ["sha256sum", "key.der"], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert "Verified Successfully" in said.stdout
    assert KEY.key_id == f"sha256:{hashed.stdout.split()[0]}"
