"""One shared keep-alive connection to the API server, for the operator's requests and kopf's watches."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson

from agentid.cluster.access import BearerToken, load_configuration, trust
from agentid.cluster.errors import (
    ApiAnswerError,
    ConnectionLostError,
    PassingError,
    translate,
)
from agentid.cluster.watch_activity import WatchActivity

REQUEST_SECONDS: Final = 15.0
"""How long a request may take, with its answer, unless it is said otherwise."""
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""As what to accept an object, also in a watch, or a list: all but the metadata stays with the API server."""
_FIRST_ERROR_STATUS: Final = 400

Params = Mapping[str, str]
Body = dict[str, Any]


class Connection:
    """Requests to one API server; every failure leaves as an error of `agentid.cluster.errors`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        activity: WatchActivity,
        new_session: Callable[..., aiohttp.ClientSession],
    ) -> None:
        self.session = session
        self.server = server.rstrip("/")
        self.activity = activity
        self._new_session = new_session

    def session_for_kopf(self, through: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Return a session over the same connections that kopf may close when it is done."""
        return self._new_session(through)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, kubeconfig: Path | None, clock: Callable[[], float], context: str | None = None
    ) -> AsyncIterator[Self]:
        """Open the connection that `kubeconfig` and `context` (None: see `load_configuration`) describe.

        Raises:
            ConfigurationError: it describes none.
        """
        configuration = await load_configuration(kubeconfig, context)
        token = BearerToken.of(configuration, kubeconfig, clock, context)
        activity = WatchActivity(clock)

        async def authenticate(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            if (header := await token.header()) is not None:
                request.headers["Authorization"] = header
            return await handler(request)

        # No limit here: each watch holds a connection for good, and must not keep the lease or a wipe
        # waiting. Requests are bounded by who makes them: workers, senders of Events, one runner a watch.
        connector = aiohttp.TCPConnector(limit=0, ssl=trust(configuration), keepalive_timeout=60)

        def new_session(*through: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=connector,
                connector_owner=False,
                headers={"User-Agent": "agentid", "Accept": "application/json"},
                middlewares=(authenticate, *through),
                response_class=activity.response_class(),
                timeout=_timeout(REQUEST_SECONDS),
            )

        session = new_session()
        try:
            yield cls(session, configuration.host, activity, new_session)
        finally:
            await session.close()
            await connector.close()

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> Body:
        """GET an object or a list."""
        return _decoded(await self._send("GET", path, None, params, {"Accept": accept} if accept else None))

    async def post(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
        accept: str | None = None,
    ) -> Body:
        """Create an object and return it as created."""
        headers = {"Accept": accept} if accept else None
        return _decoded(await self._send("POST", path, body, params, headers, within_seconds=within_seconds))

    async def ask(self, path: str, body: Body, params: Params) -> Body:
        """POST something whose refusal is an answer too: return the object or the `Status` that says no.

        Raises:
            PassingError: there was no answer of that kind.
        """
        try:
            return await self.post(path, body, params)
        except ApiAnswerError as error:
            if isinstance(error, PassingError) or not error.status:
                raise
            return dict(error.status)

    async def put(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        """Replace an object and return it as it is then."""
        return _decoded(await self._send("PUT", path, body, params, within_seconds=within_seconds))

    async def merge(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        """Merge `body` into an object (RFC 7386) and return it as it is then."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return _decoded(await self._send("PATCH", path, body, params, headers, within_seconds=within_seconds))

    async def delete(self, path: str, body: Body, *, within_seconds: float = REQUEST_SECONDS) -> None:
        """Delete an object. What comes back is dropped unread: it may be the object."""
        await self._send("DELETE", path, body, None, wanted=False, within_seconds=within_seconds)

    async def server_date(self) -> datetime:
        """Return the API server's time in whole seconds, as it dates an answer, be it a refusal.

        Raises:
            ConnectionLostError: there was no answer, or none with a date.
        """
        what = "GET /version"
        try:
            async with self.session.get(f"{self.server}/version") as response:
                await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"{what}: no answer: {type(error).__name__} {error}") from error
        text = response.headers.get("Date", "")
        try:
            date = parsedate_to_datetime(text)
        except ValueError as error:
            raise ConnectionLostError(f"{what}: the answer has no usable date: {text[:40]!r}") from error
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)

    async def _send(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        path: str,
        body: Body | None,
        params: Params | None,
        headers: Mapping[str, str] | None = None,
        *,
        wanted: bool = True,
        within_seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """Send one request and return the bytes of a good answer; one that is not `wanted` is not read.

        It is given up after `within_seconds`, or the ordinary time of a request if that is sooner.

        Raises:
            ApiAnswerError: see `agentid.cluster.errors`.
        """
        all_headers = dict(headers or {})
        if body is not None:
            all_headers.setdefault("Content-Type", "application/json")
        data = None if body is None else orjson.dumps(body)
        what = f"{method} {path}"
        timeout = _timeout(min(within_seconds, REQUEST_SECONDS))
        try:
            async with self.session.request(
                method, self.server + path, data=data, params=params, headers=all_headers, timeout=timeout
            ) as response:
                bad = response.status >= _FIRST_ERROR_STATUS
                # Left unread, what has not arrived yet is dropped with its connection.
                content = await response.read() if wanted or bad else b""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"{what}: no answer: {type(error).__name__} {error}") from error
        if bad:
            raise translate(response.status, _status_of(content), what, response.headers.get("Retry-After"))
        return content


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Never rounded up to a whole second, as aiohttp does with longer ones: a lease may end before that.
    return aiohttp.ClientTimeout(total=seconds, sock_connect=5, ceil_threshold=math.inf)


def _decoded(content: bytes) -> Body:
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ConnectionLostError(f"the answer is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ConnectionLostError("the answer is not an object; something other than an API server answered")
    return decoded


def _status_of(content: bytes) -> Body:
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return status if isinstance(status, dict) else {}
