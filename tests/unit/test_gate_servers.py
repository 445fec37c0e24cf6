"""The servers of the decision point, over loopback: who may ask, what is asked, and what is too much."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from agentid.cluster.errors import ConnectionLostError
from agentid.gate.answer import Answer
from agentid.gate.authzen import EVALUATION, EVALUATIONS, METADATA
from agentid.gate.enforcement_points import EnforcementPoints, EnforcementPointSpec
from agentid.gate.errors import UnauthenticatedError, UnservableError
from agentid.gate.ext_authz import METHOD
from agentid.gate.grpc_server import GrpcServer
from agentid.gate.http_server import Caps, HttpServer
from agentid.gate.mapping import Mapper, read_mapping
from agentid.gate.peers import Source
from agentid.gate.question import Question
from agentid.gate.tokens import KNOWN_SECONDS, UNKNOWN_SECONDS, Tokens
from agentid.gate.wire import ext_authz_pb2 as wire
from tests.unit.gate_cases import SERIAL, SPIFFE_ID, Gate
from tests.unit.gate_certificates import Certificates
from tests.unit.test_gate_ext_authz import ENCODED

ENVOY = "spiffe://prod.example.com/ns/edge/sa/envoy"
POINTS = EnforcementPoints(
    [
        EnforcementPointSpec.model_validate({"spiffeID": ENVOY, "namespaces": ["support"]}),
        EnforcementPointSpec.model_validate(
            {"serviceAccount": {"namespace": "edge", "name": "mcp"}, "namespaces": ["*"]}
        ),
    ]
)
MAPPER = Mapper(
    read_mapping("""
routes:
  - http: {methods: [GET, POST], path: "/orders/{order}"}
    action: orders:read
    resource: order/{order}
""")
)
WHOLE: dict[str, Any] = {
    "subject": {"type": "workload", "id": SPIFFE_ID, "properties": {"serial": SERIAL}},
    "action": {"name": "orders:read"},
    "resource": {"type": "order", "id": "4711"},
}
TOKEN = {"Authorization": "Bearer good"}
SOURCES = (Source.CERTIFICATE, Source.FORWARDED)


async def review(token: str) -> str | None:
    return {"good": "system:serviceaccount:edge:mcp", "other": "system:serviceaccount:edge:other"}.get(token)


@dataclass
class Served:
    """A server over TLS, and certificates for its callers."""

    url: str
    certificates: Certificates
    folder: Path

    def client(self, *uris: str) -> ssl.SSLContext:
        """Return how a caller with these URIs in its certificate connects; none: without a certificate."""
        context = ssl.create_default_context(cadata=self.certificates.root)
        if uris:
            context.load_cert_chain(self.certificates.write(self.folder, *uris))
        return context


@asynccontextmanager
async def serving(folder: Path, decide: Callable[[Question], Answer]) -> AsyncIterator[Served]:
    """Serve over TLS within the block."""
    certificates = Certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.write(folder, "spiffe://prod.example.com/ns/agentid/sa/gate"))
    context.load_verify_locations(cadata=certificates.root)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = HttpServer(
        decide,
        POINTS,
        Tokens(review, lambda: 0.0),
        MAPPER,
        SOURCES,
        base_url="https://gate.example.com",
        caps=Caps(body_bytes=2000, read_seconds=0.5),
    )
    port = await server.start("127.0.0.1", 0, context)
    yield Served(f"https://localhost:{port}", certificates, folder)
    await server.stop()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, Gate().ask) as found:
        yield found


async def ask(
    served: Served,
    body: object = WHOLE,
    *,
    path: str = EVALUATION,
    method: str = "POST",
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, dict[str, Any], dict[str, str]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {
        "Content-Type": "application/json",
        **{name.replace("_", "-"): each for name, each in headers.items()},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, served.url + path, data=data, headers=sent, ssl=tls or served.client()
        ) as answer,
    ):
        text = await answer.read()
        return answer.status, json.loads(text) if text else {}, dict(answer.headers)


async def test_an_enforcement_point_is_known_by_its_certificate(served: Served) -> None:
    status, answer, _ = await ask(served, tls=served.client(ENVOY))

    assert (status, answer["decision"]) == (200, True)


async def test_an_enforcement_point_is_known_by_its_token(served: Served) -> None:
    status, answer, headers = await ask(served, X_Request_ID="r-1", **TOKEN)

    assert (status, answer["decision"]) == (200, True)
    assert headers["X-Request-ID"] == "r-1"


async def test_a_denial_is_200(served: Served) -> None:
    status, answer, _ = await ask(served, {**WHOLE, "action": {"name": "orders:write"}}, **TOKEN)

    assert (status, answer["decision"]) == (200, False)
    assert answer["context"]["reason"] == "ActionNotGranted"


@pytest.mark.parametrize("header", [None, "Bearer bad", "Bearer other", "Basic good", "Bearer ", "good"])
async def test_whoever_does_not_show_who_it_is_gets_no_answer(served: Served, header: str | None) -> None:
    status, answer, headers = await ask(served, **({"Authorization": header} if header else {}))

    assert status == 401
    assert "decision" not in answer
    assert headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("uris", [("spiffe://prod.example.com/ns/edge/sa/other",), (ENVOY, "spiffe://x/y")])
async def test_a_certificate_of_nobody_that_is_listed_is_refused(
    served: Served, uris: tuple[str, ...]
) -> None:
    status, _, _ = await ask(served, tls=served.client(*uris), **TOKEN)

    assert status == 401


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is not JSON in UTF-8"),
        (b'{"a":1,"a":1}', "the body names a key twice in one object"),
        (b"[" * 999 + b"]" * 999, "the body is nested deeper than 32 levels"),
        (b" " * 2001, "the body has more than 2000 bytes"),
        ({**WHOLE, "action": 5}, "action: Input should be a valid dictionary or instance of _Action"),
    ],
)
async def test_what_is_no_question_is_400(served: Served, body: object, said: str) -> None:
    status, answer, headers = await ask(served, body, X_Request_ID="r-1", **TOKEN)

    assert (status, answer) == (400, {"message": said})
    assert headers["X-Request-ID"] == "r-1"


async def test_another_media_type_is_400(served: Served) -> None:
    status, _, _ = await ask(served, Content_Type="text/plain", **TOKEN)

    assert status == 400


async def test_a_batch_and_the_metadata_are_served(served: Served) -> None:
    status, answer, _ = await ask(served, {**WHOLE, "evaluations": [{}, {}]}, path=EVALUATIONS, **TOKEN)
    assert (status, len(answer["evaluations"])) == (200, 2)

    status, answer, _ = await ask(served, path=METADATA, method="GET")
    assert (status, answer["policy_decision_point"]) == (200, "https://gate.example.com")


async def test_a_path_that_there_is_not_is_404(served: Served) -> None:
    assert (await ask(served, path="/x", **TOKEN))[0] == 404


async def test_a_request_that_does_not_come_is_given_up(served: Served) -> None:
    reader, writer = await asyncio.open_connection(
        "localhost", int(served.url.rpartition(":")[2]), ssl=served.client(ENVOY)
    )
    head = f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99"
    writer.write(head.encode() + b"\r\n\r\n{")

    async with asyncio.timeout(10):
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()


async def test_ext_authz_over_http_goes_by_the_proxys_certificate_alone(served: Served) -> None:
    forwarded = {"x_forwarded_client_cert": f'Cert="{ENCODED}"'}
    envoy = served.client(ENVOY)

    assert (await ask(served, b"", path="/ext-authz/orders/4711", tls=envoy, **forwarded))[0] == 200
    status, answer, headers = await ask(served, b"", path="/ext-authz/orders/9", tls=envoy, **forwarded)
    assert (status, headers["x-agentid-reason"]) == (403, "ResourceNotGranted")
    assert answer["reason"] == "ResourceNotGranted"
    assert (await ask(served, b"", path="/ext-authz/orders/4711", **forwarded, **TOKEN))[0] == 401
    assert (await ask(served, b"", path="/ext-authz/orders/%2e%2e/x", tls=envoy, **forwarded))[0] == 403


async def test_a_port_that_is_taken_is_told() -> None:
    def server() -> HttpServer:
        return HttpServer(Gate().ask, POINTS, None, MAPPER, SOURCES, base_url="")

    first = server()
    port = await first.start("127.0.0.1", 0, None)

    with pytest.raises(UnservableError, match=f"cannot serve decisions on 127.0.0.1 port {port}: "):
        await server().start("127.0.0.1", port, None)
    await first.stop()


async def grpc_server(tls: grpc.ServerCredentials | None) -> tuple[GrpcServer, int]:
    tokens = Tokens(review, lambda: 0.0)
    server = GrpcServer(Gate().ask, POINTS, tokens, MAPPER, SOURCES, message_bytes=20_000, calls_at_once=8)
    return server, await server.start("127.0.0.1", 0, tls)


def check(path: str = "/orders/4711", **http: object) -> wire.CheckRequest:
    request = wire.HttpRequest(**{"method": "GET", "path": path, **http})  # type: ignore[arg-type]
    source = wire.Peer(principal=SPIFFE_ID, certificate=ENCODED)
    return wire.CheckRequest(
        attributes=wire.AttributeContext(source=source, request=wire.Request(http=request))
    )


async def called(
    channel: grpc.aio.Channel, request: wire.CheckRequest, *metadata: tuple[str, str]
) -> wire.CheckResponse:
    call = channel.unary_unary(
        METHOD,
        request_serializer=wire.CheckRequest.SerializeToString,
        response_deserializer=wire.CheckResponse.FromString,
    )
    answer: wire.CheckResponse = await call(request, metadata=metadata, timeout=10)
    return answer


async def test_ext_authz_over_grpc_goes_by_the_proxys_certificate() -> None:
    certificates = Certificates()
    chain, key = certificates.pem("spiffe://prod.example.com/ns/agentid/sa/gate")
    root = certificates.root.encode()
    server, port = await grpc_server(
        grpc.ssl_server_credentials([(key, chain)], root_certificates=root, require_client_auth=True)
    )
    for uri, code in (
        (ENVOY, None),
        ("spiffe://prod.example.com/ns/edge/sa/x", grpc.StatusCode.UNAUTHENTICATED),
    ):
        mine, my_key = certificates.pem(uri)
        credentials = grpc.ssl_channel_credentials(root, my_key, mine)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            if code is None:
                assert (await called(channel, check())).status.code == 0
                assert (await called(channel, check("/orders/9"))).denied_response.status.code == 403
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await called(channel, check())
                assert caught.value.code() is code
    await server.stop()


async def test_ext_authz_over_grpc_takes_a_token_and_refuses_what_is_too_large() -> None:
    server, port = await grpc_server(None)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        good = ("authorization", "Bearer good")
        assert (await called(channel, check(), good)).status.code == 0
        for request, metadata, code in (
            (check(), (), grpc.StatusCode.UNAUTHENTICATED),
            (check(), (("authorization", "Bearer bad"),), grpc.StatusCode.UNAUTHENTICATED),
            (check(raw_body=b"x" * 30_000), (good,), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await called(channel, request, *metadata)
            assert caught.value.code() is code
    await server.stop()


class Reviews:
    """What the API server says of tokens, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 100.0
        self.users: dict[str, str] = {"a": "alice"}
        self.is_down = False

    async def review(self, token: str) -> str | None:
        self.asked.append(token)
        if self.is_down:
            raise ConnectionLostError("gone")
        return self.users.get(token)


async def test_a_token_is_asked_about_once_in_a_while() -> None:
    reviews = Reviews()
    tokens = Tokens(reviews.review, lambda: reviews.now)

    assert [await tokens.username("a") for _ in range(3)] == ["alice"] * 3
    assert reviews.asked == ["a"]
    reviews.users.clear()
    reviews.now += KNOWN_SECONDS
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await tokens.username("a")
    assert reviews.asked == ["a"] * 2
    reviews.users["a"] = "alice"
    reviews.now += UNKNOWN_SECONDS
    assert await tokens.username("a") == "alice"


async def test_an_api_server_that_does_not_answer_lets_nobody_in_and_is_asked_again() -> None:
    reviews = Reviews()
    reviews.is_down = True
    tokens = Tokens(reviews.review, lambda: reviews.now)

    with pytest.raises(UnauthenticatedError, match="does not say whose the token is"):
        await tokens.username("a")
    reviews.is_down = False
    assert await tokens.username("a") == "alice"


@pytest.mark.parametrize("token", ["", "x" * 16_385, "é"])
async def test_what_can_be_no_token_is_asked_about_nowhere(token: str) -> None:
    reviews = Reviews()

    with pytest.raises(UnauthenticatedError):
        await Tokens(reviews.review, lambda: reviews.now).username(token)
    assert reviews.asked == []


@pytest.mark.parametrize(
    "spec",
    [
        {"namespaces": ["a"]},
        {"spiffeID": ENVOY, "serviceAccount": {"namespace": "a", "name": "b"}, "namespaces": ["a"]},
        {"spiffeID": "https://x", "namespaces": ["a"]},
        {"spiffeID": ENVOY, "namespaces": []},
        {"spiffeID": ENVOY, "namespaces": ["A b"]},
    ],
)
def test_an_enforcement_point_that_is_none_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="EnforcementPointSpec"):
        EnforcementPointSpec.model_validate(spec)


def test_an_enforcement_point_is_listed_once() -> None:
    spec = EnforcementPointSpec.model_validate({"spiffeID": ENVOY, "namespaces": ["support"]})

    with pytest.raises(ValueError, match="listed twice"):
        EnforcementPoints([spec, spec])
