"""One span a decision, under the span of whoever asks, by whichever way that asks."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import orjson
import pytest
from opentelemetry.trace import StatusCode

from agentid.gate.answer import Answer
from agentid.gate.authzen import EVALUATION, EVALUATIONS
from agentid.gate.deciding import Deciding
from agentid.gate.grpc_server import GrpcServer
from agentid.gate.http_server import HttpServer
from agentid.gate.question import Question
from agentid.gate.tokens import Tokens
from agentid.process.tracing import close_traces, configure_traces
from tests.span_receiver import receiving
from tests.unit.gate_cases import ASKER, LIMITS, SERIAL, UID, Gate, question
from tests.unit.spans_in_memory import CALLER, NOT_VALID, TRACE, TRACEPARENT, Spans, spans_in_memory
from tests.unit.test_gate_servers import (
    ENVOY,
    MAPPER,
    POINTS,
    SOURCES,
    TOKEN,
    WHOLE,
    ask,
    called,
    check,
    review,
    serving,
)

PROXY = "00f067aa0ba902b7"
BY_PROXY = f"00-{TRACE}-{PROXY}-01"


def deciding(gate: Gate) -> Callable[[Question], Answer]:
    return Deciding(gate.view, LIMITS, gate.asking, now=lambda: gate.now, uptime=lambda: gate.uptime)


@pytest.fixture
def spans() -> Iterator[Spans]:
    with spans_in_memory() as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[str]:
    tokens = Tokens(review, lambda: 0.0)
    made = HttpServer(deciding(Gate()), POINTS, tokens, MAPPER, SOURCES, base_url="http://gate")
    port = await made.start("127.0.0.1", 0, None)
    yield f"http://127.0.0.1:{port}"
    await made.stop()


async def post(url: str, body: object, *headers: tuple[str, str]) -> int:
    given = [("Content-Type", "application/json"), *TOKEN.items(), *headers]
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=orjson.dumps(body), headers=given) as got,
    ):
        return got.status


def test_a_decision_says_what_was_decided_for_whom(spans: Spans) -> None:
    decide = deciding(Gate())

    decide(question())
    decide(question(spiffe_id="spiffe://prod.example.com/ns/secret/agent/a/task/x"))

    allowed, unknown = (dict(each.attributes or {}) for each in spans.sent())
    assert allowed == {
        "agentid.decision": "allow",
        "agentid.reason": "Allowed",
        "agentid.enforcement_point": ASKER.name,
        "agentid.action": "orders:read",
        "agentid.serial": SERIAL,
        "agentid.task.namespace": "support",
        "agentid.task.name": "refund-4711",
        "agentid.task.uid": UID,
    }
    assert unknown["agentid.decision"] == "deny"
    assert "agentid.task.name" not in unknown
    assert [each.status.status_code for each in spans.sent()] == [StatusCode.UNSET] * 2


def test_only_a_defect_makes_a_decision_failed(spans: Spans) -> None:
    gate = Gate()
    decide = Deciding(gate.view, None, gate.asking, now=lambda: gate.now, uptime=lambda: 0.0)  # type: ignore[arg-type]

    assert not decide(question()).allowed

    (sent,) = spans.sent()
    assert (sent.status.status_code, sent.status.description) == (StatusCode.ERROR, "decision failed")


async def test_a_decision_by_authzen_is_under_the_callers_span(spans: Spans, server: str) -> None:
    assert await post(server + EVALUATION, WHOLE, ("traceparent", TRACEPARENT)) == 200
    assert await post(server + EVALUATION, WHOLE) == 200
    batch = {**WHOLE, "evaluations": [{}, {"action": {"name": "orders:write"}}]}
    assert await post(server + EVALUATIONS, batch, ("traceparent", TRACEPARENT)) == 200

    decision = "agentid.decision"
    assert spans.told() == [(decision, CALLER), (decision, ""), (decision, CALLER), (decision, CALLER)]


@pytest.mark.parametrize("traceparent", [each for each in NOT_VALID if each.isascii() and each.isprintable()])
async def test_a_bad_traceparent_changes_no_answer(spans: Spans, server: str, traceparent: str) -> None:
    assert await post(server + EVALUATION, WHOLE, ("traceparent", traceparent)) == 200

    assert spans.told() == [("agentid.decision", "")]


async def test_a_traceparent_that_is_there_twice_is_none(spans: Spans, server: str) -> None:
    twice = [("traceparent", TRACEPARENT)] * 2
    assert await post(server + EVALUATION, WHOLE, *twice) == 200

    assert spans.told() == [("agentid.decision", "")]


async def test_ext_authz_over_http_is_under_the_span_in_its_header(spans: Spans, tmp_path: Path) -> None:
    async with serving(tmp_path, deciding(Gate())) as served:
        path, proxy = "/ext-authz/orders/4711", served.client(ENVOY)
        assert (await ask(served, b"", path=path, tls=proxy, traceparent=TRACEPARENT))[0] == 403
        assert (await ask(served, b"", path=path, tls=proxy, traceparent="x"))[0] == 403

    assert spans.told() == [("agentid.decision", CALLER), ("agentid.decision", "")]


@pytest.mark.parametrize(
    ("metadata", "header", "parent"),
    [
        (BY_PROXY, TRACEPARENT, PROXY),
        (None, TRACEPARENT, CALLER),
        ("x", TRACEPARENT, CALLER),
        (BY_PROXY, None, PROXY),
        (None, "x", ""),
        (None, None, ""),
    ],
)
async def test_ext_authz_over_grpc_is_under_the_proxys_span_or_else_the_callers(
    spans: Spans, metadata: str | None, header: str | None, parent: str
) -> None:
    tokens = Tokens(review, lambda: 0.0)
    made = GrpcServer(
        deciding(Gate()), POINTS, tokens, MAPPER, SOURCES, message_bytes=20_000, calls_at_once=8
    )
    port = await made.start("127.0.0.1", 0, None)
    told = [("authorization", "Bearer good"), *([("traceparent", metadata)] if metadata else [])]
    request = check(headers={"traceparent": header} if header else {})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert (await called(channel, request, *told)).status.code == 0
    await made.stop()

    assert spans.told() == [("agentid.decision", parent)]


async def test_a_decision_comes_to_a_collector_in_the_trace_of_whoever_asked(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        configure_traces("agentid-gate")
        try:
            assert await post(server + EVALUATION, WHOLE, ("traceparent", TRACEPARENT)) == 200
        finally:
            close_traces()

        (sent,) = receiver.of(TRACE)
    assert (sent.name, sent.service, sent.parent) == ("agentid.decision", "agentid-gate", CALLER)
    assert (sent.attributes["agentid.decision"], sent.error) == ("allow", None)
