"""Envoy's ext_authz: who calls by what the proxy vouches for, which call it is, and OK or Denied."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.answer import Reason
from agentid.gate.ext_authz import decide_told, response, told_by_grpc, told_by_http
from agentid.gate.mapping import Mapper, read_mapping
from agentid.gate.peers import Peer, Source, peer
from agentid.gate.wire import ext_authz_pb2 as wire
from agentid.pki.serial import serial_hex
from tests.unit.gate_cases import ASKER, NOW, SERIAL, SPIFFE_ID, Gate

MAPPER = Mapper(
    read_mapping("""
routes:
  - http: {methods: [GET], path: "/orders/{order}"}
    action: orders:read
    resource: order/{order}
  - mcp: {path: /mcp, tool: read_order}
    action: orders:read
    resource: order/{arguments.order}
""")
)
PARAMS = b'{"name":"read_order","arguments":{"order":4711}}'
MCP = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + PARAMS + b"}"
ALL = (Source.CERTIFICATE, Source.FORWARDED, Source.PRINCIPAL)


def certificate(*uris: str, serial: int = int(SERIAL, 16)) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=5))
    )
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris])
        made = made.add_extension(names, critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


PEM = certificate(SPIFFE_ID)
ENCODED = quote(PEM, safe="")


def check(**http: object) -> wire.CheckRequest:
    request = wire.HttpRequest(**{"id": "r-1", "method": "GET", "path": "/orders/4711", **http})  # type: ignore[arg-type]
    source = wire.Peer(principal=SPIFFE_ID, certificate=ENCODED)
    return wire.CheckRequest(
        attributes=wire.AttributeContext(source=source, request=wire.Request(http=request))
    )


def asked(request: wire.CheckRequest, *sources: Source) -> wire.CheckResponse:
    told = told_by_grpc(request, sources or (Source.CERTIFICATE,))
    return response(decide_told(told, ASKER, MAPPER, Gate().ask))


def test_a_call_that_may_be_made_passes() -> None:
    answer = asked(check())

    assert answer.status.code == 0
    assert answer.WhichOneof("http_response") == "ok_response"


def test_a_denied_call_is_403_with_the_reason() -> None:
    answer = asked(check(path="/orders/9"))

    assert answer.status.code == 7
    assert answer.denied_response.status.code == 403
    headers = {each.header.key: each.header.value for each in answer.denied_response.headers}
    assert headers == {"x-agentid-reason": "ResourceNotGranted", "content-type": "application/json"}
    assert '"reason":"ResourceNotGranted"' in answer.denied_response.body


@pytest.mark.parametrize("field", ["raw_body", "body"])
def test_a_tool_of_mcp_is_mapped_by_the_body(field: str) -> None:
    body = MCP if field == "raw_body" else MCP.decode()
    request = check(method="POST", path="/mcp", headers={"content-type": "application/json"}, **{field: body})

    assert asked(request).status.code == 0
    request.attributes.request.http.headers["x-envoy-auth-partial-body"] = "true"
    assert asked(request).status.message == "NotMapped"


def test_headers_that_were_sent_raw_are_heard_and_doubled_ones_are_joined() -> None:
    request = check(
        method="POST",
        path="/mcp",
        raw_body=MCP,
        header_map=wire.HeaderMap(
            headers=[wire.HeaderValue(key="Content-Type", raw_value=b"application/json")]
        ),
    )

    assert asked(request).status.code == 0
    request.attributes.request.http.header_map.headers.add(key="content-encoding", value="gzip")
    assert asked(request).status.message == "NotMapped"


def test_an_unmapped_call_is_denied() -> None:
    assert asked(check(method="DELETE")).status.message == Reason.NOT_MAPPED


def test_nothing_in_a_request_is_denied() -> None:
    assert asked(wire.CheckRequest()).status.message == Reason.NO_IDENTITY


def test_the_http_service_goes_by_the_header_where_it_is_trusted() -> None:
    headers = {"x-forwarded-client-cert": f'Hash=ab;Cert="{ENCODED}";URI={SPIFFE_ID}', "host": "x"}

    trusted = told_by_http("GET", "/orders/4711", headers, b"", (Source.FORWARDED,))
    other = told_by_http("GET", "/orders/4711", headers, b"", (Source.CERTIFICATE, Source.PRINCIPAL))

    assert decide_told(trusted, ASKER, MAPPER, Gate().ask).allowed
    assert decide_told(other, ASKER, MAPPER, Gate().ask).reason is Reason.NO_IDENTITY


KNOWN = Peer(SPIFFE_ID, SERIAL)


@pytest.mark.parametrize(
    ("sources", "principal", "pem", "header", "found"),
    [
        (ALL, SPIFFE_ID, ENCODED, "", KNOWN),
        (ALL, "", ENCODED, "", KNOWN),
        (ALL, "spiffe://other", ENCODED, "", None),
        (ALL, SPIFFE_ID, "nonsense", "", None),
        (ALL, "", quote(certificate()), "", None),
        (ALL, "", quote(certificate(SPIFFE_ID, "spiffe://x/y")), "", None),
        (ALL, "", "A" * 20_000, "", None),
        ((Source.PRINCIPAL,), SPIFFE_ID, ENCODED, "", Peer(SPIFFE_ID, None)),
        ((Source.PRINCIPAL,), "", ENCODED, "", None),
        (ALL, "", "", f"URI={SPIFFE_ID}", Peer(SPIFFE_ID, None)),
        (
            ALL,
            "",
            "",
            f'By=spiffe://gate;Hash=a;Subject="CN=\\"x\\",O=y";URI={SPIFFE_ID};Cert="{ENCODED}"',
            KNOWN,
        ),
        (ALL, "", "", f"uri={SPIFFE_ID};cert={ENCODED}", KNOWN),
        (ALL, "", "", f"URI=spiffe://x/y;Cert={ENCODED}", None),
        (ALL, "", "", f"URI={SPIFFE_ID},URI=spiffe://x/y", None),
        (ALL, "", "", f"URI={SPIFFE_ID};URI=spiffe://x/y", None),
        (ALL, "", "", f'URI="{SPIFFE_ID}', None),
        (ALL, "", "", "Hash=ab", None),
        ((), SPIFFE_ID, ENCODED, f"URI={SPIFFE_ID}", None),
    ],
)
def test_who_calls_is_who_the_configured_source_says(
    sources: tuple[Source, ...], principal: str, pem: str, header: str, found: Peer | None
) -> None:
    headers = {"x-forwarded-client-cert": header} if header else {}

    assert peer(sources, principal=principal, certificate=pem, headers=headers) == found


def test_a_serial_reads_as_the_status_has_it() -> None:
    found = peer(
        (Source.CERTIFICATE,), principal="", certificate=quote(certificate(SPIFFE_ID, serial=10)), headers={}
    )

    assert found == Peer(SPIFFE_ID, serial_hex(10)) == Peer(SPIFFE_ID, "0a")


@given(st.text(max_size=80))
def test_no_header_raises(header: str) -> None:
    peer(ALL, principal="", certificate="", headers={"x-forwarded-client-cert": header})
    peer(ALL, principal="", certificate=header, headers={})


@given(st.binary(max_size=200))
def test_whatever_parses_as_a_request_is_answered(body: bytes) -> None:
    request = check()
    try:
        request.MergeFromString(body)
    except Exception:  # noqa: BLE001 - protobuf's own: gRPC refuses it before it comes here
        return
    asked(request, *ALL)
