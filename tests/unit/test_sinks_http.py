"""The record over HTTP to a real server on loopback: what counts as taken, and what is never asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from agentid.outbound.api_servers import ApiServers
from agentid.outbound.credentials import CredentialFiles
from agentid.outbound.urls import checked_url
from agentid.sinks.cloud_events import MAX_BODY_BYTES, bodies
from agentid.sinks.errors import SinkError
from agentid.sinks.http import MAX_RETRY_AFTER_SECONDS, HttpSink, Receiver
from devcluster.certificates import Authority

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOURCE = "spiffe://prod.example.com"
LOOPBACK = "127.0.0.0/8"
ELSEWHERE = ApiServers("203.0.113.7")
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def record(number: int, size: int = 0) -> bytes:
    fields = {"at": "2026-11-23T12:00:00Z", "kind": "issued", "message": "x" * size, "uid": f"u-{number}"}
    return orjson.dumps(fields) + b"\n"


RECORDS = [record(0), b'{"at":"2026-11-23T12:00:01Z","kind":"policyAccepted"}\n']


class Server:
    """A receiver, what it was sent, and how it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.answers: list[web.Response] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        content = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.requests.append((headers, orjson.loads(content)))
        return self.answers.pop(0) if self.answers else web.Response(status=202, text="thanks")

    @property
    def ids(self) -> list[str]:
        return [event["id"] for _, events in self.requests for event in events]


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with serving(made.answer) as made.port:
        yield made


@asynccontextmanager
async def sink(
    url: str,
    *,
    allowed: tuple[str, ...] = (LOOPBACK,),
    timeout_seconds: float = 5.0,
    api_servers: ApiServers = ELSEWHERE,
    **files: Path,
) -> AsyncIterator[HttpSink]:
    networks = tuple(ip_network(each) for each in allowed)
    receiver = Receiver(url, timeout_seconds, networks, CredentialFiles(**files))
    made = HttpSink(receiver, api_servers, source=SOURCE, now=lambda: NOW)
    try:
        yield made
    finally:
        await made.close()


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/record?tenant=a"


async def test_batch_is_a_batch_of_cloud_events(server: Server) -> None:
    async with sink(url_of(server)) as made:
        await made.deliver(RECORDS, 42)

    ((headers, events),) = server.requests
    assert headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert "authorization" not in headers
    assert events == [
        {
            "specversion": "1.0",
            "id": "42-0",
            "source": SOURCE,
            "type": "dev.agentid.record.issued",
            "time": "2026-11-23T12:00:00Z",
            "datacontenttype": "application/json",
            "subject": "u-0",
            "data": orjson.loads(RECORDS[0]),
        },
        {
            "specversion": "1.0",
            "id": "42-1",
            "source": SOURCE,
            "type": "dev.agentid.record.policyAccepted",
            "time": "2026-11-23T12:00:01Z",
            "datacontenttype": "application/json",
            "data": orjson.loads(RECORDS[1]),
        },
    ]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_what_is_answered_with_2xx_is_taken_over_one_connection(server: Server, status: int) -> None:
    server.answers = [web.Response(status=status) for _ in range(3)]
    async with sink(url_of(server)) as made:
        for sequence in range(1, 4):
            await made.deliver(RECORDS, sequence)
    assert server.ids == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]


@pytest.mark.parametrize("status", [300, 400, 401, 404, 413, 429, 500, 503])
async def test_nothing_else_is(server: Server, status: int) -> None:
    server.answers = [web.Response(status=status)]
    async with sink(url_of(server)) as made:
        with pytest.raises(SinkError, match=f"status {status}"):
            await made.deliver(RECORDS, 1)


async def test_large_batch_is_several_requests_and_what_was_taken_is_not_sent_again(server: Server) -> None:
    records = [record(number, MAX_BODY_BYTES // 2 - 400) for number in range(5)]
    server.answers = [web.Response(), web.Response(status=503)]
    async with sink(url_of(server)) as made:
        with pytest.raises(SinkError):
            await made.deliver(records, 1)
        assert server.ids == ["1-0", "1-1", "1-2", "1-3"]
        await made.deliver(records, 1)
        await made.deliver(records[:1], 2)
    assert server.ids[4:] == ["1-2", "1-3", "1-4", "2-0"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("999999999999999999999", MAX_RETRY_AFTER_SECONDS),
        ("Fri, 23 Nov 2096 12:00:30 GMT", MAX_RETRY_AFTER_SECONDS),
        ("soon", None),
        ("-1", None),
        ("\u0665", None),
    ],
)
async def test_pause_that_is_asked_for_is_told(server: Server, header: str, seconds: float | None) -> None:
    server.answers = [web.Response(status=503, headers={"Retry-After": header})]
    async with sink(url_of(server)) as made:
        with pytest.raises(SinkError) as refused:
            await made.deliver(RECORDS, 1)
    assert refused.value.retry_after_seconds == seconds


async def test_redirect_is_not_followed(server: Server) -> None:
    server.answers = [web.Response(status=307, headers={"Location": "/elsewhere"})]
    async with sink(url_of(server)) as made:
        with pytest.raises(SinkError, match="redirect"):
            await made.deliver(RECORDS, 1)
    assert len(server.requests) == 1


async def test_receiver_that_does_not_answer_is_given_up() -> None:
    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with serving(never) as port, sink(f"http://127.0.0.1:{port}/", timeout_seconds=0.2) as made:
        with pytest.raises(SinkError, match=r"within 0\.2 s"):
            await made.deliver(RECORDS, 1)


async def test_receiver_that_is_not_there_is_told() -> None:
    async with sink("http://127.0.0.1:1/") as made:
        with pytest.raises(SinkError, match="no connection"):
            await made.deliver(RECORDS, 1)


async def test_address_that_must_not_be_asked_gets_no_connection(server: Server) -> None:
    async with sink(url_of(server), allowed=()) as made:
        with pytest.raises(
            SinkError, match=r"127\.0\.0\.1 is a loopback address.*sinks\.http\.allowAddresses"
        ):
            await made.deliver(RECORDS, 1)
    async with sink("http://10.0.0.9/", api_servers=ApiServers("10.0.0.9")) as made:
        with pytest.raises(SinkError, match="the API server's address"):
            await made.deliver(RECORDS, 1)
    assert server.requests == []


async def test_token_is_read_for_each_batch_and_never_told(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    server.answers = [web.Response(), web.Response(status=401)]
    async with sink(url_of(server), token=token) as made:
        with pytest.raises(SinkError, match="token"):
            await made.deliver(RECORDS, 1)
        token.write_text("first-secret\n")
        await made.deliver(RECORDS, 1)
        token.write_text("second-secret")
        with pytest.raises(SinkError) as refused:
            await made.deliver(RECORDS, 2)
    assert [headers["authorization"] for headers, _ in server.requests] == [
        "Bearer first-secret",
        "Bearer second-secret",
    ]
    assert "secret" not in str(refused.value)


async def test_tls_is_with_whom_is_trusted_and_nobody_else(tmp_path: Path) -> None:
    made = Server()
    own = Authority.make(tmp_path / "own", "own")
    stranger = Authority.make(tmp_path / "stranger", "stranger")
    shown = own.server("receiver", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.certificate, shown.key)
    async with serving(made.answer, context) as port:
        url = f"https://127.0.0.1:{port}/"
        async with sink(url, ca=own.files.certificate) as trusting:
            await trusting.deliver(RECORDS, 1)
        async with sink(url, ca=stranger.files.certificate) as other:
            with pytest.raises(SinkError, match="no connection"):
                await other.deliver(RECORDS, 1)
    assert made.ids == ["1-0", "1-1"]


@pytest.mark.parametrize(
    "broken", [b"", b"no", b"[]", b'{"at":"x"}', b'{"kind":"x"}', b'{"kind":1,"at":"x"}']
)
async def test_record_that_is_none_is_told_and_not_sent(server: Server, broken: bytes) -> None:
    async with sink(url_of(server)) as made:
        with pytest.raises(SinkError, match="record 3-1"):
            await made.deliver([record(0), broken], 3)
    assert server.requests == []


@given(st.lists(st.integers(min_value=0, max_value=MAX_BODY_BYTES + 100), min_size=1, max_size=6), st.data())
def test_bodies_hold_every_record_once_in_order_and_are_bounded(
    sizes: list[int], data: st.DataObject
) -> None:
    records = [record(number, size) for number, size in enumerate(sizes)]
    begin = data.draw(st.integers(min_value=0, max_value=len(records)))
    made = list(bodies(records, 9, SOURCE, begin=begin))

    events = [event for body in made for event in orjson.loads(body.content)]
    assert [event["id"] for event in events] == [f"9-{index}" for index in range(begin, len(records))]
    assert [event["data"] for event in events] == [orjson.loads(each) for each in records[begin:]]
    assert all(len(body.content) <= MAX_BODY_BYTES or len(orjson.loads(body.content)) == 1 for body in made)
    assert [body.until for body in made][-1:] == ([len(records)] if begin < len(records) else [])


@pytest.mark.parametrize(
    "url",
    [
        *("", "siem.example.com", "ftp://siem.example.com", "https://", "https://u:p@siem.example.com/"),
        *("https://siem.example.com/#x", "https://siem.example.com/a b", "https://siem.example.com:x/"),
        *(
            "https://siem.example.com/\n",
            " https://siem.example.com/",
            f"https://siem.example.com/{'a' * 1000}",
        ),
        *("https://s\u00edem.example.com/", "https://siem.example.com/\u0430", "https://-siem.example.com/"),
    ],
)
def test_url_that_is_no_receivers_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|must|has)"):
        checked_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://siem.example.com", "http://10.0.0.7:8080/a/b?c=d&e=f%20g", "https://[fd00::7]/services/x"],
)
def test_url_of_a_receiver_is_taken_as_it_is(url: str) -> None:
    assert checked_url(url) == url


def test_what_is_said_of_a_url_tells_nothing_of_it() -> None:
    for url in ("HTTPS://siem.example.com/a?key=hidden", "https://u:hidden@siem.example.com/?key=hidden#"):
        with pytest.raises(ValueError, match=r"^(is|must)") as refused:
            checked_url(url)
        assert "hidden" not in str(refused.value)


@given(st.text(max_size=60))
def test_every_text_is_a_url_of_a_receiver_or_refused(text: str) -> None:
    for each in (text, f"https://siem.example.com/{text}"):
        try:
            assert checked_url(each) == each
        except ValueError:
            continue
        assert each.isascii()
