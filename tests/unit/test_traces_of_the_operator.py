"""What the operator's spans have under them: policy, the record of an end, requests that carry them on."""

from collections.abc import Iterator
from ipaddress import ip_network

import orjson
import pytest
from aiohttp import web

from agentid.api.names import TRACEPARENT_ANNOTATION
from agentid.controller.packed_task import PackedTask
from agentid.controller.spans import SpanFollower
from agentid.ledger.batch import GENESIS
from agentid.ledger.inventory import Inventory
from agentid.ledger.record import Record
from agentid.opa.client import OpaClient
from agentid.opa.endpoint import Endpoint
from agentid.opa.errors import OpaError
from agentid.outbound.credentials import CredentialFiles
from agentid.process.tracing import trial
from agentid.sinks.errors import SinkError
from tests.unit.ledger_batches import NOW, UID, record, sealed
from tests.unit.policy_objects import PERMIT_ALL, policy
from tests.unit.spans_in_memory import CALLER, TRACEPARENT, Spans, spans_in_memory, trace_id
from tests.unit.test_controller_judging import NEW, answer
from tests.unit.test_sinks_http import ELSEWHERE, LOOPBACK, RECORDS, Server, server, serving, sink, url_of

__all__ = ["server"]


@pytest.fixture
def spans() -> Iterator[Spans]:
    with spans_in_memory() as made:
        yield made


async def test_what_policy_says_is_under_the_pass(spans: Spans) -> None:
    with trial(TRACEPARENT) as tried:
        said = await answer(NEW, policy(PERMIT_ALL))
        tried.keep("agentid.issue")

    assert spans.told() == [("agentid.issue", CALLER), ("agentid.policy", "agentid.issue")]
    assert dict(spans.sent()[1].attributes or {}) == {
        "agentid.policy.action": "issue",
        "agentid.policy.allowed": True,
        "agentid.policy.digest": said.digest,
        "agentid.policy.in_doubt": False,
    }


def test_the_record_of_an_end_is_shown_until_it_is_durable(spans: Spans) -> None:
    ended = record("ended")
    other = record("ended", seconds=1)
    follower = SpanFollower()
    follower.taken_away(Record.parse(other).fields)
    with trial(None) as tried:
        tried.keep("agentid.end")
        follower.taken_away(Record.parse(ended).fields)
    batch = sealed(GENESIS, [other, ended])

    follower.written(batch, [Record.parse(each) for each in batch.records])

    assert spans.told() == [("agentid.end", ""), ("agentid.ledger", "agentid.end")]


def test_what_was_waited_for_is_forgotten_when_the_ledger_is_read_anew(spans: Spans) -> None:
    ended = record("ended")
    follower = SpanFollower()
    with trial(None) as tried:
        tried.keep("agentid.end")
        follower.taken_away(Record.parse(ended).fields)
    follower.begun(1, 0, Inventory(NOW))
    batch = sealed(GENESIS, [ended])

    follower.written(batch, [Record.parse(each) for each in batch.records])

    assert spans.told() == [("agentid.end", "")]


async def test_opa_is_told_by_which_span_it_is_asked(spans: Spans) -> None:
    asked: list[str | None] = []

    async def opa(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.headers.get("traceparent"))
        return web.json_response({"result": True}, status=200 if len(asked) == 1 else 500)

    async with serving(opa) as port:
        endpoint = Endpoint(
            f"http://127.0.0.1:{port}", "agentid/allow", 5.0, (ip_network(LOOPBACK),), CredentialFiles()
        )
        client = OpaClient(endpoint, ELSEWHERE, lambda _outcome, _seconds: None)
        with trial(TRACEPARENT):
            await client.ask({})
        with trial(None), pytest.raises(OpaError):
            await client.ask({})
        await client.close()

    decide = "agentid.decide"
    assert spans.told() == [(decide, CALLER), ("agentid.opa", decide), (decide, ""), ("agentid.opa", decide)]
    of_opa = spans.sent()[1::2]
    for each, header in zip(of_opa, asked, strict=True):
        assert header is not None
        assert each.context is not None
        assert header.startswith(f"00-{trace_id(each)}-{each.context.span_id:016x}-")
    assert (of_opa[0].attributes or {})["agentid.opa.result"] == "allowed"
    assert "status 500" in str(of_opa[1].status.description)


async def test_the_receiver_of_the_record_is_told_by_which_span_it_gets_it(
    spans: Spans, server: Server
) -> None:
    server.answers = [web.Response(status=202), web.Response(status=503)]
    async with sink(url_of(server)) as made:
        await made.deliver(RECORDS, 1)
        with pytest.raises(SinkError):
            await made.deliver(RECORDS, 2)

    assert spans.told() == [("agentid.sink", ""), ("agentid.sink", "")]
    told = [headers["traceparent"].split("-")[1] for headers, _ in server.requests]
    assert told == [trace_id(each) for each in spans.sent()]
    assert [each.status.is_ok for each in spans.sent()] == [True, False]


async def test_while_traces_are_off_nobody_is_told_of_a_span(server: Server) -> None:
    async with sink(url_of(server)) as made:
        await made.deliver(RECORDS, 1)

    assert "traceparent" not in server.requests[0][0]


@pytest.mark.parametrize(
    ("annotations", "kept"),
    [
        ({TRACEPARENT_ANNOTATION: TRACEPARENT}, TRACEPARENT),
        ({TRACEPARENT_ANNOTATION: "x" * 128}, "x" * 128),
        ({TRACEPARENT_ANNOTATION: "x" * 129}, None),
        ({TRACEPARENT_ANNOTATION: ""}, None),
        ({TRACEPARENT_ANNOTATION: 5}, None),
        ({TRACEPARENT_ANNOTATION.upper(): TRACEPARENT}, None),
        (5, None),
        (None, None),
    ],
)
def test_of_the_annotation_no_more_is_kept_than_it_may_be(annotations: object, kept: str | None) -> None:
    body = {"metadata": {"name": "t", "namespace": "ns", "uid": UID, "annotations": annotations}}

    assert PackedTask.of(body).traceparent == kept
    assert b"annotations" not in orjson.dumps(PackedTask.of(body).unpacked())
