"""Which action a call is: by routes, the first that fits; what could be read in two ways is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.answer import Denial, Reason
from agentid.gate.errors import BadRequestError, UnusableMappingError
from agentid.gate.mapping import Mapper, read_mapping
from agentid.gate.parameters import MAX_PARAMETERS, parameters
from agentid.gate.question import Call
from agentid.gate.request import Request
from agentid.gate.strict_json import parse
from agentid.gate.templates import PathTemplate, TextTemplate, segments

ROUTES = """
routes:
  - http: {methods: [GET], path: "/orders/{order}"}
    action: orders:read
    resource: order/{order}
  - http: {methods: [GET, POST], path: /files/**}
    hosts: [files.example.com]
    action: files:use
  - mcp: {path: /mcp, tool: create_refund}
    action: refunds:create
    resource: order/{arguments.order_id}
  - mcp: {path: /mcp, method: tools/list}
    action: mcp:list
  - http: {methods: [GET, POST], path: /mcp}
    action: mcp:listen
  - grpc: {method: shop.Orders/Get}
    action: orders:read
  - http: {methods: [GET], path: /}
    action: site:see
"""
MAPPER = Mapper(read_mapping(ROUTES))


def mcp(message: object, **changes: Any) -> Request:  # noqa: ANN401 - fields of Request
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Request("POST", "/mcp", **{"content_type": "application/json", "body": body, **changes})


def calling(tool: object = "create_refund", **arguments: object) -> dict[str, object]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        (Request("GET", "/orders/4711?x=1"), Call("orders:read", "order/4711", None, {"order": "4711"})),
        (Request("GET", "/orders/A%2d1"), Call("orders:read", "order/A-1", None, {"order": "A-1"})),
        (Request("POST", "/files/a/b", "Files.example.com:443"), Call("files:use")),
        (Request("GET", "/files", "files.example.com"), Call("files:use")),
        (
            mcp(calling(order_id=4711, amount=10.0, note="x"), session="s-1"),
            Call(
                "refunds:create",
                "order/4711",
                "create_refund",
                {"order_id": 4711, "amount": 10, "note": "x"},
                "s-1",
            ),
        ),
        (mcp({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), Call("mcp:list")),
        (Request("GET", "/mcp"), Call("mcp:listen")),
        (Request("POST", "/shop.Orders/Get", content_type="application/grpc+proto"), Call("orders:read")),
        (Request("GET", "/"), Call("site:see")),
    ],
)
def test_the_first_route_that_fits_says_which_call_it_is(request_: Request, call: Call) -> None:
    assert MAPPER.call(request_) == call


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Request("PUT", "/orders/4711"), "no route fits it"),
        (Request("GET", "/orders"), "no route fits it"),
        (Request("GET", "/orders/4711/items"), "no route fits it"),
        (Request("GET", "/files/a", "other.example.com"), "no route fits it"),
        (Request("GET", "/orders/a b"), "what it is done to (route of orders:read) cannot be told from it"),
        (Request("POST", "/shop.Orders/Get"), "no route fits it"),
        (mcp(calling("delete_all")), "no route fits it"),
        (mcp(calling()), "what it is done to (route of refunds:create) cannot be told from it"),
        (mcp(calling(order_id=True)), "what it is done to (route of refunds:create) cannot be told from it"),
        (mcp(calling(5)), "it is no message of MCP that can be told: it names no tool"),
        (
            mcp([calling(order_id="1")]),
            "it is no message of MCP that can be told: its body is not one message of JSON-RPC 2.0",
        ),
        (
            mcp(b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"create_refund","name":"x"}}'),
            "it is no message of MCP that can be told: the body names a key twice in one object",
        ),
        (
            mcp(calling(order_id="1"), is_whole=False),
            "it is no message of MCP that can be told: its body was not told, or not all of it",
        ),
        (
            mcp(calling(order_id="1"), content_encoding="gzip"),
            "it is no message of MCP that can be told: its body is encoded",
        ),
        (
            mcp(calling(order_id="1"), content_type="text/plain"),
            "it is no message of MCP that can be told: its body is not application/json",
        ),
        (
            mcp({"jsonrpc": "2.0", "params": {"name": "create_refund", "arguments": {"order_id": "1"}}}),
            "it is no message of MCP that can be told: its body is not one message of JSON-RPC 2.0",
        ),
        (
            mcp({**calling(), "params": {"name": "create_refund", "arguments": []}}),
            "it is no message of MCP that can be told: its arguments are no object",
        ),
    ],
)
def test_what_fits_no_route_is_denied(request_: Request, why: str) -> None:
    assert MAPPER.call(request_) == Denial(
        Reason.NOT_MAPPED,
        f"It is not known which action this call is: {why}. Have the platform team add a route to the "
        "mapping.",
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        "orders/1",
        "//orders/1",
        "/orders//1",
        "/orders/1/",
        "/orders/../admin",
        "/orders/%2e%2e/admin",
        "/orders/..;/admin",
        "/orders/a%2Fb",
        "/orders/a%5cb",
        "/orders/a\\b",
        "/orders/%",
        "/orders/%zz",
        "/orders/%252e",
        "/orders/%00",
        "/orders/%ff",
        "/orders/1#x",
        "/" + "a" * 4096,
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_none(path: str) -> None:
    assert segments(path) is None
    assert isinstance(MAPPER.call(Request("GET", path)), Denial)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes: 5", "routes: Input should be a valid list"),
        ("- x", "the mapping: Input should be a valid dictionary or instance of Mapping"),
        ("routes: [{action: a}]", "routes.0: a route has one of http, mcp and grpc"),
        (
            "routes: [{http: {methods: [GET], path: /a}, grpc: {method: a/b}, action: a}]",
            "routes.0: a route has one of http, mcp and grpc",
        ),
        (
            "routes: [{http: {methods: [GET], path: '/{a}'}, action: a, resource: 'x/{b}'}]",
            "routes.0: resource names {b}, which the route has not",
        ),
        (
            "routes: [{http: {methods: [GET], path: '/x{a}'}, action: a}]",
            "routes.0: path '/x{a}': a name in braces stands for a whole segment, `**` for the rest",
        ),
        (
            "routes: [{http: {methods: [GET], path: '/{a}/{a}'}, action: a}]",
            "routes.0: path '/{a}/{a}' has a name",
        ),
        ("routes: [{http: {methods: [GET], path: /a//b}, action: a}]", "routes.0: path '/a//b' must be one"),
        (
            "routes: [{http: {methods: [get], path: /a}, action: a}]",
            "routes.0.http.methods.0: Input should be",
        ),
        ("routes: [{mcp: {path: /a}, action: a}]", "routes.0.mcp: tool names the tool of tools/call"),
        ("routes: [{grpc: {method: a}, action: a}]", "routes.0.grpc.method: must be a method such as"),
        ("routes: [{http: {methods: [GET], path: /a}, action: A b}]", "routes.0.action: must be an action"),
        ("routes: [{http: {methods: [GET], path: /a}, action: a, more: 1}]", "routes.0.more: Extra inputs"),
        ("a: [", "this is not YAML: "),
        ("x" * 1_048_577, "a mapping has at most 1048576 bytes"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_and_says_where(text: str, said: str) -> None:
    with pytest.raises(UnusableMappingError) as caught:
        read_mapping(text)

    assert str(caught.value).startswith(said)


def test_no_mapping_maps_nothing() -> None:
    assert isinstance(Mapper(read_mapping("")).call(Request("GET", "/")), Denial)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON in UTF-8"),
        (b"\xff", "the body is not JSON in UTF-8"),
        (b"{} x", "the body is not JSON in UTF-8"),
        (b'{"a":1,"a":2}', "the body names a key twice in one object"),
        (b'{"a":[{"b":1,"\\u0062":2}]}', "the body names a key twice in one object"),
        (b"[NaN]", "the body holds a number that JSON has not"),
        (b"[1e999]", "the body holds a number that is too large"),
        (b'["\\ud800"]', "the body holds half a character (a lone surrogate)"),
        (b"[" * 33 + b"]" * 33, "the body is nested deeper than 32 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "the body is nested deeper than 32 levels"),
        (b"9" * 5000, "the body is not JSON in UTF-8"),
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(body)

    assert str(caught.value) == said


def test_json_as_deep_as_may_be_is_read() -> None:
    assert parse(b"[" * 32 + b"]" * 32) is not None
    assert parse(b"[" + b"[]," * 99 + b"[]]") == [[]] * 100


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_body_raises_anything_else(body: bytes) -> None:
    try:
        found = parse(body)
    except BadRequestError:
        return
    assert found == json.loads(body)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_arguments_become_parameters_that_policy_has_a_type_for(arguments: dict[str, Any]) -> None:
    try:
        found = parameters(arguments)
    except BadRequestError:
        return
    for value in found.values():
        assert type(value) in {str, int, bool}
        assert type(value) is not int or -(2**63) <= value < 2**63


def test_arguments_within_others_are_named_by_the_way_there() -> None:
    given_ = {"items": [{"sku": "a", "n": 2}, None], "total": 1.5, "big": 2**63, "whole": 3.0, "ok": True}

    assert parameters(given_) == {
        "items.0.sku": "a",
        "items.0.n": 2,
        "total": "1.5",
        "big": str(2**63),
        "whole": 3,
        "ok": True,
    }


def test_arguments_that_are_too_many_or_of_one_name_are_refused() -> None:
    with pytest.raises(BadRequestError, match="more than 64 arguments"):
        parameters({str(number): 1 for number in range(MAX_PARAMETERS + 1)})
    with pytest.raises(BadRequestError, match="names are the same with dots"):
        parameters({"a": {"b": 1}, "a.b": 2})


@given(
    st.text(max_size=60), st.sampled_from(["GET", "POST", "x"]), st.binary(max_size=60), st.text(max_size=20)
)
def test_no_request_raises(path: str, method: str, body: bytes, text: str) -> None:
    for at in (path, f"/{path}", "/mcp"):
        MAPPER.call(Request(method, at, text, "application/json", "", text, body))


@given(st.text(alphabet="ab{}/.*%", max_size=12))
def test_a_template_is_refused_or_matches_in_a_line(text: str) -> None:
    for template in (PathTemplate, TextTemplate):
        try:
            made = template.parse(text)
        except ValueError:
            continue
        if isinstance(made, PathTemplate):
            made.match(("a", "b"))
        else:
            made.fill({"a": "x"})
