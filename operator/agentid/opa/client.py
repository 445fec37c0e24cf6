"""Asks OPA: one question, one answer, within a bound of time and size, at no other address than is meant."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

import aiohttp
import orjson
import structlog
from aiohttp.abc import AbstractResolver
from pydantic import JsonValue

from agentid.opa.answer import MAX_ANSWER_BYTES, Answer, read_answer
from agentid.opa.endpoint import Endpoint
from agentid.opa.errors import ForbiddenAddressError, OpaError, Outcome
from agentid.opa.outage import Outage
from agentid.outbound.addresses import AddressGuard, RefusedSocketError
from agentid.outbound.api_servers import ApiServers, KeptOut
from agentid.outbound.credentials import Credentials
from agentid.outbound.errors import UnknownApiServerError, UnusableFileError
from agentid.outbound.names import Lookup
from agentid.outbound.session import guarded_session
from agentid.process.tracing import outgoing, request

_log = structlog.get_logger("agentid.opa")

CONCURRENCY: Final = 16
"""Questions under way at once; the others wait, their time not running yet."""
_LOG_SECONDS: Final = 60.0
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_WHAT_TO_DO: Final = {
    401: " Look at the token that it is shown, and at the client's certificate.",
    403: " Look at what its own policy (system.authz) allows the operator.",
}


class Told(Protocol):
    """Who counts the questions."""

    def __call__(self, outcome: Outcome, seconds: float) -> None:
        """Take in what became of one, and how long it took."""


class OpaClient:
    """One OPA. Its connections are opened with the first question and kept."""

    def __init__(
        self,
        endpoint: Endpoint,
        api_servers: ApiServers,
        told: Told,
        *,
        clock: Callable[[], float] = time.monotonic,
        resolver: Callable[[], AbstractResolver] = Lookup,
    ) -> None:
        self.endpoint = endpoint
        self._told = told
        self._clock = clock
        self._make_resolver = resolver
        self._guard = AddressGuard(endpoint.allowed, "policy.opa.allowAddresses")
        self._kept_out = KeptOut(api_servers, self._guard, clock)
        self._credentials = Credentials(endpoint.files, is_encrypted=endpoint.is_encrypted)
        self._outage = Outage(clock)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None
        self._problem_told_at = -math.inf
        self._has_problem = False

    async def ask(self, document: JsonValue) -> Answer:
        """Ask about `document`, which becomes `input`.

        Raises:
            OpaError: there is no answer that counts.
        """
        body = orjson.dumps({"input": document})
        async with self._slots:
            began = self._clock()
            try:
                with request("agentid.opa") as span:
                    answer = await self._asked(body)
                    span.set(lambda: {"agentid.opa.result": answer.outcome.value})
            except OpaError as error:
                self._told(error.outcome, self._clock() - began)
                self._tell_problem(error)
                raise
            self._told(answer.outcome, self._clock() - began)
            self._tell_end_of_problem()
            return answer

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()
        self._session = self._resolver = None

    async def _asked(self, body: bytes) -> Answer:
        self._outage.check()
        try:
            async with asyncio.timeout(self.endpoint.timeout_seconds):
                answer = await self._exchange(body)
        except TimeoutError:
            within = f"within {self.endpoint.timeout_seconds:g} s"
            error = OpaError(
                Outcome.TIMEOUT, f"OPA did not answer {within}. Look at its load and its policy."
            )
            self._outage.failed(error)
            raise error from None
        except OpaError as error:
            self._outage.failed(error)
            raise
        self._outage.answered()
        return answer

    async def _exchange(self, body: bytes) -> Answer:
        try:
            token, context = self._credentials.token(), self._credentials.context()
            session, resolver = self._opened()
            await self._kept_out.find(resolver)
        except UnusableFileError as error:
            said = "OPA was not asked: its token or a certificate cannot be used."
            raise OpaError(Outcome.UNPREPARED, said, str(error)) from error
        except UnknownApiServerError as error:
            said = "OPA was not asked: see the operator's log."
            raise OpaError(Outcome.UNREACHABLE, said, str(error)) from error
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        outgoing(headers)
        # A kept connection may have been closed meanwhile, and a question can be put twice.
        for is_last in (False, True):
            try:
                async with session.post(
                    self.endpoint.question,
                    data=body,
                    headers=headers,
                    ssl=context if context is not None else True,
                    allow_redirects=False,
                ) as response:
                    return await self._read(response)
            except aiohttp.ClientConnectorError as error:
                raise _no_connection(error) from error
            except (aiohttp.ClientError, OSError) as error:
                if is_last or not isinstance(error, aiohttp.ClientConnectionError | ConnectionError):
                    raise _unreachable(error) from error
        raise AssertionError("the last attempt returns or raises")

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        if status in _REDIRECTS:
            said = f"OPA answered with a redirect (status {status}), and none is followed. Set its own URL."
            raise OpaError(Outcome.REFUSED, said)
        if status != _OK:
            what_to_do = _WHAT_TO_DO.get(status, " Look at its log.")
            raise OpaError(Outcome.REFUSED, f"OPA answered with status {status} instead of 200.{what_to_do}")
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                said = f"OPA's answer is larger than {MAX_ANSWER_BYTES} bytes; nothing of it counts."
                raise OpaError(Outcome.INVALID, said)
        return read_answer(bytes(content), self.endpoint.rule)

    def _opened(self) -> tuple[aiohttp.ClientSession, AbstractResolver]:
        if self._session is None or self._resolver is None:
            self._resolver = self._make_resolver()
            self._session = guarded_session(self._guard, self._resolver, connections=CONCURRENCY)
        return self._session, self._resolver

    def _tell_problem(self, error: OpaError) -> None:
        self._has_problem = True
        if self._clock() - self._problem_told_at < _LOG_SECONDS:
            return
        self._problem_told_at = self._clock()
        _log.warning(
            "opa gives no answer",
            url=self.endpoint.question,
            result=error.outcome.value,
            problem=str(error),
            detail=error.detail,
        )

    def _tell_end_of_problem(self) -> None:
        if self._has_problem:
            self._has_problem, self._problem_told_at = False, -math.inf
            _log.info("opa answers again", url=self.endpoint.question)


def _no_connection(error: aiohttp.ClientConnectorError) -> OpaError:
    if isinstance(error.os_error, RefusedSocketError):
        return ForbiddenAddressError(error.os_error.strerror or "")
    return _unreachable(error)


def _unreachable(error: Exception) -> OpaError:
    said = "OPA cannot be reached. Look whether it runs; the operator's log says what was tried."
    if isinstance(error, aiohttp.ClientSSLError):
        said = "OPA cannot be reached: there is no TLS with it. The operator's log says why."
    return OpaError(Outcome.UNREACHABLE, said, f"{type(error).__name__}: {error}"[:500])
