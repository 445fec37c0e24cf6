"""The record to an HTTP receiver, as CloudEvents: what it answers with 2xx, it has."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver

from agentid.outbound.addresses import AddressGuard, Network, RefusedSocketError
from agentid.outbound.api_servers import ApiServers, KeptOut
from agentid.outbound.credentials import CredentialFiles, Credentials
from agentid.outbound.errors import OutboundError
from agentid.outbound.names import Lookup
from agentid.outbound.session import guarded_session
from agentid.process.tracing import outgoing, request
from agentid.sinks.cloud_events import CONTENT_TYPE, bodies
from agentid.sinks.errors import SinkError
from agentid.sinks.sink import SinkName

MAX_RETRY_AFTER_SECONDS: Final = 300.0
"""A receiver that asks for more patience is asked again all the same."""
_MAX_ANSWER_BYTES: Final = 65_536
_TAKEN: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where the record is posted to.

    Attributes:
        url: The whole URL.
        timeout_seconds: How long one request may take, everything included.
        allowed: Addresses that may be asked though they are of a kind that otherwise may not.
        files: What it is shown and whom it has to be, read for each request.
    """

    url: str
    timeout_seconds: float
    allowed: tuple[Network, ...] = ()
    files: CredentialFiles = field(default_factory=CredentialFiles)

    @property
    def is_encrypted(self) -> bool:
        """Whether it is asked over TLS."""
        return self.url.startswith("https://")


class HttpSink:
    """One receiver. Its connections are opened with the first batch and kept."""

    def __init__(  # noqa: PLR0913 - whom it posts to, and the clocks that takes
        self,
        receiver: Receiver,
        api_servers: ApiServers,
        *,
        source: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        resolver: Callable[[], AbstractResolver] = Lookup,
    ) -> None:
        """Take whom it posts to.

        Args:
            receiver: Who that is.
            api_servers: Where the API server is, which no record is sent to.
            source: That of the events: a URI reference that names the trust domain.
            now: The time, aware.
            clock: Seconds that only grow.
            resolver: Returns what looks up names.
        """
        self._receiver = receiver
        self._source = source
        self._now = now
        self._make_resolver = resolver
        self._guard = AddressGuard(receiver.allowed, "sinks.http.allowAddresses")
        self._kept_out = KeptOut(api_servers, self._guard, clock)
        self._credentials = Credentials(receiver.files, is_encrypted=receiver.is_encrypted)
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None
        self._begun = (0, 0)

    @property
    def name(self) -> SinkName:
        """Which sink it is."""
        return SinkName.HTTP

    async def position(self) -> int | None:
        """Return None: a receiver cannot be asked what it has."""
        return None

    async def deliver(self, records: Sequence[bytes], sequence: int) -> None:
        """Post the batch, in several requests if it is large; what was answered for is not posted again.

        Raises:
            SinkError: not all of it was answered with 2xx.
        """
        of, begin = self._begun
        for body in bodies(records, sequence, self._source, begin=begin if of == sequence else 0):
            await self._post(body.content)
            self._begun = (sequence, body.until)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()
        self._session = self._resolver = None

    async def _post(self, content: bytes) -> None:
        try:
            with request("agentid.sink"):
                async with asyncio.timeout(self._receiver.timeout_seconds):
                    await self._exchange(content)
        except TimeoutError:
            seconds = self._receiver.timeout_seconds
            raise SinkError(f"the receiver did not answer within {seconds:g} s") from None
        except OutboundError as error:
            raise SinkError(str(error)) from error

    async def _exchange(self, content: bytes) -> None:
        token, context = self._credentials.token(), self._credentials.context()
        session, resolver = self._opened()
        await self._kept_out.find(resolver)
        headers = {"Content-Type": CONTENT_TYPE, "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        outgoing(headers)
        # A kept connection may have been closed meanwhile; who gets an event twice knows it by its id.
        for is_last in (False, True):
            try:
                async with session.post(
                    self._receiver.url,
                    data=content,
                    headers=headers,
                    ssl=context if context is not None else True,
                    allow_redirects=False,
                ) as response:
                    return await self._judge(response)
            except aiohttp.ClientConnectorError as error:
                raise _no_connection(error) from error
            except (aiohttp.ClientError, OSError) as error:
                if is_last or not isinstance(error, aiohttp.ClientConnectionError | ConnectionError):
                    raise _no_connection(error) from error
        raise AssertionError("the last attempt returns or raises")

    async def _judge(self, response: aiohttp.ClientResponse) -> None:
        if response.status in _TAKEN:
            # Read, as far as that is little, so that the connection can be kept; nothing in it counts.
            await response.content.read(_MAX_ANSWER_BYTES)
            return
        said = f"the receiver answered with status {response.status}"
        if response.status in _REDIRECTS:
            said = f"{said}, a redirect, and none is followed; set its own URL"
        raise SinkError(said, self._pause_asked_for(response.headers.get("Retry-After")))

    def _pause_asked_for(self, text: str | None) -> float | None:
        """Return the seconds that `Retry-After` asks for in either form (RFC 9110 §10.2.3), bounded."""
        if text is None:
            return None
        if text.isascii() and text.isdecimal():
            seconds = float(text[:9])
        else:
            try:
                until = parsedate_to_datetime(text)
            except ValueError:
                return None
            until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
            seconds = (until - self._now()).total_seconds()
        return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)

    def _opened(self) -> tuple[aiohttp.ClientSession, AbstractResolver]:
        if self._session is None or self._resolver is None:
            self._resolver = self._make_resolver()
            self._session = guarded_session(self._guard, self._resolver, connections=1)
        return self._session, self._resolver


def _no_connection(error: Exception) -> SinkError:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, RefusedSocketError):
        return SinkError(f"the receiver must not be asked: {error.os_error.strerror}")
    return SinkError(f"there is no connection to the receiver: {type(error).__name__}: {error}"[:500])
