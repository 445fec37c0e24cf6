"""What others make of an X.509-SVID: OpenSSL, cryptography's verifier and TLS, none of it agentid's code."""

import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.files import secret_files
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

NOW = datetime.now(UTC)  # TLS stacks ask the machine's clock
TTL = timedelta(minutes=30)
TRUST_DOMAIN = TrustDomain("cluster.example.org")
MATERIAL = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
AUTHORITY = CertificateAuthority.load(MATERIAL, TRUST_DOMAIN, NOW)
# The same trust domain's name, but not its authority.
IMPOSTOR = CertificateAuthority.load(AuthorityMaterial.create(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
CLIENT_ID = SpiffeId.for_task(TRUST_DOMAIN, "support", "caller", "6f0b4f6e-30c5-4a55-9d3c-1f6f7f9c2b11")
SERVER_ID = SpiffeId.for_task(TRUST_DOMAIN, "support", "callee", "0d1c2b3a-30c5-4a55-9d3c-1f6f7f9c2b22")


def issue(spiffe_id: SpiffeId = CLIENT_ID, authority: CertificateAuthority = AUTHORITY) -> X509Svid:
    return issue_x509_svid(authority, spiffe_id, now=NOW, ttl=TTL, not_after_limit=NOW + TTL)


def signed_by_leaf(svid: X509Svid) -> tuple[bytes, bytes]:
    """Return chain and key of an identity that the holder of `svid` made for somebody else with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = load_pem_private_key(svid.private_key_pem, password=None)
    assert isinstance(leaf_key, ec.EllipticCurvePrivateKey)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callee")]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(svid.not_before)
        .not_valid_after(svid.not_after)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(SERVER_ID))]), critical=True
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(leaf_key.public_key()), critical=False
        )
        .sign(leaf_key, hashes.SHA256())
    )
    return forged.public_bytes(serialization.Encoding.PEM) + svid.certificate_chain_pem, key_pem(key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# ---- OpenSSL ----------------------------------------------------------------------------------------------


def openssl_verify(
    folder: Path, purpose: str, chain: bytes, bundle: bytes, at: datetime = NOW, *, strict: bool = True
) -> subprocess.CompletedProcess[str]:
    (folder / "chain.pem").write_bytes(chain)
    (folder / "bundle.pem").write_bytes(bundle)
    command = ["openssl", "verify", "-check_ss_sig", "-purpose", purpose]
    command += ["-x509_strict"] if strict else []
    command += ["-no-CApath", "-CAfile", "bundle.pem", "-attime", str(int(at.timestamp()))]
    command += ["-untrusted", "chain.pem", "chain.pem"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_accepts_it_at_both_ends(tmp_path: Path, purpose: str) -> None:
    svid = issue()
    verified = openssl_verify(tmp_path, purpose, svid.certificate_chain_pem, svid.bundle_pem)
    assert (verified.returncode, verified.stdout) == (0, "chain.pem: OK\n"), verified.stderr


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
@pytest.mark.parametrize("part", ["intermediate_certificate", "root_certificate"])
def test_openssl_lets_no_signing_certificate_authenticate(tmp_path: Path, purpose: str, part: str) -> None:
    verified = openssl_verify(tmp_path, purpose, getattr(MATERIAL, part), AUTHORITY.bundle_pem)
    assert verified.returncode != 0
    assert "unsuitable certificate purpose" in verified.stderr


def test_openssl_refuses_it_outside_its_time(tmp_path: Path) -> None:
    svid = issue()
    second = timedelta(seconds=1)
    for at, message in [
        (svid.not_before - second, "not yet valid"),
        (svid.not_after + second, "certificate has expired"),
    ]:
        verified = openssl_verify(tmp_path, "sslclient", svid.certificate_chain_pem, svid.bundle_pem, at)
        assert verified.returncode != 0
        assert message in verified.stderr


def test_openssl_refuses_another_authority_with_the_same_trust_domain_name(tmp_path: Path) -> None:
    verified = openssl_verify(tmp_path, "sslclient", issue().certificate_chain_pem, IMPOSTOR.bundle_pem)
    assert verified.returncode != 0
    assert "unable to get local issuer certificate" in verified.stderr


def test_openssl_lets_a_leaf_sign_for_nobody(tmp_path: Path) -> None:
    chain, _ = signed_by_leaf(issue())
    # Not strict: the empty issuer would be reason enough then, and this is about the leaf being no authority.
    verified = openssl_verify(tmp_path, "sslclient", chain, AUTHORITY.bundle_pem, strict=False)
    assert verified.returncode != 0
    assert "error 79 at 1 depth lookup: invalid CA certificate" in verified.stderr


def test_openssl_reads_every_file_of_the_secret(tmp_path: Path) -> None:
    svid = issue()
    for name, content in secret_files(svid).items():
        (tmp_path / name).write_bytes(content)
        tool = "pkey" if name == "tls.key" else "x509"
        read = subprocess.run(
            ["openssl", tool, "-in", name, "-noout"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert read.returncode == 0, f"{name}: {read.stderr}"
    serial = subprocess.run(
        ["openssl", "x509", "-in", "tls.crt", "-noout", "-serial"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert serial.stdout == f"serial={svid.serial.upper()}\n"


# ---- cryptography's verifier ------------------------------------------------------------------------------


def verified_names(chain: bytes, bundle: bytes, at: datetime = NOW) -> list[str]:
    leaf, *others = x509.load_pem_x509_certificates(chain)
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(at).build_client_verifier()
    subjects = verifier.verify(leaf, others).subjects
    assert subjects is not None
    return [name.value for name in subjects]


def test_cryptography_accepts_it_and_sees_one_name() -> None:
    svid = issue()
    assert verified_names(svid.certificate_chain_pem, svid.bundle_pem) == [str(CLIENT_ID)]


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param(MATERIAL.intermediate_certificate, id="signing certificate as an identity"),
        pytest.param(signed_by_leaf(issue())[0], id="identity made with a leaf's key"),
        pytest.param(issue(authority=IMPOSTOR).certificate_chain_pem, id="another authority"),
        pytest.param(
            issue().certificate_chain_pem.partition(b"-----END")[0] + b"-----END CERTIFICATE-----\n",
            id="no intermediate",
        ),
    ],
)
def test_cryptography_refuses_what_the_intermediate_did_not_sign_for_a_workload(chain: bytes) -> None:
    with pytest.raises(VerificationError):
        verified_names(chain, AUTHORITY.bundle_pem)


def test_cryptography_refuses_it_outside_its_time() -> None:
    svid = issue()
    for at in (svid.not_before - timedelta(seconds=1), svid.not_after + timedelta(seconds=1)):
        with pytest.raises(VerificationError, match="cert is not valid at validation time"):
            verified_names(svid.certificate_chain_pem, svid.bundle_pem, at)


# ---- TLS --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Whom each end of a handshake saw."""

    by_server: str
    by_client: str


def context(folder: Path, purpose: ssl.Purpose, svid: X509Svid) -> ssl.SSLContext:
    """Return a TLS context from nothing but the files a pod finds in its volume."""
    folder.mkdir()
    for name, content in secret_files(svid).items():
        (folder / name).write_bytes(content)
    made = ssl.create_default_context(purpose, cafile=folder / "ca.crt")
    made.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    made.check_hostname = False  # a SPIFFE ID is no host name; the name is looked at below
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return made


def peer_of(connection: ssl.SSLSocket) -> str:
    certificate = connection.getpeercert()
    assert certificate
    match certificate["subjectAltName"]:
        case (("URI", str(name)),):
            return str(SpiffeId.parse(name))
        case names:
            pytest.fail(f"not exactly one URI: {names}")


def serve_once(listener: socket.socket, server: ssl.SSLContext) -> str:
    accepted, _ = listener.accept()
    accepted.settimeout(10)
    with accepted, server.wrap_socket(accepted, server_side=True) as connection:
        peer = peer_of(connection)
        connection.sendall(b"hello")
        return peer


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> Seen:
    """Shake hands over loopback; what one end refuses is raised, the server's reason first."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        served = pool.submit(serve_once, listener, server)
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as raw,
                client.wrap_socket(raw) as connection,
            ):
                by_client = peer_of(connection)
                # With TLS 1.3 a client learns only here whether the server accepted it.
                assert connection.recv(5) == b"hello"
        except OSError:
            served.result(timeout=10)
            raise
        return Seen(by_server=served.result(timeout=10), by_client=by_client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_two_workloads_shake_hands_and_each_sees_the_others_task(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, issue(CLIENT_ID))
    client.minimum_version = client.maximum_version = version
    assert handshake(server, client) == Seen(by_server=str(CLIENT_ID), by_client=str(SERVER_ID))


def test_an_identity_from_another_authority_is_refused_by_both_ends(tmp_path: Path) -> None:
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, issue(CLIENT_ID))
    forged = issue(authority=IMPOSTOR)
    forged_server = context(tmp_path / "forged-server", ssl.Purpose.CLIENT_AUTH, forged)
    forged_client = context(tmp_path / "forged-client", ssl.Purpose.SERVER_AUTH, forged)
    for forger in (forged_server, forged_client):
        forger.load_verify_locations(tmp_path / "server" / "ca.crt")  # the forger trusts the real one
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, forged_client)
    with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_VERIFY_FAILED|ALERT_UNKNOWN_CA"):
        handshake(forged_server, client)


def test_a_signing_certificate_is_refused_as_a_client(tmp_path: Path) -> None:
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, issue(CLIENT_ID))
    (tmp_path / "ca.pem").write_bytes(MATERIAL.intermediate_certificate + MATERIAL.intermediate_key)
    client.load_cert_chain(tmp_path / "ca.pem")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client)


def test_an_identity_made_with_a_leafs_key_is_refused_as_a_client(tmp_path: Path) -> None:
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, issue(CLIENT_ID))
    chain, key = signed_by_leaf(issue(CLIENT_ID))
    (tmp_path / "forged.pem").write_bytes(chain + key)
    client.load_cert_chain(tmp_path / "forged.pem")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client)


def test_a_client_without_a_certificate_is_refused(tmp_path: Path) -> None:
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = ssl.create_default_context(cafile=tmp_path / "server" / "ca.crt")
    client.check_hostname = False
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server, client)


def test_an_expired_identity_is_refused_as_a_client(tmp_path: Path) -> None:
    past = NOW - timedelta(days=1)
    material = AuthorityMaterial.create(TRUST_DOMAIN, past)
    authority = CertificateAuthority.load(material, TRUST_DOMAIN, NOW)
    old = issue_x509_svid(authority, CLIENT_ID, now=past, ttl=TTL, not_after_limit=past + TTL)
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID, authority))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, old)
    with pytest.raises(ssl.SSLError, match="certificate has expired"):
        handshake(server, client)


def test_a_renewed_intermediate_needs_no_new_bundle_at_the_peer(tmp_path: Path) -> None:
    renewed = CertificateAuthority.load(MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, issue(SERVER_ID))
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, issue(CLIENT_ID, renewed))
    assert handshake(server, client).by_server == str(CLIENT_ID)
