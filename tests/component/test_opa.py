"""A real OPA is asked: what its answers are, what is none, and where it must not be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from agentid.opa.answer import MAX_ANSWER_BYTES, Answer
from agentid.opa.client import OpaClient
from agentid.opa.endpoint import Endpoint
from agentid.opa.errors import OpaError, Outcome
from agentid.opa.outage import FAILURES
from agentid.outbound.api_servers import ApiServers
from agentid.outbound.credentials import CredentialFiles
from agentid.outbound.names import Lookup
from agentid.policy.document import document
from agentid.policy.request import request
from devcluster.certificates import Authority
from devcluster.ports import free_ports
from tests.opa_server import ADMIN, OpaServer, opa, tls_flags
from tests.unit.policy_questions import question

pytestmark = pytest.mark.timeout(1200)  # the first run builds OPA

POLICY = """package agentid

default allow := false

allow if input.resource.sensitivity < 3

default verdict := {"allow": true}

verdict := {"allow": false, "reason": reason} if data.freeze.active

reason := sprintf("frozen by %v,\\nask them", [data.freeze.by])

of_the_question if {
    input.action == "issue"
    input.principal.id == "support/refund-agent"
    input.resource.type == "Task"
    "orders:read" in input.resource.actions
    input.context.environment.namespaceLabels.env == "test"
    time.parse_rfc3339_ns(input.context.time) > 0
}

nothing if false

text := "yes"

slow if {
    some i in numbers.range(1, 4000)
    some j in numbers.range(1, 4000)
    i * j < 0
}

huge := {"allow": true, "reason": concat("", [x | some _ in numbers.range(1, 20000); x := "long"])}
"""
LOOPBACK = "127.0.0.0/8"
ELSEWHERE = ApiServers("203.0.113.7")
DOCUMENT = document(request(question()))
RESTRICTED = document(request(question("Restricted")))


class Names(AbstractResolver):
    """Says what a test says of names, and counts how often it was asked."""

    def __init__(self, found: Mapping[str, list[str]]) -> None:
        self.found = dict(found)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        del family
        self.asked.append(host)
        if host not in self.found:
            raise OSError(f"no such name: {host}")
        return [
            ResolveResult(hostname=host, host=each, port=port, family=2, proto=6, flags=0)
            for each in self.found[host]
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Asking:
    """A client, and what it counted."""

    def __init__(self, client: OpaClient, told: list[Outcome]) -> None:
        self.client, self.told = client, told

    async def __call__(self, about: Any = DOCUMENT) -> Answer:  # noqa: ANN401 - JSON
        return await self.client.ask(about)

    async def fails(self, outcome: Outcome, said: str, detail: str = "") -> None:
        with pytest.raises(OpaError) as refused:
            await self()
        assert (refused.value.outcome, self.told[-1]) == (outcome, outcome)
        assert said in str(refused.value)
        assert detail in refused.value.detail


Ask = Callable[..., Asking]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Makes clients; loopback is allowed unless told otherwise."""
    made: list[OpaClient] = []

    def make(
        url: str,
        path: str = "agentid/allow",
        *,
        allowed: tuple[str, ...] = (LOOPBACK,),
        timeout_seconds: float = 5.0,
        api_servers: ApiServers = ELSEWHERE,
        names: Names | None = None,
        **files: Path,
    ) -> Asking:
        networks = tuple(ip_network(each) for each in allowed)
        told: list[Outcome] = []
        client = OpaClient(
            Endpoint(url, path, timeout_seconds, networks, CredentialFiles(**files)),
            api_servers,
            lambda outcome, _: told.append(outcome),
            resolver=(lambda: names) if names is not None else Lookup,
        )
        made.append(client)
        return Asking(client, told)

    yield make
    for each in made:
        await each.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpaServer]:
    with opa(tmp_path_factory.mktemp("opa"), POLICY) as running:
        yield running


async def test_yes_and_no_depend_on_the_question(server: OpaServer, ask: Ask) -> None:
    asking = ask(server.url)
    assert (await asking()).allowed is True
    assert (await asking(RESTRICTED)).allowed is False
    assert (await ask(server.url, "agentid/of_the_question")()).allowed is True
    assert asking.told == [Outcome.ALLOWED, Outcome.DENIED]


async def test_no_comes_with_its_reason_and_a_change_of_data_counts_at_once(
    server: OpaServer, ask: Ask
) -> None:
    asking = ask(server.url, "agentid/verdict")
    for active, expected in (
        (True, Answer(allowed=False, reason="frozen by carol, ask them")),
        (False, Answer(allowed=True)),
    ):
        server.set_data("freeze", {"active": active, "by": "carol"})
        assert await asking() == expected


@pytest.mark.parametrize(
    ("path", "outcome", "said"),
    [
        ("agentid/nothing", Outcome.UNDEFINED, "data.agentid.nothing is undefined"),
        ("elsewhere/allow", Outcome.UNDEFINED, "data.elsewhere.allow is undefined"),
        ("agentid/text", Outcome.INVALID, "wrong type"),
        ("agentid/huge", Outcome.INVALID, f"larger than {MAX_ANSWER_BYTES} bytes"),
    ],
)
async def test_what_is_no_answer_denies_and_says_what_to_look_at(
    server: OpaServer, ask: Ask, path: str, outcome: Outcome, said: str
) -> None:
    await ask(server.url, path).fails(outcome, said)


async def test_object_with_more_in_it_is_an_answer_as_a_whole_package_is(server: OpaServer, ask: Ask) -> None:
    server.set_data("whole", {"allow": False, "reason": "not today", "deny": True, "helpers": [1]})
    assert await ask(server.url, "whole")() == Answer(allowed=False, reason="not today")


async def test_slow_answer_is_none(server: OpaServer, ask: Ask) -> None:
    asking = ask(server.url, "agentid/slow", timeout_seconds=0.2)
    async with asyncio.timeout(2):
        await asking.fails(Outcome.TIMEOUT, "did not answer within 0.2 s")


async def test_server_that_is_down_denies_and_counts_again_when_it_is_up(tmp_path: Path, ask: Ask) -> None:
    with opa(tmp_path, POLICY) as own:
        asking = ask(own.url)
        assert (await asking()).allowed
        own.process.kill()
        with capture_logs() as logs:
            await asking.fails(Outcome.UNREACHABLE, "cannot be reached", str(own.port))
            await asking.fails(Outcome.UNREACHABLE, "cannot be reached")
            own.start()
            assert (await asking()).allowed
        assert [each["event"] for each in logs] == ["opa gives no answer", "opa answers again"]


async def test_connection_that_was_closed_meanwhile_is_no_failure(tmp_path: Path, ask: Ask) -> None:
    with opa(tmp_path, POLICY) as own:
        asking = ask(own.url)
        assert (await asking()).allowed
        own.process.kill()
        own.start()
        assert (await asking()).allowed


async def test_questions_beyond_the_first_few_do_not_wait_for_an_opa_that_hangs(ask: Ask) -> None:
    async def hangs(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)
        writer.close()

    hanging = await asyncio.start_server(hangs, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    asking = ask(f"http://127.0.0.1:{port}", timeout_seconds=0.3)
    try:
        async with asyncio.timeout(10):
            for _ in range(FAILURES):
                await asking.fails(Outcome.TIMEOUT, "did not answer")
        async with asyncio.timeout(0.25):
            for _ in range(100):
                await asking.fails(Outcome.TIMEOUT, "did not answer")
    finally:
        hanging.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"), "opa-ca")


async def test_tls_is_with_whom_is_trusted_and_nobody_else(
    tmp_path: Path, authority: Authority, ask: Ask
) -> None:
    stranger = Authority.make(tmp_path / "stranger", "stranger")
    ca_file = tmp_path / "ca.crt"
    with opa(tmp_path / "opa", POLICY, *tls_flags(authority)) as own:
        asking = ask(own.url, ca=ca_file)
        await asking.fails(Outcome.UNPREPARED, "cannot be used", f"{ca_file} cannot be read")
        ca_file.write_text("no certificate")
        await asking.fails(Outcome.UNPREPARED, "cannot be used", "not usable")
        ca_file.write_bytes(stranger.files.certificate.read_bytes())
        await asking.fails(Outcome.UNREACHABLE, "no TLS", "CERTIFICATE_VERIFY_FAILED")
        ca_file.write_bytes(authority.files.certificate.read_bytes())
        assert (await asking()).allowed
        # Trust that is taken away counts for the next question, whatever connection is kept.
        ca_file.write_bytes(stranger.files.certificate.read_bytes())
        await asking.fails(Outcome.UNREACHABLE, "no TLS")
        await ask(own.url).fails(Outcome.UNREACHABLE, "no TLS")  # whom the system trusts


async def test_certificate_has_to_be_for_that_host(tmp_path: Path, authority: Authority, ask: Ask) -> None:
    ca_file = authority.files.certificate
    with opa(tmp_path, POLICY, *tls_flags(authority)) as own:
        names = Names({"opa.example.com": ["127.0.0.1"], "other.example.com": ["127.0.0.1"]})
        good, other = (
            ask(f"https://{host}.example.com:{own.port}", names=names, ca=ca_file)
            for host in ("opa", "other")
        )
        assert (await good()).allowed
        await other.fails(Outcome.UNREACHABLE, "no TLS", "other.example.com")


async def test_client_shows_its_certificate(tmp_path: Path, authority: Authority, ask: Ask) -> None:
    ca, shown = authority.files.certificate, authority.client("agentid")
    flags = ("--authentication=tls", f"--tls-ca-cert-file={ca}")
    with opa(tmp_path, POLICY, *tls_flags(authority), *flags) as own:
        files = {"ca": ca, "certificate": shown.certificate, "key": shown.key}
        assert (await ask(own.url, **files)()).allowed
        await ask(own.url, ca=ca).fails(Outcome.UNREACHABLE, "cannot be reached")


async def test_token_is_read_for_each_question_and_never_told(
    tmp_path: Path, authority: Authority, ask: Ask
) -> None:
    token = tmp_path / "token"
    flags = ("--authentication=token", "--authorization=basic")
    with opa(tmp_path / "opa", POLICY, *flags) as own, capture_logs() as logs:
        own.set_data("tokens", [ADMIN, "first-token"])
        # The endpoint takes what settings would refuse: a token without TLS.
        asking = ask(own.url, token=token)
        await asking.fails(Outcome.UNPREPARED, "cannot be used", "cannot be read")
        token.write_text("first-token\n")
        assert (await asking()).allowed
        own.set_data("tokens", [ADMIN, "second-token"])
        await asking.fails(Outcome.REFUSED, "status 401")
        token.write_text("second-token\n")
        assert (await asking()).allowed
        for unusable in ("", "two\nlines", "a\r\nX-Evil: 1", "ü"):
            token.write_text(unusable)
            await asking.fails(Outcome.UNPREPARED, "cannot be used", "holds no token")
        await ask(own.url).fails(Outcome.REFUSED, "Look at the token")
    assert logs
    assert "-token" not in str(logs)
    assert authority


@asynccontextmanager
async def something_else(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A server that is no OPA."""
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(server: OpaServer, ask: Ask, status: int) -> None:
    paths = []

    async def redirects(asked: web.BaseRequest) -> web.Response:
        paths.append(asked.path)
        location = f"{server.url}/v1/data/agentid/allow" if len(paths) % 2 else "/elsewhere"
        return web.Response(status=status, headers={"Location": location})

    async with something_else(redirects) as url:
        for _ in range(2):
            await ask(url).fails(Outcome.REFUSED, f"redirect (status {status})")
    assert paths == ["/v1/data/agentid/allow"] * 2


@pytest.mark.parametrize("status", [201, 204, 400, 403, 404, 429, 500, 503])
async def test_any_other_status_is_no_answer_whatever_it_says(ask: Ask, status: int) -> None:
    async def says_yes(_: web.BaseRequest) -> web.Response:
        return web.json_response({"result": True}, status=status)

    async with something_else(says_yes) as url:
        await ask(url).fails(Outcome.REFUSED, f"status {status} instead of 200")


async def test_answer_without_an_end_is_read_no_further_than_its_bound(ask: Ask) -> None:
    sent = 0

    async def endless(asked: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(asked)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    async with something_else(endless) as url:
        await ask(url).fails(Outcome.INVALID, "larger than")
    assert sent < 100 * MAX_ANSWER_BYTES


async def test_packed_answer_is_not_unpacked(ask: Ask) -> None:
    async def packed(_: web.BaseRequest) -> web.Response:
        response = web.json_response({"result": True})
        response.enable_compression(web.ContentCoding.gzip)
        response.headers["X-Packed"] = "yes"
        return response

    async def bomb(_: web.BaseRequest) -> web.Response:
        import gzip  # noqa: PLC0415 - only here

        body = gzip.compress(b" " * 50_000_000 + b'{"result": true}')
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with something_else(packed) as url:
        await ask(url).fails(Outcome.INVALID, "not JSON")
    async with something_else(bomb) as url:
        await ask(url).fails(Outcome.INVALID, "OPA's answer")


async def test_proxies_of_the_environment_are_not_used(
    server: OpaServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dead,) = free_ports(1)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (await ask(server.url)()).allowed


async def test_address_that_must_not_be_asked_gets_no_connection(ask: Ask) -> None:
    came = []

    async def says_yes(asked: web.BaseRequest) -> web.Response:
        came.append(asked)
        return web.json_response({"result": True})

    async with something_else(says_yes) as url:
        port = url.rpartition(":")[2]
        names = Names({"opa.example.com": ["127.0.0.1"]})
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "localhost"):
            with pytest.raises(OpaError):
                await ask(f"http://{host}:{port}", allowed=())()
        by_name = ask(f"http://opa.example.com:{port}", allowed=(), names=names)
        await by_name.fails(Outcome.FORBIDDEN, "must not be asked", "127.0.0.1 is a loopback address")
        assert names.asked == ["opa.example.com"]
        assert not came
        assert (await ask(f"http://opa.example.com:{port}", names=names)()).allowed
        assert len(came) == 1


async def test_name_that_leads_elsewhere_the_next_time_gains_nothing(server: OpaServer, ask: Ask) -> None:
    names = Names({"opa.example.com": ["127.0.0.1"]})
    asking = ask(f"http://opa.example.com:{server.port}", names=names, allowed=("127.0.0.1/32",))
    assert (await asking()).allowed
    await asking.client.close()  # as connections are after a while
    names.found["opa.example.com"] = ["169.254.169.254"]
    await asking.fails(Outcome.FORBIDDEN, "must not be asked", "169.254.169.254 is a link-local address")
    names.found["opa.example.com"] = ["169.254.169.254", "127.0.0.1"]
    assert (await asking()).allowed  # the one that may be asked is


@pytest.mark.parametrize(
    ("host", "api_servers"),
    [
        ("203.0.113.7", ApiServers("203.0.113.7")),
        ("203.0.113.7", ApiServers("api.example.com")),
        ("opa.example.com", ApiServers("203.0.113.7")),
        ("opa.example.com", ApiServers("203.0.113.9", ("nowhere", "kubernetes.default.svc"))),
    ],
)
async def test_api_server_is_not_asked_under_any_name(ask: Ask, host: str, api_servers: ApiServers) -> None:
    every = ("opa.example.com", "api.example.com", "kubernetes.default.svc")
    names = Names({each: ["203.0.113.7"] for each in every})
    asking = ask(f"https://{host}", names=names, api_servers=api_servers)
    await asking.fails(Outcome.FORBIDDEN, "must not be asked", "the API server's address")


async def test_where_the_api_server_is_has_to_be_known(server: OpaServer, ask: Ask) -> None:
    asking = ask(server.url, names=Names({}), api_servers=ApiServers("api.example.com"))
    await asking.fails(Outcome.UNREACHABLE, "OPA was not asked", "api.example.com")


async def test_names_are_those_of_the_system() -> None:
    lookup = Lookup()
    try:
        assert {each["host"] for each in await lookup.resolve("localhost", 8181)} <= {"127.0.0.1", "::1"}
        with pytest.raises(OSError, match=r"(?i)name|address|known"):
            await lookup.resolve("nowhere.invalid")
    finally:
        await lookup.close()
