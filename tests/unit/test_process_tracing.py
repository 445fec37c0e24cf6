"""Spans: under whom they are, which are sent, and that nobody waits for a collector."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.trace import StatusCode

from agentid.errors import AgentidError
from agentid.process.errors import TracesError
from agentid.process.live_spans import MAX_VALUE
from agentid.process.otlp import OtlpTraces
from agentid.process.tracing import (
    close_traces,
    configure_traces,
    incoming,
    lost_spans,
    outgoing,
    pending,
    request,
    span,
    traces_are_on,
    trial,
)
from devcluster.ports import free_ports
from tests.span_receiver import receiving
from tests.unit.spans_in_memory import (
    CALLER,
    NOT_VALID,
    TRACE,
    TRACEPARENT,
    Spans,
    spans_in_memory,
    trace_id,
)


@pytest.fixture
def spans() -> Iterator[Spans]:
    with spans_in_memory() as made:
        yield made


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    yield
    close_traces()


@pytest.mark.parametrize("command", ["operator", "gate"])
def test_while_traces_are_off_nothing_of_them_is_loaded(command: str) -> None:
    program = (
        f"import sys, agentid.cli.{command}\n"
        "print([each for each in sys.modules if each.startswith('opentelemetry')])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


def test_while_traces_are_off_a_span_is_nothing() -> None:
    headers: dict[str, str] = {}

    with incoming(TRACEPARENT), trial(TRACEPARENT) as tried, request("agentid.opa") as asked:
        tried.keep("agentid.issue")
        asked.set(lambda: pytest.fail("nobody asks for attributes"))
        asked.fail("x")
        outgoing(headers)

    assert headers == {}
    assert pending("agentid.ledger") is None
    assert (traces_are_on(), lost_spans()) == (False, 0)


def test_spans_are_under_the_open_one_and_under_the_caller(spans: Spans) -> None:
    with incoming(TRACEPARENT), span("outer"), span("inner"):
        pass
    with span("alone"):
        pass

    assert spans.told() == [("outer", CALLER), ("inner", "outer"), ("alone", "")]
    assert [trace_id(each) == TRACE for each in spans.sent()] == [True, True, False]


@pytest.mark.parametrize("traceparent", NOT_VALID)
def test_a_traceparent_that_is_not_valid_is_ignored(
    spans: Spans, caplog: pytest.LogCaptureFixture, traceparent: str
) -> None:
    with incoming(traceparent), span("decision"):
        pass
    with trial(traceparent) as tried:
        tried.keep("issue")
    with incoming(traceparent, TRACEPARENT), span("second"):
        pass

    assert spans.told() == [("decision", ""), ("issue", ""), ("second", CALLER)]
    assert caplog.records == []


def test_a_traceparent_of_a_later_version_counts(spans: Spans) -> None:
    with incoming(f"cc-{TRACE}-{CALLER}-01-what-comes"), span("decision"):
        pass

    assert spans.told() == [("decision", CALLER)]


def test_a_caller_that_is_not_sampled_is_followed(spans: Spans) -> None:
    with incoming(f"00-{TRACE}-{CALLER}-00"), span("decision"):
        pass

    assert spans.told() == []


def test_a_trial_is_sent_with_all_under_it_only_if_it_is_kept(spans: Spans) -> None:
    for name in ("agentid.issue", None):
        with trial(TRACEPARENT) as tried:
            with span("policy"), span("cedar"):
                pass
            if name is not None:
                tried.keep(name)
            with span("status"):
                pass

    assert spans.told() == [
        ("agentid.issue", CALLER),
        ("policy", "agentid.issue"),
        ("cedar", "policy"),
        ("status", "agentid.issue"),
    ]


def test_a_trial_that_asks_somebody_else_is_sent(spans: Spans) -> None:
    headers: dict[str, str] = {}
    with trial(None), request("agentid.opa"):
        outgoing(headers)

    assert spans.told() == [("agentid.decide", ""), ("agentid.opa", "agentid.decide")]
    asked = spans.sent()[1]
    assert asked.context is not None
    assert list(headers) == ["traceparent"]
    assert headers["traceparent"].startswith(f"00-{trace_id(asked)}-{asked.context.span_id:016x}-0")


def test_a_span_can_outlive_what_it_is_under(spans: Spans) -> None:
    assert pending("agentid.ledger") is None
    with trial(None) as tried:
        tried.keep("agentid.end")
        waits = pending("agentid.ledger")
    assert waits is not None
    waits.end()

    assert spans.told() == [("agentid.end", ""), ("agentid.ledger", "agentid.end")]


def test_what_is_raised_makes_a_span_failed_and_only_our_own_errors_say_why(spans: Spans) -> None:
    for error in (AgentidError("the ledger did not take it"), ValueError("-----BEGIN PRIVATE KEY-----")):
        with pytest.raises(type(error)), span("agentid.ledger"):
            raise error
    with span("agentid.secret") as failed:
        failed.fail("x" * 1000)

    said = [each.status for each in spans.sent()]
    assert {each.status_code for each in said} == {StatusCode.ERROR}
    assert [each.description for each in said] == [
        "AgentidError: the ledger did not take it",
        "ValueError",
        "x" * MAX_VALUE,
    ]


def test_what_is_said_of_a_span_is_bounded(spans: Spans) -> None:
    with span("agentid.decision") as told:
        told.set(lambda: {"long": "x" * 1000, "none": None, "yes": True})
        told.set(lambda: {f"many-{number}": number for number in range(100)})

    (sent,) = spans.sent()
    assert sent.attributes is not None
    assert len(sent.attributes) == 32
    assert all(len(str(each)) <= MAX_VALUE for each in sent.attributes.values())
    assert sent.events == ()


def test_spans_go_where_the_standard_variables_say(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain is None
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
        configure_traces("agentid-gate")
        with incoming(TRACEPARENT), span("agentid.decision"):
            pass
        close_traces()

        (sent,) = receiver.spans
    assert (sent.name, sent.trace, sent.parent) == ("agentid.decision", TRACE, CALLER)
    assert sent.service == "agentid-gate"
    assert receiver.headers["authorization"] == "Bearer secret"


def test_service_and_sampler_are_those_of_the_standard_variables(
    plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain is None
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        configure_traces("agentid-gate")
        for traceparent in (None, TRACEPARENT):
            with incoming(traceparent), span("agentid.decision"):
                pass
        close_traces()

    assert [(each.service, each.parent) for each in receiver.spans] == [("mine", CALLER)]


def test_nobody_waits_for_a_collector_that_is_down(
    plain: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert plain is None
    (port,) = free_ports(1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    configure_traces("agentid-gate")
    slowest = 0.0
    for _ in range(1000):
        began = time.thread_time()
        with span("agentid.decision"):
            pass
        slowest = max(slowest, time.thread_time() - began)

    assert lost_spans() >= 900
    assert slowest < 1.0
    began = time.monotonic()
    close_traces()
    assert time.monotonic() - began < 10.0
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warned) <= 1, [each.getMessage() for each in warned]


def test_spans_that_a_collector_refuses_are_counted_as_lost(
    plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain is None
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/elsewhere")
        traces = OtlpTraces.from_environment("test")
        with traces.span("agentid.decision"):
            pass
        traces.close()

    assert traces.lost == 1
    assert receiver.spans == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': traces are sent by"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT has to begin with"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "file:///x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT has to"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Bearer hidden", "OTEL_EXPORTER_OTLP_HEADERS has to be name=value"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "an OTEL_ variable does not fit"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "an OTEL_ variable does not fit"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "99999", "an OTEL_ variable does not fit"),
    ],
)
def test_variables_that_do_not_fit_stop_the_start_with_a_sentence(  # noqa: PLR0917 - a table and its fixtures
    plain: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
    said: str,
) -> None:
    assert plain is None
    monkeypatch.setenv(name, value)

    with pytest.raises(TracesError) as caught:
        configure_traces("agentid-operator")

    assert said in str(caught.value)
    assert "hidden" not in str(caught.value) + caplog.text
    assert not traces_are_on()


@pytest.mark.parametrize(("command", "prefix"), [("operator", "AGENTID_"), ("gate", "AGENTID_GATE_")])
@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter.otlp.proto.http"])
def test_without_the_extra_a_start_with_traces_says_what_brings_it(
    command: str, prefix: str, missing: str
) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['agentid', {command!r}]\n"
        "from agentid.__main__ import main; main()"
    )
    own = {
        "TRUST_DOMAIN": "prod.example.com",
        "NAMESPACE": "agentid",
        "TRACES": "true",
        **({"INSECURE": "true", "BIND_ADDRESS": "127.0.0.1"} if command == "gate" else {}),
    }
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], **{f"{prefix}{name}": value for name, value in own.items()}},
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"agentid {command}: traces are switched on, and {missing}")
    assert "is not installed" in ended.stderr
    assert "`pip install '.[traces]'` brings it" in ended.stderr
    assert ended.stderr.count("\n") == 1
