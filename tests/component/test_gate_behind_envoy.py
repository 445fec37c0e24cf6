"""A real Envoy in front of a server, also one of MCP: what may pass passes, and an ended task does not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from cryptography import x509

from agentid.gate.grpc_server import GrpcServer
from agentid.gate.http_server import HttpServer
from agentid.gate.mapping import Mapper, read_mapping
from agentid.gate.peers import Source
from agentid.pki.serial import serial_hex
from tests.component.envoy_in_front import Material, by_grpc, by_http, envoy
from tests.unit.gate_cases import SPIFFE_ID, Gate, body, condition, credential
from tests.unit.test_gate_servers import ENVOY, POINTS

MAPPER = Mapper(
    read_mapping("""
routes:
  - mcp: {path: /mcp, tool: read_order}
    action: orders:read
    resource: order/{arguments.order}
  - http: {methods: [GET], path: "/orders/{order}"}
    action: orders:read
    resource: order/{order}
""")
)
GATES_OWN = "spiffe://prod.example.com/ns/agentid/sa/gate"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


@dataclass
class Front:
    """An Envoy, the core of the decision point that it asks, and certificates for its callers."""

    url: str
    gate: Gate
    material: Material

    async def send(
        self, path: str, *, who: str = "agent", call: object = None, **headers: str
    ) -> tuple[int, str | None, str]:
        """Send a request as somebody; return the status, the reason of a denial, and the text."""
        sent = {name.replace("_", "-"): each for name, each in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                "GET" if call is None else "POST",
                self.url + path,
                json=call,
                ssl=self.material.client(who),
                headers=sent,
            ) as answer,
        ):
            return answer.status, answer.headers.get("x-agentid-reason"), await answer.text()


@pytest.fixture(params=["grpc", "http"])
async def front(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Front]:
    material, gate = Material(tmp_path), Gate()
    own = material.write("gate", GATES_OWN), (tmp_path / "gate.key").read_bytes()
    material.write("envoy", ENVOY)
    material.write("thief", SPIFFE_ID)
    serial = x509.load_pem_x509_certificate(material.write("agent", SPIFFE_ID)).serial_number
    gate.take(body(credentials=[credential(serial_hex(serial))]))
    server: GrpcServer | HttpServer
    if request.param == "grpc":
        server = GrpcServer(
            gate.ask, POINTS, None, MAPPER, (Source.CERTIFICATE,), message_bytes=131_072, calls_at_once=64
        )
        root = material.certificates.root.encode()
        tls = grpc.ssl_server_credentials([(own[1], own[0])], root, require_client_auth=True)
        port, asks = await server.start("127.0.0.1", 0, tls), by_grpc()
    else:
        server = HttpServer(gate.ask, POINTS, None, MAPPER, (Source.FORWARDED,), base_url="")
        port, asks = await server.start("127.0.0.1", 0, material.server("gate")), by_http()
    async with envoy(material, asks, port) as url:
        yield Front(url, gate, material)
    await server.stop()


async def test_what_may_pass_passes_and_the_rest_is_told_why(front: Front) -> None:
    assert await front.send("/orders/4711") == (200, None, "upstream saw /orders/4711")
    assert (await front.send("/orders/9"))[:2] == (403, "ResourceNotGranted")
    assert (await front.send("/admin"))[:2] == (403, "NotMapped")


async def test_a_tool_of_an_mcp_server_passes_by_its_name_and_arguments(front: Front) -> None:
    good = {**CALL, "params": {"name": "read_order", "arguments": {"order": 4711}}}

    assert (await front.send("/mcp", call=good))[0] == 200
    for params, reason in (
        ({"name": "read_order", "arguments": {"order": 9}}, "ResourceNotGranted"),
        ({"name": "drop_orders", "arguments": {}}, "NotMapped"),
    ):
        assert (await front.send("/mcp", call={**CALL, "params": params}))[:2] == (403, reason)
    assert (await front.send("/mcp", call=[good]))[:2] == (403, "NotMapped")


async def test_a_certificate_that_was_never_issued_or_a_forged_header_does_not_pass(front: Front) -> None:
    forged = (front.material.folder / "agent.crt").read_text().replace("\n", "%0A")

    assert (await front.send("/orders/4711", who="thief"))[:2] == (403, "UnknownCredential")
    status, reason, _ = await front.send(
        "/orders/4711", who="thief", x_forwarded_client_cert=f'Cert="{forged}";URI={SPIFFE_ID}'
    )
    assert (status, reason) == (403, "UnknownCredential")


async def test_an_ended_task_does_not_pass_any_more(front: Front) -> None:
    assert (await front.send("/orders/4711"))[0] == 200

    front.gate.take(body(conditions=[condition("Finished", "True", "Ended")], credentials=[]))

    assert (await front.send("/orders/4711"))[:2] == (403, "TaskEnded")
