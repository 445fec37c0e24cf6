"""What the decision point serves to everybody, and how it takes new certificates while it runs."""

import asyncio
import hashlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import uvloop
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.authzen import METADATA
from agentid.gate.grpc_server import GrpcServer
from agentid.gate.http_server import HttpServer
from agentid.gate.published_crl import PKIX_CRL, Document, crl_in
from agentid.gate.serving_documents import Documents
from agentid.gate.tls import TlsFiles, renew
from tests.unit.gate_cases import Gate
from tests.unit.gate_certificates import Certificates
from tests.unit.test_gate_servers import ENVOY, MAPPER, POINTS, SOURCES, called, check

MADE = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CONTENT = b"\x30\x82crl"
TAG = hashlib.sha256(CONTENT).hexdigest()
WITHIN_SECONDS = 20


class Published:
    """CRLs by issuer; the first is that of the authority that signs."""

    def __init__(self, crls: Sequence[tuple[str, Document]]) -> None:
        self.crls = dict(crls)

    def crl(self, issuer: str | None = None) -> Document | None:
        return next(iter(self.crls.values()), None) if issuer is None else self.crls.get(issuer)


CRL = Document(CONTENT, PKIX_CRL, TAG, MADE)
OLD = Document(b"old", PKIX_CRL, "t", None)


@asynccontextmanager
async def serving(documents: Documents) -> AsyncIterator[str]:
    server = HttpServer(Gate().ask, POINTS, None, MAPPER, SOURCES, base_url="", documents=documents)
    port = await server.start("127.0.0.1", 0, None)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


async def get(
    url: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, "aiohttp.typedefs.CIMultiDictProxy[str]"]:
    sent = {name.replace("_", "-"): each for name, each in headers.items()}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=sent) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_whoever_asks_gets_the_crl_without_showing_who_it_is() -> None:
    async with serving(Published([("aa", CRL), ("bb", OLD)])) as url:
        status, content, headers = await get(f"{url}/crl.der")
        assert (status, content) == (200, CONTENT)
        assert headers["Content-Type"] == "application/pkix-crl"
        assert headers["Cache-Control"] == "public, max-age=2, must-revalidate"
        assert headers["ETag"] == f'"{TAG}"'
        assert headers["Last-Modified"] == "Mon, 23 Nov 2026 12:00:00 GMT"
        assert (await get(f"{url}/crl.der", "HEAD"))[:2] == (200, b"")
        assert (await get(f"{url}/crl/aa.crl"))[1] == CONTENT
        assert (await get(f"{url}/crl/bb.crl"))[1] == b"old"
        for path in ("/crl/cc.crl", "/crl", "/crl/aa", "/crl/../crl.der/x"):
            assert (await get(url + path))[0] == 404
        assert (await get(f"{url}/crl.der", "POST"))[0] == 405


async def test_a_cache_that_has_it_is_told_so() -> None:
    async with serving(Published([("aa", CRL)])) as url:
        for tag in (f'"{TAG}"', f'"x", W/"{TAG}"', "*"):
            status, content, headers = await get(f"{url}/crl.der", If_None_Match=tag)
            assert (status, content, headers["ETag"]) == (304, b"", f'"{TAG}"')
        assert (await get(f"{url}/crl.der", If_None_Match='"other"'))[0] == 200


async def test_where_there_is_no_crl_it_is_not_found() -> None:
    async with serving(Published([])) as url:
        assert (await get(f"{url}/crl.der"))[0] == 404


def config_map(content: bytes, **data: str) -> dict[str, Any]:
    return {"data": data, "binaryData": {"crl.der": b64encode(content).decode()}}


def test_a_crl_is_read_from_the_config_map_that_the_operator_writes() -> None:
    found = crl_in(config_map(CONTENT, issuer="aa", thisUpdate="2026-11-23T12:00:00Z"))
    assert found is not None
    assert (found.issuer, found.document) == ("aa", CRL)


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["data", "binaryData", "metadata"]), bodies))
def test_what_holds_no_crl_is_none(body: dict[str, Any]) -> None:
    assert crl_in(body) is None
    assert crl_in(body | {"binaryData": {"crl.der": "%%%"}}) is None


class Tls:
    """The files of a server, as somebody mounts them anew."""

    def __init__(self, folder: Path, *, with_trust: bool = True) -> None:
        self.folder = folder
        self.files = TlsFiles(
            folder / "tls.crt", folder / "tls.key", folder / "ca.crt" if with_trust else None
        )
        self.put(Certificates())

    def put(self, certificates: Certificates, trusted: str | None = None) -> x509.Certificate:
        """Write another certificate; of whom client certificates are taken, `trusted` says."""
        self.certificates = certificates
        chain, key = certificates.pem("spiffe://prod.example.com/ns/agentid/sa/gate")
        (self.folder / "tls.crt").write_bytes(chain)
        (self.folder / "tls.key").write_bytes(key)
        (self.folder / "ca.crt").write_text(trusted or certificates.root)
        self.now = x509.load_pem_x509_certificate(chain)
        return self.now


@asynccontextmanager
async def renewing(tls: Tls) -> AsyncIterator[int]:
    server = HttpServer(Gate().ask, POINTS, None, MAPPER, SOURCES, base_url="")
    version = tls.files.version()
    port = await server.start("127.0.0.1", 0, tls.files.context())
    running = asyncio.create_task(renew(tls.files, version, server.serve_anew, look_seconds=0.02))
    try:
        yield port
        assert not running.done()
    finally:
        running.cancel()
        await server.stop()


async def shown(port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def until_shown(port: int, serial: int) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while await shown_soon(port) != serial:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.01)


async def shown_soon(port: int) -> int | None:
    """The same; None where asyncio's own loop has dropped it, as it does while a server closes."""
    try:
        async with asyncio.timeout(1):
            return await shown(port)
    except TimeoutError:
        return None


def test_a_new_certificate_is_served_without_a_restart_and_nobody_is_turned_away(tmp_path: Path) -> None:
    # On the loop that the decision point has; asyncio's own drops what is accepted while a server closes.
    uvloop.run(renewed_while_asked(Tls(tmp_path)))


async def renewed_while_asked(tls: Tls) -> None:
    failed: list[OSError] = []
    asked = 0

    async def keep_asking(port: int) -> None:
        nonlocal asked
        while True:
            try:
                await shown(port)
                asked += 1
            except OSError as error:
                failed.append(error)

    async with renewing(tls) as port:
        asking = asyncio.create_task(keep_asking(port))
        for number in range(1, 6):
            await until_shown(port, tls.put(Certificates()).serial_number)
            async with asyncio.timeout(WITHIN_SECONDS):
                while asked < 5 * number:  # noqa: ASYNC110 - what is counted tells nobody
                    await asyncio.sleep(0)
        asking.cancel()
    assert not failed


async def test_who_is_connected_stays_so(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    async with renewing(tls) as port, aiohttp.ClientSession() as session:
        first = ssl.create_default_context(cadata=tls.certificates.root)
        url = f"https://localhost:{port}{METADATA}"
        async with session.get(url, ssl=first) as answer:
            assert answer.status == 200
        await until_shown(port, tls.put(Certificates()).serial_number)
        # A new connection would be shown a certificate that this client does not trust.
        async with session.get(url, ssl=first) as answer:
            assert answer.status == 200


async def test_a_client_ca_that_is_gone_is_trusted_no_more(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    mine = tls.certificates

    async def status(port: int) -> int:
        context = ssl.create_default_context(cadata=mine.root)
        context.load_cert_chain(mine.write(tmp_path, ENVOY))
        url = f"https://localhost:{port}/ext-authz/orders/4711"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
            return answer.status

    async with renewing(tls) as port:
        # Known, and denied for what it tells of the caller.
        assert await status(port) == 403
        await until_shown(port, tls.put(mine, trusted=Certificates().root).serial_number)
        with pytest.raises(aiohttp.ClientError):
            await status(port)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "tls.key").unlink(),
        lambda folder: (folder / "tls.crt").write_text("no certificate"),
        lambda folder: (folder / "tls.key").write_bytes(Certificates().pem("spiffe://a/b")[1]),
        lambda folder: (folder / "ca.crt").write_text(""),
    ],
)
async def test_what_cannot_be_served_with_is_not_and_the_last_goes_on(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    tls = Tls(tmp_path)
    async with renewing(tls) as port:
        before = tls.now.serial_number
        spoil(tmp_path)
        for _ in range(5):
            assert await shown(port) == before
            await asyncio.sleep(0.02)
        await until_shown(port, tls.put(Certificates()).serial_number)


async def test_grpc_shows_a_new_certificate_too(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    server = GrpcServer(Gate().ask, POINTS, None, MAPPER, SOURCES, message_bytes=20_000, calls_at_once=8)
    port = await server.start("127.0.0.1", 0, tls.files.credentials())
    for _ in range(2):
        mine = tls.certificates
        chain, key = mine.pem(ENVOY)
        credentials = grpc.ssl_channel_credentials(mine.root.encode(), key, chain)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
            assert (await called(channel, check())).status.code == 0
        tls.put(Certificates())
        # Whom the former root vouches for is nobody now.
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await called(channel, check())
    await server.stop()
